"""Follows the active version of a store while the daemon runs. Thread `swap`.

A new version is verified (its signature too), compiled, warmed and checked on its golden images beside the old
one. Only then does the engine switch, between two frames. A version that fails any of it stays out until the store or
the trusted keys change, or a reload looks again. One that waits for the line to stop is prepared meanwhile.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge.hold import Hold
from edge.metrics import Metrics
from edge.model import Model
from edge.probation import Trial
from models.bundle import Bundle
from models.errors import BundleError, ConfigError, DeviceError, MekikiError
from models.store import Store

_log = logging.getLogger(__name__)
_LOOK_S = 0.5
_WHATEVER = (MekikiError, OSError, RuntimeError, MemoryError)  # that a disk or a device may throw
_SWITCH_S = 10.0  # the engine switches between two frames; if it does not, it hangs


class Switch(Protocol):
    """What swaps ask of the engine."""

    def swap(self, cameras: Sequence[str], model: Model) -> "threading.Event":
        """Puts the model in force for these cameras; the event says that it is."""


@dataclass(slots=True)
class _Followed:
    """One store, the cameras that judge by it, and the version they have."""

    store: Store
    cameras: Sequence[str]
    digest: str
    prepare: Callable[[Bundle], Model]  # makes a model that may judge, or raises MekikiError
    trial: Trial | None = None  # watches a version on probation
    stamp: tuple[int, int] = (0, 0)  # of the store's record and of the trusted keys when they were last read
    waiting: Model | None = None  # prepared, for when the line stops


class Swap:
    """Looks at every store twice a second."""

    def __init__(self, engine: Switch, metrics: Metrics, stop: threading.Event, hold: Hold | None = None) -> None:
        self._engine, self._metrics, self._stop, self._hold = engine, metrics, stop, hold or Hold()
        self._followed: list[_Followed] = []
        self._asked, self._answered = 0, 0  # looks that were asked for, and those that were taken

    def follow(
        self,
        store: Store,
        cameras: Sequence[str],
        digest: str,
        prepare: Callable[[Bundle], Model],
        trial: Trial | None = None,
    ) -> None:
        """Before the thread starts: these cameras judge by this store, and have this version now."""
        self._followed.append(_Followed(store, cameras, digest, prepare, trial))

    def run(self) -> None:
        """The body of the thread, until the stop event."""
        while not self._stop.wait(_LOOK_S):
            self.look_at_all()

    def look_again(self) -> None:
        """The next look is at every store, changed or not: a version that failed is tried once more. Any thread."""
        self._asked += 1

    @property
    def has_looked(self) -> bool:
        """Whether every look that was asked for is done, the change of model too."""
        return self._answered == self._asked

    def look_at_all(self) -> None:
        """Follows every store that changed since the last look."""
        asked = self._asked
        if asked != self._answered:
            for followed in self._followed:
                followed.stamp = (0, 0)
        self._look_at_each()
        self._answered = asked

    def _look_at_each(self) -> None:
        for followed in self._followed:
            self._look(followed)
            if followed.trial is not None:
                followed.trial.look(followed.digest)

    def _look(self, followed: _Followed) -> None:
        """Follows the store's record where it changed, or the keys that its versions are trusted by."""
        stamp = followed.store.record.stamp, followed.store.gate.stamp
        if stamp != followed.stamp:
            followed.stamp = stamp
            self._follow(followed)
        if followed.waiting is not None and not self._hold.is_on:
            self._release(followed, followed.waiting.bundle.digest)

    def _follow(self, followed: _Followed) -> None:
        wanted = None
        try:
            state = followed.store.state()
            wanted = state.active
            if wanted not in (None, followed.digest):
                model = self._prepared(followed, wanted)
                if followed.store.state().active != wanted:
                    return  # withdrawn meanwhile; the next look sees what is wanted now
                self._switch(followed, model)
            wanted = None if state.waiting is None else state.waiting.version
            followed.waiting = None if wanted is None else self._prepared(followed, wanted)
        except _WHATEVER as error:
            self._refused(followed, wanted, error)

    def _release(self, followed: _Followed, digest: str) -> None:
        """The line is stopped: the version that waits comes into force, on probation if the settings want one."""
        try:
            is_tried = followed.trial is not None and followed.trial.is_wanted
            followed.store.release(digest, on_probation=is_tried)
        except _WHATEVER as error:
            followed.waiting = None
            self._refused(followed, digest, error)
        else:
            self._follow(followed)

    def _prepared(self, followed: _Followed, digest: str) -> Model:
        """It may have been prepared while it waited."""
        waiting = followed.waiting
        if waiting is not None and waiting.bundle.digest == digest:
            return waiting
        return followed.prepare(followed.store.open(digest))

    def _refused(self, followed: _Followed, digest: str | None, error: Exception) -> None:
        """Whatever it is, the line goes on as it is."""
        self._metrics.swap("refused")
        _log.error("model of %s stays as it is: %s", ", ".join(followed.cameras), error)
        # Not for a disk or a memory that was full, a device that is gone, or trusted keys that are not in order.
        if digest is not None and isinstance(error, MekikiError) and not isinstance(error, (ConfigError, DeviceError)):
            # What is damaged, or signed by nobody whom we trust, may come again, and be in order then.
            is_final = not isinstance(error, BundleError)
            _give_up(followed.store, digest, " ".join(str(error).split()), is_final=is_final)

    def _switch(self, followed: _Followed, model: Model) -> None:
        if not self._engine.swap(followed.cameras, model).wait(_SWITCH_S):
            return  # the engine is leaving
        followed.digest = model.bundle.digest
        self._metrics.swap("switched")
        _log.info("%s: now judged by %s", ", ".join(followed.cameras), model.name)


def _give_up(store: Store, digest: str, why: str, *, is_final: bool) -> None:
    """If it is on probation the version before it comes back, so that the next start finds one that judges. If it waits
    for the line to stop, it waits no more."""
    try:
        waiting = store.state().waiting
        if waiting is not None and waiting.version == digest:
            store.refuse(digest, why)
        else:
            store.give_up(digest, why, is_final=is_final)
    except (MekikiError, OSError) as error:
        _log.warning("version %s stays active in %s: %s", digest[:12], store.root, error)
