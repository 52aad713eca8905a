"""Every verdict on disk before it is published, so that a subscriber that missed some can have them again.

`write` runs on the `publish` thread, and any thread may ask for `pending`. SQLite with a write-ahead log: what `write`
took is there after a kill -9 at any point. A power cut may lose the last moments (synchronous=NORMAL syncs at
checkpoints only) and never damages the file. While the disk takes nothing, verdicts wait in memory (10,000 of them, the
oldest go first), and a kill then loses those.
"""

import itertools
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from edge.config import JournalConfig
from edge.journal_file import claim, close, damage, is_damage, move_log, open_file, set_aside
from edge.metrics import Metrics
from models.errors import MekikiError

MAX_PENDING = 10_000
_CHUNK = 500  # rows of one transaction: what waited is written in steps that do not hold up the newest
_SLACK = 64  # rows: it is pruned once for so many verdicts, not for each
_PRUNE_EVERY = 64  # rows: a look at the oldest costs more than a row
_RETRY_S = 1.0
# Ignored: written by a commit whose answer was an error.
_INSERT = "INSERT OR IGNORE INTO verdict (epoch, camera, seq, verdict) VALUES (?, ?, ?, ?)"
_NOT_OURS = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
_log = logging.getLogger(__name__)


class Row(NamedTuple):
    """One verdict, as published."""

    epoch: str
    camera: str
    seq: int
    text: str  # JSON


class Journal:
    """The one writer of `path`."""

    def __init__(self, path: Path, max_verdicts: int, metrics: Metrics) -> None:
        """A damaged file is set aside. Raises MekikiError when another process has it, or it may not be written."""
        self.path, self.generation = path, 0  # which file it is: it grows when one is set aside
        self._max, self._metrics = max_verdicts, metrics
        self._pending: deque[Row] = deque()
        self._lock = threading.Lock()  # of the pending ones
        self._is_log_long = False
        self._connection: sqlite3.Connection | None = None
        self._ok, self._retry_s, self._lost = True, 0.0, 0
        self._slack = min(_PRUNE_EVERY, max_verdicts // 10)
        self._unpruned = self._slack  # the first write looks: the limit may be smaller now
        self._epoch = ""  # what `begin` wrote
        self._owned = claim(path)
        try:
            self._start()
        except BaseException:
            os.close(self._owned)
            raise

    def write(self, rows: Sequence[Row]) -> None:
        """Takes verdicts, and writes all that wait. Never raises for the disk: they wait in memory then.

        Call it without rows now and then, so that what waits is tried again, and a log that became long ends.
        """
        with self._lock:
            self._pending.extend(rows)
            while len(self._pending) > MAX_PENDING:
                self._pending.popleft()
                self._lost += 1
        if self._pending and (self._ok or time.monotonic() >= self._retry_s):
            self._attempt()
        if self._is_log_long and not rows:  # it waits for the disk, as no verdict must
            self._is_log_long = False
            self._end_checkpoint()

    def configure(self, config: JournalConfig) -> None:
        """Another length from the next writing on. Any thread."""
        self._max, self._slack = config.max_verdicts, min(_PRUNE_EVERY, config.max_verdicts // 10)

    def pending(self) -> list[Row]:
        """What is not on disk yet, oldest first. Any thread; ask before reading the file, and nothing is missed."""
        with self._lock:
            return list(self._pending)

    def newest_epoch(self) -> str | None:
        """The newest epoch that the file knows. None when it knows none, or cannot be read."""
        try:
            row = self._connection.execute("SELECT max(name) FROM epoch").fetchone() if self._connection else None
        except sqlite3.Error as error:
            self._failed(error)
            return None
        return None if row is None or row[0] is None else str(row[0])

    def begin(self, epoch: str) -> None:
        """Remembers an epoch, though it may never have a verdict."""
        if self._connection is None:
            return
        try:
            with self._connection:
                self._connection.execute("INSERT OR IGNORE INTO epoch VALUES (?)", (epoch,))
            self._epoch = epoch
        except sqlite3.Error as error:
            self._failed(error)

    def end_log_soon(self) -> None:
        """The writer is to end the log when it has no verdict. Any thread."""
        self._is_log_long = True

    def close(self) -> None:
        """A last attempt for what waits; then the file is free."""
        self._retry_s = 0.0
        for _ in range(MAX_PENDING // _CHUNK):
            self.write(())
            if not self._ok or not self._pending:
                break
        if self._pending:
            _log.error("journal %s: %d verdicts never reached the disk", self.path, len(self._pending))
        self._drop_connection()
        os.close(self._owned)

    def _start(self) -> None:
        try:
            wrong = damage(self.path)
            if wrong is not None:
                self._replace(wrong)
            self._connection = open_file(self.path)
        except sqlite3.Error as error:
            if (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in _NOT_OURS:
                raise MekikiError(f"journal {self.path}: {error}; give the daemon's user the folder `state`") from error
            self._failed(error)
        else:
            self._metrics.journal(ok=True, pending=0)

    def _replace(self, wrong: str) -> None:
        """Sets the file aside; the next attempt begins a new one."""
        self._drop_connection()
        aside = set_aside(self.path)
        self.generation += 1
        self._epoch = ""
        self._metrics.journal_damaged()
        _log.error("journal %s: damaged (%s); set aside as %s, verdicts before now are not replayed",
                   self.path, wrong, aside.name)  # fmt: skip

    def _attempt(self) -> None:
        with self._lock:
            rows = list(itertools.islice(self._pending, _CHUNK))
        try:
            if self._connection is None:
                self._connection = open_file(self.path)
            self._unpruned += len(rows)
            if len(rows) == 1 and rows[0].epoch == self._epoch and self._unpruned <= self._slack:
                self._connection.execute(_INSERT, rows[0])  # a transaction of its own, in a third of the time
            else:
                with self._connection as connection:
                    self._insert(connection, rows)
        except sqlite3.Error as error:
            self._failed(error)
            return
        with self._lock:
            for row in rows:  # none of these fell off meanwhile: `write` is on this thread
                assert self._pending.popleft() is row  # noqa: S101
        self._succeeded()

    def _end_checkpoint(self) -> None:
        try:
            if self._connection is not None:
                move_log(self._connection)
        except sqlite3.Error as error:
            _log.warning("journal: checkpoint failed (%s); the log grows until the disk takes it", error)

    def _insert(self, connection: sqlite3.Connection, rows: list[Row]) -> None:
        """One transaction. Now and then as many of the oldest go as came since, so that it stays bounded."""
        connection.execute("BEGIN IMMEDIATE")
        for epoch in {row.epoch for row in rows} - {self._epoch}:
            connection.execute("INSERT OR IGNORE INTO epoch VALUES (?)", (epoch,))
        connection.executemany(_INSERT, rows)
        if self._unpruned > self._slack:
            at_most = 2 * (_PRUNE_EVERY + len(rows))
            is_enough = _prune(connection, self._max - self._slack, at_most) < at_most
            self._unpruned = 0 if is_enough else self._unpruned

    def _failed(self, error: sqlite3.Error) -> None:
        if self._ok:
            _log.error("journal %s: %s; verdicts are published and wait in memory; free the disk", self.path, error)
        self._ok, self._retry_s = False, time.monotonic() + _RETRY_S
        if is_damage(error):
            self._try_replace(str(error))
        elif self._connection is not None and self._connection.in_transaction:
            self._drop_connection()  # it could not even take the transaction back
        self._metrics.journal(ok=False, pending=len(self._pending))

    def _try_replace(self, wrong: str) -> None:
        try:
            self._replace(wrong)
            self._retry_s = 0.0
        except OSError as error:
            _log.error("journal %s: cannot be set aside (%s)", self.path, error.strerror)

    def _drop_connection(self) -> None:
        close(self._connection)
        self._connection = None

    def _succeeded(self) -> None:
        if not self._ok:
            _log.info("journal %s: writes again; %d verdicts were lost to it", self.path, self._lost)
        self._ok, self._lost = True, 0
        self._metrics.journal(ok=True, pending=len(self._pending))


def _prune(connection: sqlite3.Connection, keep: int, at_most: int) -> int:
    """Deletes the oldest verdicts beyond `keep`, and remembers the newest one gone of each camera. How many went."""
    newest = connection.execute("SELECT max(id) FROM verdict").fetchone()[0]
    gone = connection.execute(
        "DELETE FROM verdict WHERE id IN (SELECT id FROM verdict WHERE id <= ? ORDER BY id LIMIT ?)"
        " RETURNING camera, epoch, seq",
        (newest - keep, at_most),
    ).fetchall()
    marks = {camera: (camera, epoch, seq) for camera, epoch, seq in sorted(gone)}
    connection.executemany("INSERT OR REPLACE INTO pruned VALUES (?, ?, ?)", marks.values())
    return len(gone)
