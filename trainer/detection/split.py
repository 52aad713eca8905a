"""Which pictures are learned from, and which say when to stop and where the threshold lies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.errors import DatasetError
from trainer.annotations import Annotated, Picture

_SHARE = 0.2  # held out where the data's own split holds out none
_MOST_GOOD = 40  # more do not change where to stop, and cost time at every validation


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Two lists without a common picture, each with good ones and, where pictures allow it, defects of every class."""

    learn: tuple[Picture, ...]
    held_out: tuple[Picture, ...]

    @property
    def good(self) -> tuple[Picture, ...]:
        """Good ones that are learned from."""
        return tuple(picture for picture in self.learn if picture.is_good)


def split(annotated: Annotated, seed: int, limit: int | None = None) -> Split:
    """By the data's own split where it has one; else a fifth of each class, and of the good ones, is held out.

    Every class is learned; where pictures show several, one of them may be in none that is held out. `limit` keeps the
    first good pictures for learning. Raises DatasetError when there is but one good picture.
    """
    rng = np.random.default_rng(seed)
    held = {p.path for p in annotated.pictures if p.held_out}
    for name in annotated.classes:
        of_class = [p for p in annotated.bad if name in p.labels]
        if not any(p.path in held for p in of_class):
            _hold_out(of_class, annotated.bad, held, rng)
    if not any(p.path in held for p in annotated.good):
        held |= _drawn(annotated, rng)
    learn_good = [p for p in annotated.good if p.path not in held][:limit]
    held_good = [p for p in annotated.good if p.path in held][:_MOST_GOOD]
    learn_bad, held_bad = ([p for p in annotated.bad if (p.path in held) is flag] for flag in (False, True))
    return Split((*learn_good, *learn_bad), (*held_good, *held_bad))


def _hold_out(of_class: Sequence[Picture], bad: Sequence[Picture], held: set[Path], rng: np.random.Generator) -> None:
    """Adds a fifth, at least one, to `held`; none that is the last one of a class to learn from."""
    left = Counter(name for p in bad if p.path not in held for name in set(p.labels))
    count = _fifth(len(of_class))
    for picture in (of_class[i] for i in rng.permutation(len(of_class))):
        names = set(picture.labels)
        if count and all(left[name] > 1 for name in names):
            held.add(picture.path)
            left.subtract(names)
            count -= 1


def _drawn(annotated: Annotated, rng: np.random.Generator) -> set[Path]:
    good = annotated.good
    if len(good) < 2:
        raise DatasetError(
            f"{annotated.root}: {len(good)} good picture, at least 2 are needed: one to learn from and another to "
            "measure on; add pictures of good parts"
        )
    return {good[i].path for i in rng.permutation(len(good))[: _fifth(len(good))]}


def _fifth(count: int) -> int:
    return max(1, round(_SHARE * count))
