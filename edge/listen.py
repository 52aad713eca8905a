"""`mekiki-edge listen`: a subscriber that prints verdicts in order, one JSON object per line, each exactly once.

What it cannot print, and what a gateway would go to the safe state for, goes to stderr.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field, ValidationError

from edge.client import Client, Source, Watcher
from edge.order import Gap, Key
from edge.signals import Signals
from models.base import Frozen, first_error
from models.errors import ConfigError, MekikiError, SafeStateError
from models.files import write_whole

_LOOK_S = 0.1
_BATCH = 1000  # verdicts printed before the position is written again


@dataclass(frozen=True, slots=True)
class Listening:
    """What was asked for on the command line."""

    source: Source
    count: int | None = None  # end after so many verdicts; never when None
    timeout_s: float | None = None  # no verdict for so long is a failure
    position: Path | None = None
    from_start: bool = False  # where there is no position yet


class _Place(Frozen):
    epoch: str
    seq: int = Field(ge=-1)


class _Position(Frozen):
    """The file: the last verdict of each camera that was printed."""

    version: int = Field(default=1, ge=1, le=1)
    cameras: dict[str, _Place]


def listen(asked: Listening, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """Prints `count` verdicts, or all that ever come. On the main thread, which gets the signals.

    Raises KeyboardInterrupt after SIGINT or SIGTERM, with the position saved; SafeStateError when verdicts or
    heartbeats of a box that was heard are late, MekikiError when none is heard within `timeout_s` at all,
    ConfigError for a bad address, key or position file.
    """
    with Signals().caught() as signals, Client(asked.source, _Teller(warn), _load(asked)) as client:
        run = _Run(asked, client, say, warn, signals)
        try:
            run.run()
        finally:
            run.save()


class _Teller(Watcher):
    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn

    def gap(self, gap: Gap) -> None:
        self._warn(str(gap))

    def warning(self, text: str) -> None:
        self._warn(text)


@dataclass(slots=True)
class _Run:
    asked: Listening
    client: Client
    say: Callable[[str], None]
    warn: Callable[[str], None]
    signals: Signals
    _seen: int = 0
    _last_s: float = field(default_factory=time.monotonic)
    _told: dict[str, Key] = field(default_factory=dict)  # the last verdict or gap of each camera that was printed
    _saved: dict[str, Key] = field(default_factory=dict)
    _ending: bool = False

    def run(self) -> None:
        """Until the count is full. Raises KeyboardInterrupt between two verdicts, never within one."""
        while not self._is_full():
            if self.signals.came is not None:
                raise KeyboardInterrupt
            if not self._print_what_is_there():
                self._check_times()
            self.save()
            self._note_ending()

    def save(self) -> None:
        """Whole or not at all, after what it names was printed."""
        if self.asked.position is None or self._told == self._saved:
            return
        cameras = {camera: _Place(epoch=epoch, seq=seq) for camera, (epoch, seq) in self._told.items()}
        write_whole(self.asked.position, _Position(cameras=cameras).model_dump_json().encode())
        self._saved = dict(self._told)

    def _print_what_is_there(self) -> bool:
        wait_s = _LOOK_S
        for printed in range(_BATCH):
            if self._is_full() or self.signals.came is not None:
                return True
            arrived = self.client.receive(wait_s)
            if arrived is not None:
                self.say(arrived.text)
            self._told = dict(self.client.position)  # only now: a verdict that could not be printed comes again
            if arrived is None:
                return printed > 0
            self._seen, self._last_s, wait_s = self._seen + 1, time.monotonic(), 0.0
        return True

    def _is_full(self) -> bool:
        return self.asked.count is not None and self._seen >= self.asked.count

    def _check_times(self) -> None:
        """Late is late only when nothing is there to be read."""
        address, timeout_s, beat = self.asked.source.address, self.asked.timeout_s, self.client.beat
        if timeout_s is not None and time.monotonic() - self._last_s > timeout_s:
            of = "" if self.asked.count is None else f" of {self.asked.count}"
            what = f"{address}: no verdict for {timeout_s:g} s, {self._seen}{of} came"
            if beat is None:
                keys = " with the key of this client" if self.asked.source.keys else ""
                raise MekikiError(f"{what}; is mekiki-edge running there{keys}?")
            raise SafeStateError(f"{what}; safe state: look at the cameras and triggers of the box")
        if beat is not None and not beat.ending and self.client.silent_s > self.client.late_s:
            raise SafeStateError(
                f"{address}: no heartbeat for {self.client.late_s:g} s; safe state: look at the box and the network"
            )

    def _note_ending(self) -> None:
        ending = self.client.beat is not None and self.client.beat.ending
        if ending and not self._ending:
            self.warn(f"{self.asked.source.address}: mekiki-edge stopped in order; waiting for its next start")
        self._ending = ending


def _load(asked: Listening) -> dict[str, Key] | None:
    """The position to begin with: None for what is published from now on, empty for all that is held."""
    if asked.position is not None:
        with contextlib.suppress(FileNotFoundError):
            return _read(asked.position)
    return {} if asked.from_start else None


def _read(path: Path) -> dict[str, Key]:
    try:
        position = _Position.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ConfigError(
            f"{path}: no position ({first_error(error)}); delete it, and add --from-start to miss nothing"
        ) from error
    return {camera: (place.epoch, place.seq) for camera, place in position.cameras.items()}
