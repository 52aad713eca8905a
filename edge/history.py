"""Reads the journal beside its writer: what is on disk, and what still waits for the disk. `replay` thread only."""

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from edge.journal import Journal, Row
from edge.journal_file import connect, is_made

_SELECT = "SELECT epoch, camera, seq, verdict FROM verdict WHERE camera = ?"
_Key = tuple[str, int]  # epoch, seq: the order in which a camera's verdicts were published


class Page(NamedTuple):
    """Verdicts of one camera, in publish order."""

    rows: list[Row]
    more: bool
    complete: bool  # nothing between the place asked for and the first row is held no more


class History:
    """The reader. Every method raises sqlite3.Error when the file cannot be read; the next call opens it again."""

    def __init__(self, journal: Journal) -> None:
        self._journal, self._generation = journal, -1
        self._open: sqlite3.Connection | None = None

    def after(self, camera: str, at: _Key | None, limit: int, max_bytes: int) -> Page:
        """What follows `at`, or all that is held: at most `limit` rows and about `max_bytes`, at least one row."""
        pending = [row for row in self._journal.pending() if row.camera == camera]  # before the file: none is missed
        place = at or ("", -1)
        with self._at_one_moment():
            complete = self._is_complete(camera, at)
            found = self._read(
                f"{_SELECT} AND (epoch, seq) > (?, ?) ORDER BY epoch, seq LIMIT ?", (camera, *place, limit + 1)
            )
        known = {(row[0], row[2]): Row(*row) for row in found}
        known |= {(row.epoch, row.seq): row for row in pending if (row.epoch, row.seq) > place}
        rows = _fitting([known[key] for key in sorted(known)], limit, max_bytes)
        return Page(rows, len(rows) < len(known), complete)

    def last(self) -> dict[str, Row]:
        """The newest verdict of each camera."""
        pending = self._journal.pending()
        last = {camera: self._end(camera, "DESC") for camera in self._cameras()}
        for row in pending:
            there = last.get(row.camera)
            if there is None or (row.epoch, row.seq) > (there.epoch, there.seq):
                last[row.camera] = row
        return last

    def oldest(self) -> dict[str, Row]:
        """The oldest verdict of each camera."""
        pending = self._journal.pending()
        oldest = {camera: self._end(camera, "ASC") for camera in self._cameras()}
        for row in pending:
            oldest.setdefault(row.camera, row)
        return oldest

    def close(self) -> None:
        """Lets go of the file."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _is_complete(self, camera: str, at: _Key | None) -> bool:
        marks = self._read("SELECT epoch, seq FROM pruned WHERE camera = ?", (camera,))
        if any(mark > (at or ("", -1)) for mark in marks):
            return False
        began = self._name("SELECT min(name) FROM epoch")
        return at is None or began is None or at[0] >= began  # an older file was set aside or deleted

    def _cameras(self) -> Iterator[str]:
        """One step of the index for each: the table may hold a million rows."""
        name: str | None = ""
        while (name := self._name("SELECT min(camera) FROM verdict WHERE camera > ?", name)) is not None:
            yield name

    def _end(self, camera: str, order: str) -> Row:
        return Row(*self._read(f"{_SELECT} ORDER BY epoch {order}, seq {order} LIMIT 1", (camera,))[0])

    def _name(self, query: str, *values: object) -> str | None:
        rows = self._read(query, values)
        return rows[0][0] if rows else None

    @contextlib.contextmanager
    def _at_one_moment(self) -> Iterator[None]:
        """What is pruned between two statements would look as if it had never been there."""
        self._read("BEGIN", ())
        try:
            yield
        finally:
            if self._open is not None:
                self._open.rollback()

    def _read(self, query: str, values: tuple[object, ...]) -> list[Any]:
        if self._open is None or self._generation != self._journal.generation:
            self.close()
            self._generation = self._journal.generation
            if not is_made(self._journal.path):
                return []  # a full disk has kept it from being made: all that there is waits in memory
            self._open = connect(self._journal.path, read_only=True)
        try:
            return self._open.execute(query, values).fetchall()
        except sqlite3.Error:
            self.close()
            raise


def _fitting(rows: list[Row], limit: int, max_bytes: int) -> list[Row]:
    taken, size = 0, 0
    for row in rows[:limit]:
        size += len(row.text)
        if taken and size > max_bytes:
            break
        taken += 1
    return rows[:taken]
