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
from pydantic import ValidationError

from edge.bus import HEARTBEAT, VERDICT
from edge.keys import client_keys
from edge.order import NOTHING, Arrived, Event, Gap, Key, Order
from edge.replay_client import Name, ReplayClient
from edge.safe_state import SafeState
from edge.sockets import connect
from models.errors import MekikiError
from models.heartbeat import Heartbeat

HIGH_WATER = 100_000  # messages that wait here while the caller is busy; more are fetched again
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
        self._before: list[tuple[Name, str]] = []  # what came before the first heartbeat
        self._out: deque[Event] = deque()
        self.position: dict[str, Key] = dict(position or {})  # of what `receive` has given: save it, begin with it
        self._safe_state = SafeState(source.late_s, source.verdict_late_s, self._watcher.unsafe)
        self._has_begun = False
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._bus = self._subscribed()
            self._replay = None if source.replay is None else self._asking(source.replay)
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
    def beat(self) -> Heartbeat | None:
        """The last one that came."""
        return self._safe_state.beat

    @property
    def why(self) -> str | None:
        """The safe state, because of this; None while verdicts flow."""
        return self._safe_state.why

    @property
    def silent_s(self) -> float:
        """Seconds since a verdict or a heartbeat came."""
        return self._safe_state.silent_s

    @property
    def late_s(self) -> float:
        """Seconds of silence that are the safe state."""
        return self._safe_state.late_s

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
        ready = _readable([self._bus, *([self._replay.socket] if self._replay else [])], wait_s)
        if self._bus in ready:
            self._read_bus()
        else:  # while something waits to be read, being late is our own fault
            self._safe_state.note_silence()
        if self._replay is not None and self._replay.socket in ready:
            self._out += self._replay.read()
        self._fetch()

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
                self._verdict(Name.model_validate_json(text), text.decode())
        except (ValidationError, UnicodeDecodeError) as error:
            raise self._stranger("a message that is no verdict and no heartbeat") from error

    def _verdict(self, name: Name, text: str) -> None:
        if self._source.cameras is not None and name.camera not in self._source.cameras:
            return  # topics are prefixes: `top` brings `top2`
        self._safe_state.verdict_came()
        if self.beat is None:
            self._before.append((name, text))
        else:
            self._out += self._order(name.camera, name.epoch).live(name.key, text)
        self._safe_state.note_heard()

    def _heartbeat(self, beat: Heartbeat) -> None:
        first = self.beat is None
        self._safe_state.beat_came(beat)
        for camera, state in beat.cameras.items():
            if self._source.cameras is not None and camera not in self._source.cameras:
                continue
            if first and not self._known:
                self._begin(camera, (beat.epoch, state.seq))
            self._out += self._order(camera, beat.epoch).announced((beat.epoch, state.seq))
        before, self._before = self._before, []
        for name, text in before:
            self._out += self._order(name.camera, name.epoch).live(name.key, text)
        self._safe_state.note_heard()

    def _begin(self, camera: str, at: Key) -> None:
        """Without a position: what came live before the first heartbeat, and whatever follows it."""
        live = [(name.epoch, name.seq - 1) for name, _ in self._before if name.camera == camera]
        self._orders[camera] = Order(camera, min([*live, at]))
        self.position[camera] = self._orders[camera].at

    def _order(self, camera: str, epoch: str) -> Order:
        if camera not in self._orders:  # it is new at the box
            self._orders[camera] = Order(camera, NOTHING if self._known else (epoch, -1))
        return self._orders[camera]

    def _fetch(self) -> None:
        """Asks for what is missing, one camera after the other."""
        if self._replay is not None and self._replay.is_asking:
            self._out += self._replay.wait(self._safe_state.heard_s)
            return
        behind = next((order for order in self._orders.values() if order.is_behind and self.beat is not None), None)
        if behind is None:
            return
        self._orders[behind.camera] = self._orders.pop(behind.camera)  # one that stays behind must not starve others
        if self._replay is None:
            self._out += behind.give_up()
        else:
            self._replay.ask(behind)

    def _subscribed(self) -> "zmq.Socket[bytes]":
        cameras = self._source.cameras
        topics = [VERDICT] if cameras is None else [VERDICT + camera.encode() for camera in sorted(cameras)]
        bus = connect(self._context, zmq.SUB, self._source.address, self._keys, rcvhwm=HIGH_WATER)
        for topic in (HEARTBEAT, *topics):
            bus.setsockopt(zmq.SUBSCRIBE, topic)
        return bus

    def _asking(self, address: str) -> ReplayClient:
        return ReplayClient(self._context, address, self._keys, self._watcher.warning)

    def _stranger(self, what: str) -> MekikiError:
        return MekikiError(f"{self._source.address}: {what}; this is no mekiki-edge")


def _readable(sockets: "list[zmq.Socket[bytes]]", wait_s: float) -> "set[zmq.Socket[bytes]]":
    poller = zmq.Poller()
    for socket in sockets:
        poller.register(socket, zmq.POLLIN)
    return {socket for socket, _ in poller.poll(max(1, int(wait_s * 1000)))}
