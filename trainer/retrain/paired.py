"""Two models on the same parts: is one better, and how sure is that? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.base import Frozen
from trainer.study.types import Interval

Decision = Literal["better", "worse", "not shown"]
LEVEL = 0.025  # of each of the two tests: either alone may decide, so both together err in 5 of 100
_DRAWS = 4000
F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pair:
    """One part as both judged it."""

    is_defect: bool
    scores: tuple[float, float]  # champion, challenger; each on its own scale
    right: tuple[bool, bool]  # good ones are `ok`, defects are not


class Paired(Frozen):
    """What the numbers say."""

    n_good: int
    n_defect: int
    missed: tuple[int, int]  # defects that passed: champion, challenger
    rejected: tuple[int, int]  # good parts that did not
    only_champion_right: int
    only_challenger_right: int
    mcnemar_p: float  # exact, two-sided
    auc: tuple[float, float]
    auc_gain: Interval  # challenger - champion; percentile bootstrap over parts, paired, 95 %
    auc_p: float  # permutation of each part's two ranks, two-sided
    decision: Decision
    why: str


def compare(pairs: Sequence[Pair], seed: int = 0) -> Paired:
    """`pairs` hold good parts and defects. Same pairs and seed, same result.

    Decisions at the two shipped thresholds: McNemar's exact test (Psychometrika 12, 1947; binomial on the parts on
    which one alone is right). Ranking: difference of the areas under the ROC curve, tested by swapping the two ranks of
    each part at random (Bandos, Rockette, Gur, Statistics in Medicine 24, 2005). The challenger is better when a test
    says so at LEVEL, none says the contrary, and it misses no more defects than the champion.
    """
    good, bad = ([pair for pair in pairs if pair.is_defect is flag] for flag in (False, True))
    missed, only = _wrong(bad), _right_alone(pairs)
    auc, gain, auc_p = _ranking(good, bad, seed)
    mcnemar_p = _mcnemar(*only)
    decision, why = _decide(missed, only, mcnemar_p, gain.value, auc_p)
    return Paired(
        n_good=len(good),
        n_defect=len(bad),
        missed=missed,
        rejected=_wrong(good),
        only_champion_right=only[0],
        only_challenger_right=only[1],
        mcnemar_p=mcnemar_p,
        auc=auc,
        auc_gain=gain,
        auc_p=auc_p,
        decision=decision,
        why=why,
    )


def _wrong(pairs: Sequence[Pair]) -> tuple[int, int]:
    """How often each is wrong."""
    return sum(not pair.right[0] for pair in pairs), sum(not pair.right[1] for pair in pairs)


def _right_alone(pairs: Sequence[Pair]) -> tuple[int, int]:
    """How often each is right where the other is wrong."""
    return sum(pair.right == (True, False) for pair in pairs), sum(pair.right == (False, True) for pair in pairs)


def _decide(
    missed: tuple[int, ...], only: tuple[int, ...], mcnemar_p: float, gain: float, auc_p: float
) -> tuple[Decision, str]:
    ways = {
        "decisions": (only[1] - only[0], mcnemar_p, f"McNemar, exact, p = {mcnemar_p:.2g}"),
        "ranking": (gain, auc_p, f"permutation of ranks, p = {auc_p:.2g}"),
    }
    up = [f"{name} ({words})" for name, (sign, p, words) in ways.items() if sign > 0 and p <= LEVEL]
    down = [f"{name} ({words})" for name, (sign, p, words) in ways.items() if sign < 0 and p <= LEVEL]
    if down:
        return "worse", f"worse in {' and '.join(down)}"
    if up and missed[1] > missed[0]:
        more = f"it misses {missed[1]} defects where the champion misses {missed[0]}"
        return "not shown", f"better in {' and '.join(up)}, but {more}"
    if up:
        return "better", f"better in {' and '.join(up)}"
    both = " nor ".join(f"{name} ({words})" for name, (_, _, words) in ways.items())
    return "not shown", f"neither {both} tells them apart"


def _mcnemar(first: int, second: int) -> float:
    from scipy.stats import binomtest

    return float(binomtest(first, first + second, 0.5).pvalue) if first + second else 1.0


def _ranking(good: Sequence[Pair], bad: Sequence[Pair], seed: int) -> tuple[tuple[float, float], Interval, float]:
    from scipy.stats import rankdata

    rng = np.random.default_rng(seed)
    n_bad = len(bad)
    ranks = np.stack([rankdata([pair.scores[i] for pair in (*bad, *good)]) for i in (0, 1)])  # (2, n)
    wins = [_wins(row[:n_bad], row[n_bad:]) for row in ranks]
    auc = (float(wins[0].mean()), float(wins[1].mean()))
    gain = auc[1] - auc[0]
    low, high = np.percentile(_bootstrapped(wins[1] - wins[0], rng), [2.5, 97.5])
    drawn = _permuted(ranks, n_bad, rng)
    p = (1 + int(np.sum(np.abs(drawn) >= abs(gain) - 1e-12))) / (1 + _DRAWS)
    return auc, Interval(value=gain, low=float(min(low, gain)), high=float(max(high, gain))), p


def _wins(bad: F64, good: F64) -> F64:
    """(n_bad, n_good): 1 where the defect scores higher, a half where they are even."""
    return np.asarray((bad[:, None] > good[None, :]) + 0.5 * (bad[:, None] == good[None, :]), np.float64)


def _bootstrapped(gains: F64, rng: np.random.Generator) -> F64:
    """Means of `gains` with parts drawn again, each kind among its own: (_DRAWS,)."""
    n_bad, n_good = gains.shape
    bad = rng.multinomial(n_bad, np.full(n_bad, 1 / n_bad), _DRAWS) / n_bad
    good = rng.multinomial(n_good, np.full(n_good, 1 / n_good), _DRAWS) / n_good
    return np.asarray(np.sum((bad @ gains) * good, axis=1), np.float64)


def _permuted(ranks: F64, n_bad: int, rng: np.random.Generator) -> F64:
    """Differences of the areas where chance says which of a part's two ranks is whose: (_DRAWS,)."""
    from scipy.stats import rankdata

    n = ranks.shape[1]
    areas = []
    swapped = rng.random((_DRAWS, n)) < 0.5
    for own, other in ((0, 1), (1, 0)):
        mixed = rankdata(np.where(swapped, ranks[other], ranks[own]), axis=1)
        highest = mixed[:, :n_bad].sum(axis=1) - n_bad * (n_bad + 1) / 2
        areas.append(highest / (n_bad * (n - n_bad)))
    return np.asarray(areas[1] - areas[0], np.float64)
