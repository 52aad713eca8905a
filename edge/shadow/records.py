"""What candidates said beside active models, on disk: `STATE/shadow.db`. Written on the `shadow` threads.

It survives a restart, and is not what the line depends on: where the disk takes nothing, what was seen is lost.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from edge.journal_file import is_damage, set_aside
from models.verdict import Verdict

MAX_PARTS = 500_000  # the oldest go first; some 200 bytes each
_PRUNE_EVERY = 1000
_BUSY_S = 5.0
_TABLES = (
    "CREATE TABLE IF NOT EXISTS pair (id INTEGER PRIMARY KEY, active TEXT NOT NULL, candidate TEXT NOT NULL,"
    " active_threshold REAL, candidate_threshold REAL, UNIQUE (active, candidate))",  # known from the first part on
    "CREATE TABLE IF NOT EXISTS part (id INTEGER PRIMARY KEY, pair INTEGER NOT NULL, epoch TEXT NOT NULL,"
    " camera TEXT NOT NULL, seq INTEGER NOT NULL, part_id TEXT, captured_at_ns INTEGER NOT NULL,"
    " active_outcome TEXT NOT NULL, active_reason TEXT, active_score REAL, active_s REAL NOT NULL,"
    " candidate_outcome TEXT NOT NULL, candidate_reason TEXT, candidate_score REAL, candidate_s REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS dropped (pair INTEGER NOT NULL, camera TEXT NOT NULL, why TEXT NOT NULL,"
    " n INTEGER NOT NULL, UNIQUE (pair, camera, why))",
)
_ADD = "INSERT INTO part VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_THRESHOLDS = "UPDATE pair SET active_threshold = ?, candidate_threshold = ? WHERE id = ?"
_ADD_DROPPED = "INSERT INTO dropped VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n"
_log = logging.getLogger(__name__)


def records_in(state: Path) -> Path:
    """Where they lie in the daemon's folder."""
    return state / "shadow.db"


class Dropped(NamedTuple):
    """Frames that the candidate did not see."""

    active: str
    candidate: str
    camera: str
    why: str  # line: it left no time; shadow: the candidate was at another; no_room: the deadline has none for both


class Records:
    """The one writer of a store's candidate. Never raises for the disk."""

    def __init__(self, path: Path, max_parts: int = MAX_PARTS) -> None:
        """Nothing is read or written yet."""
        self._path, self._max = path, max_parts
        self._connection: sqlite3.Connection | None = None
        self._added, self._works = 0, True

    def add(self, active: Verdict, candidate: Verdict) -> None:
        """What both said of a part."""
        seconds = (one.stages.infer_s + one.stages.decode_s + one.stages.find_s for one in (active, candidate))
        active_s, candidate_s = seconds
        part = (active.epoch, active.camera, active.seq, active.part_id, active.captured_at_ns)
        said = (active.outcome, active.reason, active.score, active_s)
        beside = (candidate.outcome, candidate.reason, candidate.score, candidate_s)

        def write(connection: sqlite3.Connection) -> None:
            pair = _pair(connection, str(active.bundle), str(candidate.bundle))
            connection.execute(_THRESHOLDS, (active.threshold, candidate.threshold, pair))
            connection.execute(_ADD, (pair, *part, *said, *beside))
            if self._added % _PRUNE_EVERY == 0:
                connection.execute("DELETE FROM part WHERE id <= (SELECT MAX(id) FROM part) - ?", (self._max,))
            self._added += 1

        self._write(write)

    def add_dropped(self, counts: Mapping[Dropped, int]) -> None:
        """How many frames it did not see since the last time."""

        def write(connection: sqlite3.Connection) -> None:
            for dropped, n in counts.items():
                pair = _pair(connection, dropped.active, dropped.candidate)
                connection.execute(_ADD_DROPPED, (pair, dropped.camera, dropped.why, n))

        self._write(write)

    def close(self) -> None:
        """The file is free."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write(self, change: Callable[[sqlite3.Connection], None]) -> None:
        """One transaction."""
        try:
            self._connection = self._connection or _opened(self._path)
            with self._connection as connection:
                change(connection)
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
        else:
            self._works = True

    def _failed(self, error: Exception) -> None:
        if self._works:
            _log.warning("shadow: %s: %s; what the candidate says is counted in the metrics only", self._path, error)
        self._works = False
        self.close()
        if isinstance(error, sqlite3.Error) and is_damage(error):
            with contextlib.suppress(OSError):
                _log.warning("shadow: damaged, set aside as %s; the count begins anew", set_aside(self._path).name)


def read_only(path: Path) -> sqlite3.Connection:
    """For the report. Raises sqlite3.Error."""
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_BUSY_S)


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=_BUSY_S)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        for table in _TABLES:
            connection.execute(table)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _pair(connection: sqlite3.Connection, active: str, candidate: str) -> int:
    names = (active, candidate)
    connection.execute("INSERT OR IGNORE INTO pair (active, candidate) VALUES (?, ?)", names)
    return int(connection.execute("SELECT id FROM pair WHERE active = ? AND candidate = ?", names).fetchone()[0])
