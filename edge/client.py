"""A subscriber that has every verdict once and in order: the reference for whoever writes a gateway to a PLC.

One thread, the caller's. The rules, which any other implementation follows too:

1. Subscribe to `heartbeat`, then to `verdict/`. The first heartbeat says what was published before us.
2. `(epoch, camera, seq)` names a verdict. One that is had already is a repetition: drop it.
3. A jump in `seq`, a heartbeat that is ahead of us, or a new epoch: something is missing. Ask the replay
   socket for what follows the last verdict, page by page, and hold what comes meanwhile.
4. What the box does not hold any more is a gap. Its parts are `unknown`.
5. The safe state is where it begins, until the first heartbeat. No verdict and no heartbeat for three
   intervals, or a last heartbeat with `ending`: the safe state again, until one comes.
6. Keep `(epoch, seq)` of each camera on disk after acting on it, and begin from there after a restart.
"""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import zmq
from pydantic import BaseModel, ConfigDict, ValidationError

from edge.bus import HEARTBEAT, VERDICT
from edge.keys import client_keys
from edge.order import NOTHING, Arrived, Event, Gap, Key, Order
from edge.sockets import connect
from models.errors import MekikiError
from models.heartbeat import Heartbeat
from models.replay import Refused, Replayed

HIGH_WATER = 100_000  # messages that wait here while the caller is busy; more are fetched again
_INTERVALS = 3  # heartbeats that may be missing
_UNHEARD_S = 3.0  # until the first heartbeat tells the interval
_UNHEARD = "nothing heard yet"
_ANSWER_S = 2.0
_TRIES = 3
_LOOK_S = 0.05
_MAX_READ = 1000


@dataclass(frozen=True, slots=True)
class Source:
    """Where verdicts come from."""

    address: str  # the [bus] bind of the box
    replay: str | None = None  # its [bus] replay; without it holes are reported and not filled
    keys: Path | None = None  # the folder that was handed over
    cameras: frozenset[str] | None = None  # all when None
    late_s: float | None = None  # without verdict and heartbeat: the safe state; three intervals when None
    verdict_late_s: float | None = None  # without verdict: the safe state; never when None


class Watcher:
    """What a client tells beside verdicts. Override what is of interest; each is called on the client's thread."""

    def unsafe(self, why: str | None) -> None:
        """Go to the safe state, because of `why`; None: verdicts flow. The first call is that nothing was heard yet."""

    def gap(self, gap: Gap) -> None:
        """Verdicts that cannot be had any more, told when their turn was."""

    def warning(self, text: str) -> None:
        """Something that a person should look at."""


class _Name(BaseModel):
    """All that a client must know of a verdict."""

    model_config = ConfigDict(extra="ignore")
    epoch: str
    camera: str
    seq: int


@dataclass(slots=True)
class _Question:
    camera: str
    sent_s: float
    tries: int


def replay_of(address: str) -> str | None:
    """The replay address of a box with usual settings: the port after the bus's. None where there are no ports."""
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + 1}" if host.startswith("tcp:") and port.isdigit() else None


class Client:
    """Verdicts of one box. Iterate over it, or call `receive`."""

    def __init__(
        self, source: Source, watcher: Watcher | None = None, position: Mapping[str, Key] | None = None
    ) -> None:
        """From `position` on: camera -> (epoch, seq) of the last verdict acted on, cameras not in it from the
        oldest. Without one: what is published from now on. Raises ConfigError for a bad address or key.
        """
        self._source, self._watcher = source, watcher or Watcher()
        self._keys = client_keys(source.keys) if source.keys else None
        self._known = position is not None
        self._orders = {camera: Order(camera, at) for camera, at in (position or {}).items()}
        self._before: list[tuple[_Name, str]] = []  # what came before the first heartbeat
        self._out: deque[Event] = deque()
        self.position: dict[str, Key] = dict(position or {})  # of what `receive` has given: save it, begin with it
        self.beat: Heartbeat | None = None  # the last one
        self._began_s = self._heard_s = self._verdict_s = time.monotonic()
        self.why: str | None = _UNHEARD  # the safe state, because of this; None while verdicts flow
        self._has_begun = False
        self._question: _Question | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._bus = self._subscribed()
            self._replay = self._asking()
        except BaseException:
            self._context.destroy(linger=0)
            raise

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> "Client":
        return self

    def __next__(self) -> Arrived:
        while True:
            if (arrived := self.receive(3600)) is not None:
                return arrived

    def receive(self, timeout_s: float) -> Arrived | None:
        """The next verdict whose turn it is; None when there is none within the time.

        Raises MekikiError when what answers is no mekiki-edge.
        """
        until_s = time.monotonic() + timeout_s
        if not self._has_begun:
            self._has_begun = True
            self._watcher.unsafe(self.why)
        while True:
            while self._out:
                if isinstance(event := self._given(), Arrived):
                    return event
            self._turn(min(max(until_s - time.monotonic(), 0.0), _LOOK_S))
            if not self._out and time.monotonic() >= until_s:
                return None

    @property
    def silent_s(self) -> float:
        """Seconds since a verdict or a heartbeat came."""
        return time.monotonic() - self._heard_s

    @property
    def late_s(self) -> float:
        """Seconds of silence that are the safe state."""
        if self._source.late_s is not None:
            return self._source.late_s
        return _UNHEARD_S if self.beat is None else self.beat.interval_s * _INTERVALS

    def close(self) -> None:
        """Lets go of both sockets."""
        self._context.destroy(linger=0)

    def _given(self) -> Event:
        event = self._out.popleft()
        if isinstance(event, Gap):
            if event.last is not None:
                self.position[event.camera] = (event.epoch, event.last)
            self._watcher.gap(event)
        else:
            self.position[event.camera] = (event.epoch, event.seq)
        return event

    def _turn(self, wait_s: float) -> None:
        """Waits for a message, takes all that are there, and asks for what is missing."""
        ready = _readable([self._bus, *([self._replay] if self._replay else [])], wait_s)
        if self._bus in ready:
            self._read_bus()
        else:  # while something waits to be read, being late is our own fault
            self._note_silence()
        if self._replay is not None and self._replay in ready:
            self._read_answer(self._replay.recv_multipart())
        self._ask()

    def _read_bus(self) -> None:
        for _ in range(_MAX_READ):
            try:
                parts = self._bus.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._message(parts)

    def _message(self, parts: list[bytes]) -> None:
        if len(parts) != 2:
            raise self._stranger(f"a message of {len(parts)} parts, 2 were wanted")
        topic, text = parts
        try:
            if topic == HEARTBEAT:
                self._heartbeat(Heartbeat.model_validate_json(text))
            elif topic.startswith(VERDICT):
                self._verdict(_Name.model_validate_json(text), text.decode())
        except (ValidationError, UnicodeDecodeError) as error:
            raise self._stranger("a message that is no verdict and no heartbeat") from error

    def _verdict(self, name: _Name, text: str) -> None:
        if self._source.cameras is not None and name.camera not in self._source.cameras:
            return  # topics are prefixes: `top` brings `top2`
        self._heard_s = self._verdict_s = time.monotonic()
        if self.beat is None:
            self._before.append((name, text))
        else:
            self._out += self._order(name.camera, name.epoch).live((name.epoch, name.seq), text)
        self._note_sound()

    def _heartbeat(self, beat: Heartbeat) -> None:
        first, self.beat, self._heard_s = self.beat is None, beat, time.monotonic()
        for camera, state in beat.cameras.items():
            if self._source.cameras is not None and camera not in self._source.cameras:
                continue
            if first and not self._known:
                self._begin(camera, (beat.epoch, state.seq))
            self._out += self._order(camera, beat.epoch).announced((beat.epoch, state.seq))
        before, self._before = self._before, []
        for name, text in before:
            self._out += self._order(name.camera, name.epoch).live((name.epoch, name.seq), text)
        if beat.ending:
            self._note("mekiki-edge stopped in order")
        else:
            self._note_sound()

    def _begin(self, camera: str, at: Key) -> None:
        """Without a position: what came live before the first heartbeat, and whatever follows it."""
        live = [(name.epoch, name.seq - 1) for name, _ in self._before if name.camera == camera]
        self._orders[camera] = Order(camera, min([*live, at]))
        self.position[camera] = self._orders[camera].at

    def _order(self, camera: str, epoch: str) -> Order:
        if camera not in self._orders:  # it is new at the box
            self._orders[camera] = Order(camera, NOTHING if self._known else (epoch, -1))
        return self._orders[camera]

    def _note_sound(self) -> None:
        if self.beat is not None and not self.beat.ending and not self._is_verdict_late():
            self._note(None)

    def _note_silence(self) -> None:
        if self.beat is None:
            return  # nothing heard yet is unsafe already
        if self.silent_s > self.late_s and not self.beat.ending:
            self._note(f"no verdict and no heartbeat for {self.late_s:g} s")
        elif self._is_verdict_late():
            self._note(f"no verdict for {self._source.verdict_late_s:g} s")

    def _is_verdict_late(self) -> bool:
        limit_s = self._source.verdict_late_s
        return limit_s is not None and time.monotonic() - self._verdict_s > limit_s

    def _note(self, why: str | None) -> None:
        if why != self.why and (why is None or self.why in {None, _UNHEARD}):
            self.why = why
            self._watcher.unsafe(why)

    def _ask(self) -> None:
        """One question at a time, to keep them simple to answer."""
        now_s = time.monotonic()
        if self._question is not None:
            if now_s > self._question.sent_s + _ANSWER_S:
                self._unanswered(self._question)
        else:
            behind = next((order for order in self._orders.values() if order.is_behind and self.beat is not None), None)
            if behind is not None:  # to the back of the line: one that stays behind must not starve the others
                self._orders[behind.camera] = self._orders.pop(behind.camera)
                self._put_question(behind, 1)

    def _put_question(self, order: Order, tries: int) -> None:
        if self._replay is None:
            self._out += order.give_up()
            return
        epoch, seq = order.ask()
        question = {"version": 1, "want": "replay", "camera": order.camera, "epoch": epoch or None, "after_seq": seq}
        self._question = _Question(order.camera, time.monotonic(), tries)
        try:
            self._replay.send_json(question, zmq.NOBLOCK)
        except zmq.Again:
            return  # not connected: as good as unanswered

    def _unanswered(self, question: _Question) -> None:
        """Asks again on a new socket, where no late answer can come. While the box is silent too, it never gives up."""
        assert self._replay is not None  # noqa: S101
        self._replay.close(linger=0)
        self._replay, self._question = self._asking(), None
        order = self._orders[question.camera]
        if question.tries < _TRIES or self._heard_s < question.sent_s:
            self._put_question(order, question.tries + 1)
            return
        self._watcher.warning(f"{self._source.replay}: no answer; what was missed cannot be had, see [bus] replay")
        self._out += order.give_up()

    def _read_answer(self, frames: list[bytes]) -> None:
        question, self._question = self._question, None
        if question is None:
            return
        order = self._orders[question.camera]
        try:
            head = Replayed.model_validate_json(frames[0])
            names = [_Name.model_validate_json(frame) for frame in frames[1:]]
        except ValidationError:
            self._watcher.warning(f"{self._source.replay}: {_refusal(frames[0])}")
            self._out += order.give_up()
            return
        rows = [((name.epoch, name.seq), frame.decode()) for name, frame in zip(names, frames[1:], strict=True)]
        self._out += order.replayed(rows, complete=head.complete, more=head.more)

    def _subscribed(self) -> "zmq.Socket[bytes]":
        cameras = self._source.cameras
        topics = [VERDICT] if cameras is None else [VERDICT + camera.encode() for camera in sorted(cameras)]
        bus = connect(self._context, zmq.SUB, self._source.address, self._keys, rcvhwm=HIGH_WATER)
        for topic in (HEARTBEAT, *topics):
            bus.setsockopt(zmq.SUBSCRIBE, topic)
        return bus

    def _asking(self) -> "zmq.Socket[bytes] | None":
        if self._source.replay is None:
            return None
        return connect(self._context, zmq.DEALER, self._source.replay, self._keys)

    def _stranger(self, what: str) -> MekikiError:
        return MekikiError(f"{self._source.address}: {what}; this is no mekiki-edge")


def _refusal(frame: bytes) -> str:
    try:
        return Refused.model_validate_json(frame).error
    except ValidationError:
        return "an answer that is none; this is no mekiki-edge"


def _readable(sockets: "list[zmq.Socket[bytes]]", wait_s: float) -> "set[zmq.Socket[bytes]]":
    poller = zmq.Poller()
    for socket in sockets:
        poller.register(socket, zmq.POLLIN)
    return {socket for socket, _ in poller.poll(max(1, int(wait_s * 1000)))}
