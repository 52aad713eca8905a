"""Whether the pipeline moves. Threads count their rounds, the main thread looks and tells the service manager.

There is no timer here: WATCHDOG=1 is sent when a look has found every stage moving or idle, and not
otherwise. So a daemon whose capture, lanes, engine or publisher is stuck is started anew, though its
main thread is well.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edge.notify import Notifier

ROUND_S = 2.0  # every loop of the pipeline comes round at least twice a second
_log = logging.getLogger(__name__)


class Beat:
    """Belongs to one thread: it counts the rounds of its loop, each of which looked for work."""

    __slots__ = ("is_idle", "rounds")

    def __init__(self) -> None:
        self.rounds, self.is_idle = 0, False

    def __call__(self) -> None:
        """One more round."""
        self.rounds += 1

    @contextlib.contextmanager
    def resting(self) -> Iterator[None]:
        """Inside it the thread waits for a moment that it knows."""
        self.is_idle = True
        try:
            yield
        finally:
            self.rounds += 1
            self.is_idle = False

    def done(self) -> "Done":
        """As a stage is looked at."""
        return Done(self.rounds, self.is_idle)


class Done(NamedTuple):
    """What a stage has done so far: anything that changes when it does more."""

    so_far: int
    is_idle: bool  # and whether it has nothing to do


@dataclass(slots=True)
class Stage:
    """One part of the pipeline, as the main thread sees it."""

    name: str
    look: Callable[[], Done]
    limit_s: float = ROUND_S  # it may be at one thing for so long
    _last: int = field(init=False, default=-1)
    _since_s: float = field(init=False, default_factory=time.monotonic)

    def stuck_s(self) -> float | None:
        """For how long it has not moved, when that is too long."""
        done, now_s = self.look(), time.monotonic()
        if done.is_idle or done.so_far != self._last:
            self._last, self._since_s = done.so_far, now_s
        still_s = now_s - self._since_s
        return still_s if still_s > self.limit_s else None


class Watchdog:
    """Looks at all stages whenever the main thread comes round."""

    def __init__(self, notifier: Notifier, stages: Sequence[Stage], status: Callable[[], str]) -> None:
        self._notifier, self._stages, self._status = notifier, stages, status
        self._every_s = (notifier.watchdog_s or 4.0) / 4
        self._next_s = 0.0
        self._stuck: list[str] = []

    def look(self) -> None:
        """Tells the manager that all move, if they do. What does not is logged when it stops and when it goes on."""
        found = {stage.name: still_s for stage in self._stages if (still_s := stage.stuck_s()) is not None}
        if (stuck := sorted(found)) != self._stuck:
            self._stuck = stuck
            self._say(found)
        if not stuck and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + self._every_s
            self._notifier.alive(self._status())

    def _say(self, found: dict[str, float]) -> None:
        if not found:
            _log.warning("the pipeline moves again")
            return
        words = ", ".join(f"{name} has not moved for {still_s:.1f} s" for name, still_s in found.items())
        _log.error("stuck: %s; a service manager with a watchdog starts the daemon anew unless that ends", words)
        self._notifier.status(f"stuck: {words}")
