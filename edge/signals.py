"""SIGTERM and SIGINT, noted for the main thread."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class Signals:
    """Whether SIGTERM or SIGINT came. The handler sets one attribute: a lock there could deadlock."""

    def __init__(self) -> None:
        self.came: str | None = None

    def note(self, number: int, _: FrameType | None) -> None:
        """The handler."""
        self.came = signal.Signals(number).name

    @contextlib.contextmanager
    def caught(self) -> Iterator["Signals"]:
        """Catches both signals inside the block."""
        before = {number: signal.signal(number, self.note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
