"""Moves the journal's write-ahead log into its file while the writer goes on. The body of the `journal` thread.

SQLite begins the log anew only when nothing is left of it, and what comes during a checkpoint is left. A line that
never pauses would let it grow: beyond a limit the writer itself moves the little that came during a second pass,
when it has no verdict.
"""

import logging
import sqlite3
import threading

from edge.journal import Journal
from edge.journal_file import close, connect, move_log

_EVERY_S = 2.0
_WAL_BYTES = 32_000_000
_log = logging.getLogger(__name__)


class Checkpoints:
    """One after the other, on a connection of their own."""

    def __init__(self, journal: Journal, *, every_s: float = _EVERY_S, wal_bytes: int = _WAL_BYTES) -> None:
        self._journal, self._every_s, self._wal_bytes = journal, every_s, wal_bytes
        self._open: sqlite3.Connection | None = None
        self._generation = -1
        self._over = threading.Event()

    def run(self) -> None:
        """Until `finish`."""
        worked = True
        while not self._over.wait(self._every_s):
            try:
                self._checkpoint(self._connection())
            except sqlite3.Error as error:
                if worked:
                    _log.warning("journal: checkpoint failed (%s); it is tried every %g s", error, self._every_s)
                worked = False
                self._let_go()
            else:
                worked = True
        self._let_go()

    def finish(self) -> None:
        """Ends `run`."""
        self._over.set()

    def _connection(self) -> sqlite3.Connection:
        if self._open is None or self._generation != self._journal.generation:
            self._let_go()
            self._open, self._generation = connect(self._journal.path), self._journal.generation
        return self._open

    def _let_go(self) -> None:
        close(self._open)
        self._open = None

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        if move_log(connection) > self._wal_bytes:
            move_log(connection)
            self._journal.end_log_soon()
