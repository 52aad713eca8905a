"""The file of the journal: its schema, how it is claimed and opened, how damage is found, and how it is set aside.

No thread of its own: the writer, the checkpoints and the replay each open a connection of theirs.
"""

import fcntl
import logging
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from models.errors import MekikiError

_TABLES = (
    "CREATE TABLE verdict (id INTEGER PRIMARY KEY, epoch TEXT NOT NULL, camera TEXT NOT NULL,"
    " seq INTEGER NOT NULL, verdict TEXT NOT NULL, UNIQUE (camera, epoch, seq))",  # verdict: the JSON as published
    "CREATE TABLE pruned (camera TEXT PRIMARY KEY, epoch TEXT NOT NULL, seq INTEGER NOT NULL)",  # the newest one gone
    "CREATE TABLE epoch (name TEXT PRIMARY KEY)",  # every start of the daemon that has rows here, and the last one
)
_VERSION = 1
_BUSY_S = 0.1  # nobody else writes; a person's shell that does must not hold the line
_PROBES = 64
_KEPT_ASIDE = 3
_WAL_MAGICS = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_PAGE_BYTES = 4096  # SQLite's own default
_log = logging.getLogger(__name__)


def claim(path: Path) -> int:
    """A lock that ends with the process: two writers would mix their epochs. Raises MekikiError."""
    lock = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise MekikiError(f"{lock}: {error.strerror}; give the daemon's user the folder `state`") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise MekikiError(f"journal {path}: in use; stop the other mekiki-edge, or set `state`") from error
    return descriptor


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection that commits only where it is told to. Raises sqlite3.Error."""
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={'ro' if read_only else 'rwc'}",
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,  # opened on one thread, then used by one other
    )
    try:
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA cell_size_check=ON")
        connection.execute("PRAGMA wal_autocheckpoint=0")  # the `journal` thread does it: a writer must not stall
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def open_file(path: Path) -> sqlite3.Connection:
    """The writer's connection, with the tables made where the file is new. Raises sqlite3.Error."""
    connection = connect(path)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        if not _schema(connection):
            _make_tables(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def close(connection: sqlite3.Connection | None) -> None:
    """Lets go of it, whatever the disk says."""
    if connection is not None:
        try:
            connection.close()
        except sqlite3.Error as error:
            _log.warning("journal: %s on close", error)


def move_log(connection: sqlite3.Connection) -> int:
    """One checkpoint that waits for nobody; how long the log was."""
    return int(connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]) * _PAGE_BYTES


def is_made(path: Path) -> bool:
    """Whether the file is there, with its tables. Raises sqlite3.Error."""
    if not path.exists():
        return False
    connection = connect(path, read_only=True)
    try:
        return bool(_schema(connection))
    finally:
        connection.close()


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the content of the file is wrong, which no waiting repairs; else the disk or a lock is in the way."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGE


def damage(path: Path) -> str | None:
    """What is wrong with the file, None when nothing shows. Bounded in time: it reads some hundred pages of any size.

    Raises sqlite3.Error when it could not be asked: disk, lock, permission.
    """
    if not path.exists():
        leftover = _wal(path).exists() and _wal(path).stat().st_size > 0
        return "its write-ahead log lies there without it" if leftover else None
    if wrong := _wal_damage(_wal(path)):
        return wrong
    try:
        connection = connect(path)
        try:
            return _looked_into(connection, path)
        finally:
            connection.close()
    except sqlite3.Error as error:
        if is_damage(error) or error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # our questions fit our tables only
            return str(error)
        raise


def set_aside(path: Path) -> Path:
    """Renames the file and its companions so that a person can look at them; the oldest of more than three go."""
    aside = path.with_name(f"{path.stem}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.db")
    for ending in ("-shm", "-wal", ""):
        part = path.with_name(path.name + ending)
        if part.exists():
            part.rename(aside.with_name(aside.name + ending))
    for old in sorted(path.parent.glob(f"{path.stem}.damaged-*.db"))[:-_KEPT_ASIDE]:
        for ending in ("-shm", "-wal", ""):
            old.with_name(old.name + ending).unlink(missing_ok=True)
    return aside


def _wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _wal_damage(wal: Path) -> str | None:
    """SQLite takes a log with a wrong header for an empty one; the file without it may be half a checkpoint."""
    if not wal.exists():
        return None
    with wal.open("rb") as file:
        head = file.read(32)
    if not head.strip(b"\0") or head.startswith(_WAL_MAGICS):  # zeros: a power cut before its first sync
        return None
    return "its write-ahead log is none"


def _looked_into(connection: sqlite3.Connection, path: Path) -> str | None:
    schema = _schema(connection)
    if not schema:
        return None  # killed before the tables were there: an empty file is as good as none
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if schema != set(_TABLES) or version != _VERSION:
        return f"its tables are not those of this version (user_version {version}, wanted {_VERSION})"
    busy, log, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    pages, page_bytes = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    if not busy and log == moved and path.stat().st_size < pages * page_bytes:
        return f"cut off: {path.stat().st_size} bytes, {pages * page_bytes} were wanted"
    return _probed(connection)


def _probed(connection: sqlite3.Connection) -> str | None:
    """Reads the newest rows, and rows at even distances, through the table and through its index."""
    first, last = connection.execute("SELECT min(id), max(id) FROM verdict").fetchone()
    if first is None:
        return None
    ids = {first + (last - first) * i // _PROBES for i in range(_PROBES)}
    for wanted in sorted(ids | set(range(max(first, last - _PROBES), last + 1))):
        row = connection.execute(
            "SELECT id, camera, epoch, seq, verdict FROM verdict WHERE id >= ? ORDER BY id LIMIT 1", (wanted,)
        ).fetchone()
        by_name = connection.execute("SELECT id FROM verdict WHERE camera = ? AND epoch = ? AND seq = ?", row[1:4])
        if by_name.fetchone() != (row[0],) or not str(row[4]).startswith("{"):
            return f"row {row[0]} is not what its index says"
    return None


def _schema(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
    return {str(sql) for (sql,) in rows}


def _make_tables(connection: sqlite3.Connection) -> None:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for table in _TABLES:
            connection.execute(table)
        connection.execute(f"PRAGMA user_version={_VERSION}")
