"""A thread with a name and a visible death."""

import logging
import threading
from collections.abc import Callable

from models.errors import MekikiError

_log = logging.getLogger(__name__)


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
