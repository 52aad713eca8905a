"""A client's questions to the replay socket of its box: what one camera's order lacks, then what the next one's does.

One question at a time, to keep them simple to answer. On the client's thread.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import zmq
from pydantic import ValidationError

from edge.keys import ClientKeys
from edge.order import Event, Key, Order
from edge.sockets import connect
from models.replay import Place, Refused, Replayed

_ANSWER_S = 2.0
_TRIES = 3


class Name(Place):
    """All that a client must know of a verdict."""

    camera: str

    @property
    def key(self) -> Key:
        """Its place in the order of its camera."""
        return self.epoch, self.seq


@dataclass(slots=True)
class _Question:
    order: Order
    sent_s: float
    tries: int


class ReplayClient:
    """Asks, and asks again where no answer comes."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        address: str,
        keys: ClientKeys | None,
        warn: Callable[[str], None],
    ) -> None:
        """Raises ConfigError on a bad address."""
        self._context, self._address, self._keys, self._warn = context, address, keys, warn
        self.socket = self._connected()
        self._question: _Question | None = None

    @property
    def is_asking(self) -> bool:
        """Whether an answer is waited for."""
        return self._question is not None

    def ask(self, order: Order, tries: int = 1) -> None:
        """What follows the last verdict that this order has?"""
        epoch, seq = order.ask()
        question = {"version": 1, "want": "replay", "camera": order.camera, "epoch": epoch or None, "after_seq": seq}
        self._question = _Question(order, time.monotonic(), tries)
        try:
            self.socket.send_json(question, zmq.NOBLOCK)
        except zmq.Again:
            return  # not connected: as good as unanswered

    def wait(self, heard_s: float) -> list[Event]:
        """Asks again what nobody answered in time, and gives up at last. `heard_s`: when the box was last heard."""
        question = self._question
        if question is None or time.monotonic() <= question.sent_s + _ANSWER_S:
            return []
        self.socket.close(linger=0)
        self.socket, self._question = self._connected(), None  # a new socket, where no late answer can come
        if question.tries < _TRIES or heard_s < question.sent_s:  # while the box is silent too, it never gives up
            self.ask(question.order, question.tries + 1)
            return []
        self._warn(f"{self._address}: no answer; what was missed cannot be had, see [bus] replay")
        return question.order.give_up()

    def read(self) -> list[Event]:
        """Takes the answer that is there."""
        frames = self.socket.recv_multipart()
        question, self._question = self._question, None
        if question is None:
            return []
        try:
            head = Replayed.model_validate_json(frames[0])
            names = [Name.model_validate_json(frame) for frame in frames[1:]]
        except ValidationError:
            self._warn(f"{self._address}: {_refusal(frames[0])}")
            return question.order.give_up()
        rows = [(name.key, frame.decode()) for name, frame in zip(names, frames[1:], strict=True)]
        return question.order.replayed(rows, complete=head.complete, more=head.more)

    def _connected(self) -> "zmq.Socket[bytes]":
        return connect(self._context, zmq.DEALER, self._address, self._keys)


def _refusal(frame: bytes) -> str:
    try:
        return Refused.model_validate_json(frame).error
    except ValidationError:
        return "an answer that is none; this is no mekiki-edge"
