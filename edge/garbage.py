"""Keeps Python's garbage collector out of the hot path. Called by the engine."""

import gc
import time

_EVERY_S = 10.0
_AT_LEAST_EVERY_S = 60.0


class Garbage:
    """Collects between parts. What exists after the start is never looked at again."""

    def __init__(self) -> None:
        self._last_s = time.monotonic()

    def freeze(self) -> None:
        """After the start, before the first part."""
        gc.collect()
        gc.freeze()
        gc.disable()

    def collect_when_due(self, *, idle: bool = True) -> None:
        """Takes well under a millisecond, as only what was made since the start is looked at."""
        since_s = time.monotonic() - self._last_s
        if since_s > (_EVERY_S if idle else _AT_LEAST_EVERY_S):
            gc.collect()
            self._last_s = time.monotonic()
