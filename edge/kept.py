"""What evidence lies on the disk, and what of it goes first. Used by the `evidence` thread only.

A frame is `<YYYY-MM-DD>/<name>.png`, perhaps `<name>.heatmap.npy`, and `<name>.json`, the day being that of its
capture in UTC. Who sees the .json sees all of it. What a candidate in shadow said, otherwise than the verdict, is
`<name>.shadow` (JSON too); what each of the two found is shown in `<name>.active.jpg` and `<name>.shadow.jpg`. What a
person said lies elsewhere, see models/review.py.
"""

import contextlib
import heapq
import json
import logging
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from models.files import TEMPORARY_PREFIX
from models.review import FIRST_ANSWER, HEATMAP, SHADOW

_log = logging.getLogger(__name__)

Kind = Literal["ok", "borderline", "asked", "unknown", "ng", "shadow"]
RANK: Final[dict[Kind, int]] = {  # the lowest go first
    "ok": 0, "borderline": 1, "asked": 2, "unknown": 3, "ng": 4, "shadow": 4,
}  # fmt: skip
_BESIDE = (HEATMAP, SHADOW, ".active.jpg", ".shadow.jpg")  # what may lie beside a pair
_REVIEWED = 5
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_LEFTOVER_S = 60.0  # a half-written frame is one that did not change for so long
_PAUSE_EVERY, _PAUSE_S = 50, 0.002  # the list of what lies there is read without holding up the other threads
_MAY_REPLACE_REVIEWED: Final = RANK["unknown"]


def kind_of(
    outcome: str, score: float | None, threshold: float | None, borderline: float, *, asked: bool = False
) -> Kind:
    """`borderline` is an `ok` that lies less than that share of the threshold below it, `asked` one that waits for
    a person."""
    if outcome != "ok":
        return "ng" if outcome == "ng" else "unknown"
    if asked:
        return "asked"
    close = score is not None and threshold is not None and score >= threshold - abs(threshold) * borderline
    return "borderline" if close else "ok"


@dataclass(slots=True)
class _Entry:
    rank: int
    at_ns: int  # wall clock at capture
    size: int  # bytes of its files


class Kept:
    """The index of the folder: in memory, read once, kept up with every frame."""

    def __init__(self, folder: Path, reviews: Path, borderline: float) -> None:
        """`reviews` is where the answers of persons lie: it is read only."""
        self._folder, self._reviews, self.borderline = folder, reviews, borderline
        self._entries: dict[str, _Entry] = {}  # by "day/name"
        self._order: list[list[tuple[int, str]]] = [[] for _ in range(_REVIEWED + 1)]  # a heap by age for each rank
        self._suspects: list[Path] = []
        self.total_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def load(self) -> Iterator[None]:
        """Lists the folder, a few files at each step: frames can be added in between."""
        for day in sorted(self._days()):
            names = set(_names(day))
            for number, name in enumerate(sorted(names)):
                self._look(day, name, names)
                if number % _PAUSE_EVERY == 0:
                    time.sleep(_PAUSE_S)
                    yield

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def add(self, key: str, kind: Kind, at_ns: int, size: int, *, reviewed: bool = False) -> None:
        """Counts a frame that lies there whole, or what came to one."""
        entry = self._entries.setdefault(key, _Entry(-1, at_ns, 0))
        entry.size += size
        self.total_bytes += size
        if (rank := _REVIEWED if reviewed else RANK[kind]) > entry.rank:
            entry.rank = rank
            heapq.heappush(self._order[rank], (entry.at_ns, key))

    def make_room(self, kind: Kind, needed: int, max_bytes: int) -> bool:
        """Removes what goes before a new frame of this kind until `needed` bytes fit. False when they cannot.

        `ok` goes first, then borderline, unknown, ng, the oldest of each first. A frame replaces none that
        matters more. What a person reviewed goes last, and only for an `ng` or an unknown one.
        """
        last = _REVIEWED if RANK[kind] >= _MAY_REPLACE_REVIEWED else RANK[kind]
        while self.total_bytes + needed > max_bytes:
            key = next((key for rank in range(last + 1) if (key := self._oldest(rank)) is not None), None)
            if key is None or needed > max_bytes:
                return False
            self._remove(key)
        return True

    def drop_older(self, than_ns: int) -> None:
        """Removes frames captured before this wall-clock moment, save those that a person reviewed."""
        for rank in RANK.values():
            while (key := self._oldest(rank)) is not None and self._entries[key].at_ns < than_ns:
                self._remove(key)

    def clear_leftovers(self) -> None:
        """Removes what a writer that was killed has left, once it is old enough to be that."""
        suspects, self._suspects = self._suspects, []
        for path in suspects:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime < _LEFTOVER_S:
                    self._suspects.append(path)
                elif path.name.startswith(TEMPORARY_PREFIX) or not path.with_name(f"{_stem(path.name)}.json").exists():
                    path.unlink()
                    _log.info("%s: removed, a frame that was only half written", path)

    def _days(self) -> list[Path]:
        return [self._folder / name for name in _names(self._folder) if _DAY.fullmatch(name)]

    def _look(self, day: Path, name: str, names: set[str]) -> None:
        stem = _stem(name)
        if name.startswith(TEMPORARY_PREFIX) or (stem != name and f"{stem}.json" not in names):
            self._suspects.append(day / name)
        elif name == f"{stem}.json" and f"{stem}.png" in names and f"{day.name}/{stem}" not in self:
            self._read(day, stem, names)

    def _read(self, day: Path, name: str, names: set[str]) -> None:
        file = day / f"{name}.json"
        beside = [ending for ending in _BESIDE if f"{name}{ending}" in names]
        try:
            text = file.read_bytes()
            size = len(text) + sum((day / f"{name}{ending}").stat().st_size for ending in (".png", *beside))
        except OSError as error:  # removed by a person meanwhile, or not ours to read: others are listed all the same
            _log.warning("%s: %s; not counted", file, error.strerror)
            return
        try:
            said = json.loads(text)
            asked = said.get("asked_for") is not None
            kind = kind_of(said["outcome"], said["score"], said["threshold"], self.borderline, asked=asked)
            at_ns = int(said["captured_at_ns"])
        except (ValueError, TypeError, KeyError, AttributeError):  # no verdict of ours; it takes room all the same
            kind, at_ns = "unknown", file.stat().st_mtime_ns
        if SHADOW in beside:
            kind = "shadow"
        key = f"{day.name}/{name}"
        self.add(key, kind, at_ns, size, reviewed=self._is_reviewed(key))

    def _is_reviewed(self, key: str) -> bool:
        return (self._reviews / key / FIRST_ANSWER).exists()

    def _oldest(self, rank: int) -> str | None:
        """The key of the oldest frame of a rank. Frames reviewed since they were listed change their rank here."""
        order = self._order[rank]
        while order:
            at_ns, key = order[0]
            entry = self._entries.get(key)
            if entry is None or entry.rank != rank:
                heapq.heappop(order)
            elif rank != _REVIEWED and self._is_reviewed(key):
                heapq.heappop(order)
                entry.rank = _REVIEWED
                heapq.heappush(self._order[_REVIEWED], (at_ns, key))
            else:
                return key
        return None

    def _remove(self, key: str) -> None:
        """The .png last: without its .json it is a leftover. Raises OSError when the disk refuses."""
        for suffix in (*_BESIDE, ".json", ".png"):
            (self._folder / f"{key}{suffix}").unlink(missing_ok=True)
        self.total_bytes -= self._entries.pop(key).size
        with contextlib.suppress(OSError):  # not empty
            (self._folder / key).parent.rmdir()


def _stem(name: str) -> str:
    """The frame that a file belongs to; the name as it is where it is none of ours."""
    ending = next((ending for ending in (*_BESIDE, ".json", ".png") if name.endswith(ending)), "")
    return name.removesuffix(ending)


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        _log.warning("%s: %s; what lies there is not counted", folder, error.strerror)
        return []
