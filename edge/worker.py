"""A thread with a name and a visible death, and what the main thread makes of it."""

import logging
import threading
import time
from collections.abc import Callable

from models.errors import MekikiError

_log = logging.getLogger(__name__)


class HangError(MekikiError):
    """A device does not return. Its thread cannot be ended; the process must leave without it."""


class BusyError(HangError):
    """An orderly stop, but for a thread that cannot be waited for."""

    exit_code = 0


class Worker(threading.Thread):
    """Runs `work` once. What ended it is in `error`; `ended` is set however it ends."""

    def __init__(self, name: str, work: Callable[[], None], ended: threading.Event) -> None:
        # A daemon thread: one that hangs in a driver must not keep the process from leaving.
        super().__init__(name=name, daemon=True)
        self._work, self._ended = work, ended
        self.error: Exception | None = None

    def run(self) -> None:
        """The thread's body."""
        try:
            self._work()
        except Exception as error:  # noqa: BLE001  kept for the main thread, which stops the daemon
            self.error = error
            if not isinstance(error, MekikiError):  # a bug of ours: where it was matters
                _log.error("thread %s died", self.name, exc_info=True)
        finally:
            self._ended.set()


def died(workers: list[Worker]) -> Worker | None:
    """The first worker that an exception ended."""
    return next((worker for worker in workers if worker.error is not None), None)


def join(workers: list[Worker], limit_s: float) -> None:
    """Waits until all have ended, for so long at most."""
    until_s = time.monotonic() + limit_s
    for worker in workers:
        worker.join(max(0.0, until_s - time.monotonic()))


def complain(workers: list[Worker]) -> None:
    """Raises MekikiError when something ended that should not have, or did not end that should have."""
    stuck = [worker.name for worker in workers if worker.is_alive()]
    if dead := died(workers):
        kind = HangError if stuck or isinstance(dead.error, HangError) else MekikiError
        what = f"thread {dead.name} died ({type(dead.error).__name__}: {dead.error})"
        is_known = isinstance(dead.error, MekikiError)
        raise kind(str(dead.error) if is_known else f"{what}; stopped, because half a daemon passes bad parts")
    if stuck == ["swap"]:
        raise BusyError("stopped while a new version was being prepared; the next start takes it")
    if stuck:
        raise HangError(f"thread {', '.join(stuck)} did not end in time; left without it")
