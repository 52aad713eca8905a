"""Which pictures are learned from and which are tested on: seeded, and never both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.errors import DatasetError
from trainer.study.pool import Pool, Source

LEARNED_SHARE = 0.8  # where neither the data nor a person says how many
CHOSEN = 3  # splits, where there is anything to choose
_LEAST_GOOD = 2  # to learn from


@dataclass(frozen=True, slots=True)
class Split:
    """Three lists by name, without a common picture."""

    index: int
    learn_good: tuple[Source, ...]
    learn_defect: tuple[Source, ...]
    test: tuple[Source, ...]

    @property
    def learn(self) -> tuple[Source, ...]:
        """All that a fit gets to see."""
        return (*self.learn_good, *self.learn_defect)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How to split. None leaves it to the data."""

    count: int | None = None
    limit: int | None = None  # good pictures to learn from
    learn_defects: int | None = None  # of each kind
    test_good: int | None = None  # at most
    test_defects: int | None = None  # of each kind, at most
    supervised: bool = False  # whether any candidate learns from defects
    seed: int = 0

    @property
    def learns_defects(self) -> bool:
        """Whether defects go into learning, where at least the threshold rests on them."""
        return self.supervised or self.learn_defects is not None


def make_splits(pool: Pool, wanted: Wanted) -> tuple[Split, ...]:
    """As many as are wanted, else one where the data's own roles leave nothing to choose, and three where they do not.

    Split 0 keeps the roles of the data where they are given. All splits have the same numbers of pictures, so that
    their precisions compare, and learn from the same ones however few they are tested on. Raises DatasetError where too
    few pictures would be left for either side.
    """
    choosing = wanted.learns_defects or not pool.has_roles
    count = wanted.count or (CHOSEN if choosing else 1)
    return tuple(_split(pool, wanted, index) for index in range(count))


def _split(pool: Pool, wanted: Wanted, index: int) -> Split:
    rng = np.random.default_rng((wanted.seed, index))
    learn, test = _good(pool, wanted, rng, by_roles=index == 0 and pool.has_roles)
    learn_defect: list[Source] = []
    for kind, sources in pool.defects.items():
        drawn = rng.permutation(len(sources))[: _n_defects(pool, wanted, kind, len(sources))]
        learn_defect += [sources[i] for i in sorted(drawn)]
    learned = set(learn_defect)
    tested = list(_some(test, wanted.test_good, rng))
    for sources in pool.defects.values():
        tested += _some([source for source in sources if source not in learned], wanted.test_defects, rng)
    return Split(index, tuple(learn), tuple(learn_defect), tuple(tested))


def _some(sources: Sequence[Source], most: int | None, rng: np.random.Generator) -> Sequence[Source]:
    """All of them, or `most`, drawn; in their order."""
    return sources if most is None else [sources[i] for i in sorted(rng.permutation(len(sources))[:most])]


def _good(
    pool: Pool, wanted: Wanted, rng: np.random.Generator, *, by_roles: bool
) -> tuple[Sequence[Source], Sequence[Source]]:
    """To learn from, and to test on."""
    n_learn, n_test = _n_good(pool, wanted)
    if by_roles:
        own = [[source for source in pool.good if source.held_out is flag] for flag in (False, True)]
        return own[0][:n_learn], own[1]
    order = rng.permutation(len(pool.good))
    first, second = sorted(order[:n_learn]), sorted(order[n_learn : n_learn + n_test])
    return [pool.good[i] for i in first], [pool.good[i] for i in second]


def _n_good(pool: Pool, wanted: Wanted) -> tuple[int, int]:
    n = len(pool.good)
    if pool.has_roles:
        n_test = sum(source.held_out for source in pool.good)
        n_learn = n - n_test if wanted.limit is None else min(wanted.limit, n - n_test)
    else:
        n_learn = round(LEARNED_SHARE * n) if wanted.limit is None else wanted.limit
        n_test = n - n_learn
    if n_learn < _LEAST_GOOD or n_test < 1:
        raise DatasetError(
            f"{pool.root}: of {n} good images {n_learn} to learn from leave {max(0, n_test)} to test; at least "
            f"{_LEAST_GOOD} and 1 are needed: add good images or choose another --limit"
        )
    return n_learn, n_test


def _n_defects(pool: Pool, wanted: Wanted, kind: str, n: int) -> int:
    """Of this kind, to learn from; at least one is left to test."""
    if not wanted.learns_defects:
        return 0
    if wanted.learn_defects is None:
        return min(max(1, round(LEARNED_SHARE * n)), n - 1)
    if wanted.learn_defects >= n:
        raise DatasetError(
            f"{pool.root}: {n} images of {kind}, --learn-defects {wanted.learn_defects} leaves none to test; ask for "
            "fewer, add images, or name other kinds with --defects"
        )
    return wanted.learn_defects
