"""What another five good parts and five defects out of the same ones would have shown."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainer.original.published import Figure
from trainer.study.types import Cell

_DRAWS: Final = 4000
_MIDDLE: Final = (0.025, 0.975)


def spread_of_draws(cell: Cell, figure: Figure, n: int) -> tuple[float, float] | None:
    """From where to where the figure lies in 95 % of all draws of `n` good parts and `n` defects from this cell's.

    Seeded. None where there are fewer, or just as many, so that nothing is left to draw; and of F1.
    """
    good, bad = (
        np.array([part.score for part in cell.parts if (part.label == "good") is flag]) for flag in (True, False)
    )
    if figure == "f1" or min(len(good), len(bad)) < n or len(good) + len(bad) == 2 * n:
        return None
    rng = np.random.default_rng(0)
    some = _drawn(good, n, rng)[:, None, :], _drawn(bad, n, rng)[:, :, None]
    values = _auc(*some) if figure == "roc_auc" else _precision(*some)
    low, high = np.quantile(values, _MIDDLE)
    return float(low), float(high)


def _drawn(scores: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """One draw a row, without putting back."""
    return scores[rng.random((_DRAWS, len(scores))).argsort(axis=1)[:, :n]]


def _auc(good: NDArray[np.float64], bad: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = ((bad > good) + (bad == good) / 2).mean(axis=(1, 2))
    return found


def _precision(good: NDArray[np.float64], bad: NDArray[np.float64]) -> NDArray[np.float64]:
    """At recall 1."""
    rejected = (good >= bad.min(axis=1, keepdims=True)).sum(axis=(1, 2))
    found: NDArray[np.float64] = bad.shape[1] / (bad.shape[1] + rejected)
    return found
