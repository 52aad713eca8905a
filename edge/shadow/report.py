"""What a candidate said beside the active models, summed up. On the caller's thread, whether the daemon runs or not."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from edge.shadow.records import read_only
from edge.shadow.share import Share
from models.base import Frozen
from models.errors import MekikiError
from models.verdict import Outcome

OUTCOMES: tuple[Outcome, ...] = ("ok", "ng", "unknown")
# Counted by the database: of half a million parts a box has no room for a list.
_PAIRS = (
    "SELECT pair.* FROM pair JOIN part ON part.pair = pair.id WHERE substr(candidate, 1, ?) = ?"
    " GROUP BY pair.id ORDER BY MAX(part.id) DESC"
)
_TABLE = "SELECT active_outcome, candidate_outcome, COUNT(*) FROM part WHERE pair = ? GROUP BY 1, 2"
_SPAN = "SELECT COUNT(*), MIN(captured_at_ns), MAX(captured_at_ns) FROM part WHERE pair = ?"
_CAMERAS = "SELECT camera, COUNT(*) FROM part WHERE pair = ? GROUP BY camera ORDER BY camera"
_DROPPED = "SELECT why, SUM(n) FROM dropped WHERE pair = ? GROUP BY why ORDER BY why"
_DIFFERENT = "SELECT * FROM part WHERE pair = ? AND active_outcome != candidate_outcome ORDER BY id DESC LIMIT 10000"
_ACTIVE_S = "SELECT active_s FROM part WHERE pair = ? AND active_s > 0 ORDER BY 1"  # 0: the device was not asked
_CANDIDATE_S = "SELECT candidate_s FROM part WHERE pair = ? AND candidate_s > 0 ORDER BY 1"
_NEWEST = "SELECT candidate FROM pair ORDER BY (SELECT MAX(id) FROM part WHERE pair = pair.id) DESC LIMIT 1"


class Time(Frozen):
    """Of finding, inference and decoding, in seconds."""

    p50_s: float
    p99_s: float


class Difference(Frozen):
    """A part of which the two said otherwise."""

    epoch: str
    camera: str
    seq: int
    part_id: str | None
    captured_at_ns: int
    active: Outcome
    active_reason: str | None
    active_score: float | None
    candidate: Outcome
    candidate_reason: str | None
    candidate_score: float | None
    evidence: str  # the start of the names of its files under the state folder, where it was kept


class Report(Frozen):
    """A candidate beside one active model."""

    active: str
    active_threshold: float  # ng from here
    candidate: str
    candidate_threshold: float
    judged: int
    first_at_ns: int
    last_at_ns: int
    dropped: dict[str, int]  # by why the candidate did not see them
    cameras: dict[str, int]  # judged, by camera
    table: dict[Outcome, dict[Outcome, int]]  # what the active model said, then the candidate
    same: Share
    ok_to_ng: Share  # of those that the active model called ok
    ng_to_ok: Share  # of those that the active model called ng
    active_time: Time
    candidate_time: Time  # in what the line leaves: it is stopped whenever a part comes
    differences: tuple[Difference, ...]  # the newest first


def reports(path: Path, candidate: str | None = None) -> list[Report]:
    """One for each active model that the candidate judged beside, the newest first; without a name, of the newest
    candidate. Raises MekikiError when there is none, or the records cannot be read."""
    if not path.is_file():
        raise MekikiError(f"{path}: no candidate has judged here yet; `mekiki-edge model shadow BUNDLE` begins it")
    try:
        with closing(read_only(path)) as records:
            records.row_factory = sqlite3.Row
            records.execute("BEGIN")
            return list(_reports(records, candidate or _newest(records), path))
    except sqlite3.Error as error:
        raise MekikiError(f"{path}: {error}; the daemon begins it anew when it writes next") from error


def _newest(records: sqlite3.Connection) -> str:
    row = records.execute(_NEWEST).fetchone()
    return "" if row is None else str(row["candidate"])


def _reports(records: sqlite3.Connection, start: str, path: Path) -> Iterator[Report]:
    held = records.execute(_PAIRS, (len(start), start)).fetchall()
    if not held or len({pair["candidate"] for pair in held}) > 1:
        what = "several candidates" if held else "no part was judged by a candidate"
        raise MekikiError(f"{path}: {what} starting with {start!r}; wait, or give more of its digest")
    for pair in held:
        yield _report(records, pair)


def _report(records: sqlite3.Connection, pair: sqlite3.Row) -> Report:
    def ask(query: str) -> list[sqlite3.Row]:
        return records.execute(query, (pair["id"],)).fetchall()

    table = {one: dict.fromkeys(OUTCOMES, 0) for one in OUTCOMES}
    for active, candidate, n in ask(_TABLE):
        table[active][candidate] = n
    judged, first_at_ns, last_at_ns = ask(_SPAN)[0]
    rows = {active: sum(row.values()) for active, row in table.items()}
    return Report(
        active=pair["active"],
        active_threshold=pair["active_threshold"],
        candidate=pair["candidate"],
        candidate_threshold=pair["candidate_threshold"],
        judged=judged,
        first_at_ns=first_at_ns,
        last_at_ns=last_at_ns,
        dropped=dict(map(tuple, ask(_DROPPED))),
        cameras=dict(map(tuple, ask(_CAMERAS))),
        table=table,
        same=Share.of_parts(sum(table[one][one] for one in OUTCOMES), judged),
        ok_to_ng=Share.of_parts(table["ok"]["ng"], rows["ok"]),
        ng_to_ok=Share.of_parts(table["ng"]["ok"], rows["ng"]),
        active_time=_time(ask(_ACTIVE_S)),
        candidate_time=_time(ask(_CANDIDATE_S)),
        differences=tuple(map(_difference, ask(_DIFFERENT))),
    )


def _time(found: Sequence[sqlite3.Row]) -> Time:
    """Of the sorted seconds of the parts about which the device was asked."""
    if not found:
        return Time(p50_s=0, p99_s=0)
    p50, p99 = (found[int(share * (len(found) - 1))][0] for share in (0.5, 0.99))
    return Time(p50_s=p50, p99_s=p99)


def _difference(part: sqlite3.Row) -> Difference:
    day = f"{datetime.fromtimestamp(part['captured_at_ns'] / 1e9, UTC):%Y-%m-%d}"
    name = f"{quote(part['epoch'], safe='')}_{quote(part['camera'], safe='')}_{part['seq']}"
    said = {key: part[key] for key in part.keys() if key in Difference.model_fields}  # noqa: SIM118  a Row has no items
    both = {"active": part["active_outcome"], "candidate": part["candidate_outcome"]}
    return Difference(**said, **both, evidence=f"evidence/{day}/{name}")
