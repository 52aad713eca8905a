"""Whether a new version does as well on this line as the one before it: commit it, or go back. Thread `swap`.

What both said is in the journal, so that a restart loses no count. Rules in `ruling`, without I/O.
"""

import contextlib
import json
import logging
import sqlite3
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edge.config import ProbationConfig
from edge.journal_file import connect, is_made
from edge.metrics import Metrics
from models.errors import MekikiError
from models.store import Store

_log = logging.getLogger(__name__)
_EARLY = 50  # parts after which a version that does badly goes back, and not only at the end
_ROWS = 500  # that one look reads
_BACK = 20  # how far the first look goes back, in probations
LATE = ("deadline", "overload")
CAMERAS = ("camera_fault", "bad_frame", "stale_frame")  # no model's doing


class Seen(NamedTuple):
    """What the rules need of one verdict."""

    outcome: str
    reason: str | None

    @property
    def shows_a_part(self) -> bool:
        """Whether the camera gave a picture that a model could look at."""
        return self.reason not in CAMERAS


@dataclass(frozen=True, slots=True)
class Counts:
    """What a version said, but for parts of which the camera gave no picture."""

    parts: int
    ng: int
    unknown: int  # all but those that were late
    late: int

    @classmethod
    def of(cls, verdicts: Iterable[Seen]) -> "Counts":
        """Counts them."""
        seen = [one for one in verdicts if one.shows_a_part]
        late = sum(one.reason in LATE for one in seen)
        unknown = sum(one.outcome == "unknown" for one in seen) - late
        return cls(len(seen), sum(one.outcome == "ng" for one in seen), unknown, late)

    def share(self, name: str) -> float:
        """Of the parts; 0 without any."""
        return getattr(self, name) / self.parts if self.parts else 0.0


class Ruling(NamedTuple):
    """None: wait."""

    is_good: bool | None
    why: str


def ruling(new: Counts, old: Counts, config: ProbationConfig) -> Ruling:
    """A share that rose by more than is allowed is a reason to go back, from 50 parts on. So is one of ng that fell: it
    may be defects that pass now, and not good parts that the old version rejected. Without an old version's
    verdicts its shares count as 0 for `unknown` and late, and NG cannot be compared."""
    if new.parts < min(_EARLY, config.parts):
        return Ruling(None, "")
    limits = {"late": config.late_rise, "unknown": config.unknown_rise, "ng": config.ng_rise}
    if old.parts == 0:
        del limits["ng"]
    for name, rise in limits.items():
        now, before = new.share(name), old.share(name)
        if now > before + rise or (name == "ng" and now < before - config.ng_fall):
            return Ruling(False, f"{name} of {new.parts} parts {now:.1%}, before {before:.1%} of {old.parts}")
    if new.parts < config.parts:
        return Ruling(None, "")
    words = ", ".join(f"{name} {new.share(name):.1%} (before {old.share(name):.1%})" for name in limits)
    return Ruling(True, f"{new.parts} parts: {words}")


class Trial:
    """Watches one store's version on probation."""

    def __init__(
        self, store: Store, cameras: Sequence[str], journal: Path, config: ProbationConfig, metrics: Metrics
    ) -> None:
        self._store, self._cameras, self._journal, self._config = store, frozenset(cameras), journal, config
        self._verdicts: dict[str, deque[Seen]] = {}
        self._read_up_to: int | None = None
        self._said: str | None = None
        self._metrics = metrics

    def configure(self, config: ProbationConfig) -> None:
        """Other limits from the next look on. Any thread."""
        self._config = config

    @property
    def is_wanted(self) -> bool:
        """Whether the settings ask for a probation."""
        return self._config.parts > 0

    def look(self, digest: str) -> None:
        """`digest` is what judges now. Commits or goes back when the time has come; the store's next reader follows."""
        try:
            state = self._store.state()
            is_on = (state.active, state.on_probation) == (digest, True)
            self._metrics.on_probation(self._cameras, is_on=is_on)
            if not is_on:
                self._verdicts.clear()
                self._read_up_to = None
                return
            self._read(digest, 0 if state.since is None else int(state.since.timestamp() * 1e9))
            new, old = (Counts.of(self._verdicts.get(one, ())) for one in (digest, state.previous or ""))
            found = ruling(new, old, self._config)
            if found.is_good is not None:
                self._rule(digest, found)
        except (MekikiError, OSError, sqlite3.Error) as error:  # the line goes on; doubt does not commit
            self._say_once(f"probation of {digest[:12]} cannot end: {error}")

    def _rule(self, digest: str, found: Ruling) -> None:
        if found.is_good:
            self._store.commit(digest, found.why)
            self._metrics.probation("committed")
            _log.info("version %s committed: %s", digest[:12], found.why)
        else:
            self._store.give_up(digest, found.why)
            self._metrics.probation("rolled_back")
            _log.error("version %s rolled back: %s", digest[:12], found.why)

    def _read(self, digest: str, since_ns: int) -> None:
        """The verdicts since the last look, in pieces: whoever judges needs the processor too."""
        if not is_made(self._journal):
            return
        with contextlib.closing(connect(self._journal, read_only=True)) as journal:
            (newest,) = journal.execute("SELECT COALESCE(MAX(id), 0) FROM verdict").fetchone()
            if self._read_up_to is None or newest < self._read_up_to:  # then it is another one: it was damaged
                self._read_up_to = max(0, newest - _BACK * self._config.parts)
            rows = journal.execute(
                "SELECT id, camera, verdict FROM verdict WHERE id > ? ORDER BY id LIMIT ?", (self._read_up_to, _ROWS)
            ).fetchall()
        for number, camera, text in rows:
            self._read_up_to = number
            verdict = json.loads(text)
            is_earlier = verdict["bundle"] == digest and verdict["captured_at_ns"] < since_ns
            seen = Seen(verdict["outcome"], verdict["reason"])
            # `is_earlier`: of a time when it was in force before. What shows no part takes nobody's place here.
            if camera in self._cameras and not is_earlier and seen.shows_a_part:
                kept = self._verdicts.setdefault(str(verdict["bundle"]), deque(maxlen=self._config.parts))
                kept.append(seen)

    def _say_once(self, what: str) -> None:
        if what != self._said:
            self._said = what
            _log.warning("%s", what)
