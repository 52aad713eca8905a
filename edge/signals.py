"""SIGTERM, SIGINT and SIGHUP, noted for the main thread."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType


class Signals:
    """Whether a stop came, and whether a reload did. Handlers set one attribute: a lock there could deadlock.

    SIGHUP asks for a reload, but in a terminal it says that the terminal is gone: a stop.
    """

    def __init__(self) -> None:
        self.came: str | None = None
        self.wants_reload = False

    def note(self, number: int, _: FrameType | None) -> None:
        """The handler of stops."""
        self.came = signal.Signals(number).name

    def note_reload(self, _number: int, _frame: FrameType | None) -> None:
        """The handler of SIGHUP."""
        self.wants_reload = True

    @contextlib.contextmanager
    def caught(self) -> Iterator["Signals"]:
        """Catches the signals inside the block."""
        hang_up = self.note if _has_terminal() else self.note_reload
        handlers = {signal.SIGTERM: self.note, signal.SIGINT: self.note, signal.SIGHUP: hang_up}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _has_terminal() -> bool:
    try:
        return os.isatty(sys.stdin.fileno())
    except (AttributeError, ValueError, OSError):  # closed, or none
        return False
