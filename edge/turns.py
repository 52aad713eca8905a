"""What happens to the engine happens in turns: one after the other, each whole, on whichever thread finds nobody at it.

To wake another thread for it would cost the part a tenth of a millisecond.
"""

import queue
import threading
import time
from collections.abc import Callable

Event = Callable[[], None]


class Turns:
    """`settle` ends every turn, and gives the moment (time.monotonic_ns()) of the next one though nothing happens."""

    def __init__(self, settle: Callable[[], int]) -> None:
        self._settle = settle
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.working = threading.Lock()  # whoever has it is at it
        self._woken = threading.Event()
        self._sleep_until_ns = 0  # when `come_round` looks by itself

    def post(self, event: Event) -> None:
        """Has its turn here and now, unless somebody is at it: then it has it there. Any thread."""
        self._events.put(event)
        self._work()

    def come_round(self, watch: Callable[[], None]) -> None:
        """A turn though nothing happened, with a look at `watch`; then it sleeps. Always on the same thread."""
        with self.working:
            self._sleep_until_ns = self._turn()
            watch()
        self._work()  # what was posted meanwhile found us at it
        self._woken.wait(max(0.0, (self._sleep_until_ns - time.monotonic_ns()) / 1e9))
        self._woken.clear()

    def _work(self) -> None:
        while not self._events.empty() and self.working.acquire(blocking=False):
            try:
                if self._turn() < self._sleep_until_ns:
                    self._woken.set()
            finally:
                self.working.release()

    def _turn(self) -> int:
        while not self._events.empty():
            self._events.get_nowait()()
        return self._settle()
