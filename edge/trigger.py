"""Triggers from outside: a PLC says that a part is there, or what the line does. The server runs on thread `trigger`.

A request is one frame, a `Trigger` or a `LineState` as JSON; the answer is one frame, a `TriggerReply`. REQ and DEALER
clients both work. `ask` is the reference client.
"""

import logging
import threading
from collections.abc import Collection
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from typing import Protocol

import zmq
from pydantic import ValidationError
from pydantic_core import from_json

from edge.hold import Hold
from edge.keys import ClientKeys
from edge.metrics import Metrics
from edge.sockets import LINGER_S, connect
from models.base import first_error
from models.errors import MekikiError
from models.trigger import LineState, Trigger, TriggerReply

_log = logging.getLogger(__name__)
_POLL_MS = 100
_ADMIT_S = 1.0  # the engine admits within microseconds, unless it is leaving


class Admits(Protocol):
    """What triggers ask of the engine."""

    def trigger(self, camera: str, part_id: str | None) -> Future[int]:
        """Admits a part. The future gives its seq."""


@dataclass(frozen=True, slots=True)
class TriggerServer:
    """A ROUTER socket, from the first frame to the stop event. It keeps nothing about its clients."""

    socket: "zmq.Socket[bytes]"
    cameras: Collection[str]  # those whose trigger is `external`
    engine: Admits
    epoch: str
    metrics: Metrics
    stop: threading.Event
    hold: Hold = field(default_factory=Hold)

    def run(self) -> None:
        """The body of the thread."""
        while not self.stop.is_set():
            if self.socket.poll(_POLL_MS):
                self._serve(self.socket.recv_multipart())
        self.socket.close(linger=int(LINGER_S * 1000))

    def _serve(self, frames: list[bytes]) -> None:
        route, body = frames[:-1], frames[-1]
        reply = self._reply(body)
        if not reply.accepted:
            self.metrics.bad_message("trigger")
        try:  # a client that asks and does not read must not stop the others
            self.socket.send_multipart([*route, reply.model_dump_json().encode()], zmq.NOBLOCK)
        except zmq.ZMQError:
            self.metrics.bad_message("trigger")

    def _reply(self, body: bytes) -> TriggerReply:
        try:
            asked = _parsed(body)
        except ValidationError as error:
            return _refused(f'{first_error(error)}; send {{"version":1,"camera":"NAME","part_id":"ID"}}')
        if isinstance(asked, LineState):
            self.hold.told(is_running=asked.line == "running")
            _log.info("the line is said to be %s", asked.line)
            return TriggerReply(accepted=True, epoch=self.epoch)
        if asked.camera not in self.cameras:
            known = ", ".join(sorted(self.cameras)) or "none"
            return _refused(f'camera {asked.camera!r:.70}: cameras with trigger = "external" here: {known}')
        admitted = self.engine.trigger(asked.camera, asked.part_id)
        try:
            seq = admitted.result(_ADMIT_S)
        except FutureTimeoutError:
            admitted.cancel()  # who is told no must not get a verdict
            return _refused("the daemon is stopping, or its engine hangs; see its log")
        return TriggerReply(accepted=True, epoch=self.epoch, camera=asked.camera, seq=seq, part_id=asked.part_id)


def ask(address: str, trigger: Trigger | LineState, timeout_s: float, keys: ClientKeys | None) -> TriggerReply:
    """Sends one message and gives the answer.

    Raises MekikiError when it is refused or none comes in time, ConfigError when the address is none.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        socket = connect(context, zmq.DEALER, address, keys)
        socket.send(trigger.model_dump_json().encode())
        if not socket.poll(int(timeout_s * 1000)):
            raise MekikiError(
                f"{address}: no answer within {timeout_s:g} s; is mekiki-edge running there, with a camera whose "
                "trigger is external or an [activation] hold, and with this key?"
            )
        reply = TriggerReply.model_validate_json(socket.recv_multipart()[-1])
    except ValidationError as error:
        raise MekikiError(f"{address}: {first_error(error)}; this is no mekiki-edge, give its [bus] trigger") from error
    finally:
        context.destroy(linger=0)
    if not reply.accepted:
        raise MekikiError(f"{address}: refused: {reply.error}")
    return reply


def _parsed(body: bytes) -> Trigger | LineState:
    """Raises ValidationError."""
    try:
        said = from_json(body)
    except ValueError:
        said = None
    kind = LineState if isinstance(said, dict) and "line" in said else Trigger
    return kind.model_validate_json(body)


def _refused(why: str) -> TriggerReply:
    return TriggerReply(accepted=False, error=why)
