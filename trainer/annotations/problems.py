"""All that is wrong with annotations, in one error: nobody wants to correct a hundred files one run at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from models.errors import DatasetError

_SHOWN = 8
_FIX = "correct these in the labelling tool or move the files away, then run again"


class RecordError(Exception):
    """One record cannot be used. `Problems.at` catches it; it never leaves the package."""


class Problems:
    """Counts problems and keeps the first of them; counts what was read generously by kind."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.count = 0
        self._first: list[str] = []
        self._notes: dict[str, tuple[int, str]] = {}  # kind -> how often, where first

    def add(self, where: object, what: str) -> None:
        """`where` is a file below the root, with the line or id where there is one."""
        self.count += 1
        if len(self._first) < _SHOWN:
            self._first.append(f"{where}: {what}")

    @contextlib.contextmanager
    def at(self, where: object) -> Iterator[None]:
        """Turns a RecordError or a DatasetError of the block into a problem at `where`; the block ends there."""
        try:
            yield
        except (RecordError, DatasetError) as error:
            self.add(where, str(error))

    def note(self, what: str, where: object) -> None:
        """Something was read generously; notes of one kind become one line with their number."""
        count, first = self._notes.get(what, (0, str(where)))
        self._notes[what] = (count + 1, first)

    @property
    def notes(self) -> tuple[str, ...]:
        """One line for each kind of note, with the number and the first place."""
        return tuple(
            f"{what}: {first}" if count == 1 else f"{what}: {count} times, first {first}"
            for what, (count, first) in self._notes.items()
        )

    def raise_if_any(self) -> None:
        """Raises DatasetError with the number of problems, the first eight and what to do."""
        if not self.count:
            return
        more = self.count - len(self._first)
        listed = "; ".join([*self._first, *([f"and {more} more"] if more else [])])
        plural = "problem" if self.count == 1 else "problems"
        raise DatasetError(f"{self.root}: {self.count} {plural} in the annotations: {listed}; {_FIX}")
