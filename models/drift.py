"""Whether what a line measures is still distributed as it was in the images that a model was made from.

A population stability index over the quartiles of those images: PSI = sum of (p - q) ln(p / q) over the bins. Without
drift it is distributed as (1/n + 1/N) times chi-square with bins - 1 degrees of freedom, for n images and N parts
(Yurdakul and Naranjo, Statistical properties of the population stability index, Journal of Risk Model Validation 14,
2020); so what twenty images can tell is asked of them, and not the customary 0.25. It needs four numbers per
measure and knows no direction. A sequential test would be quicker where the reference is large; with twenty images
it would take their scatter for drift.
"""

import bisect
import math
import statistics
from collections.abc import Sequence
from typing import Final, Self

from pydantic import Field, model_validator

from models.base import Frozen

BINS: Final = 4  # twenty images fill no more
MIN_IMAGES: Final = 8
_CHI_SQUARE: Final = 21.108  # of 3 degrees of freedom, exceeded by one window in 10,000
_NORMAL: Final = statistics.NormalDist().inv_cdf(1 - 1e-4)


class Usual(Frozen):
    """What good images measured: how many there were, and the three quartiles."""

    n_images: int = Field(ge=MIN_IMAGES)
    quartiles: tuple[float, float, float]

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        low, middle, high = self.quartiles
        if not low < middle < high:
            raise ValueError(f"quartiles {low:g}, {middle:g}, {high:g} do not ascend")
        return self

    def bin_of(self, value: float) -> int:
        """0 to 3: between which quartiles a value lies."""
        return bisect.bisect_left(self.quartiles, value)

    def drift(self, counts: Sequence[int]) -> float:
        """PSI of parts counted by bin, divided by what chance exceeds in one window of 10,000: drift from 1."""
        n_parts = sum(counts)
        shares = [(count + 0.5) / (n_parts + 0.5 * BINS) for count in counts]  # no logarithm of 0
        index = sum((share - 1 / BINS) * math.log(share * BINS) for share in shares)
        return index / (_CHI_SQUARE * (1 / self.n_images + 1 / n_parts))


def usual_of(values: Sequence[float]) -> Usual | None:
    """None of fewer than 8 values, or where they repeat: a detector finds no box in good parts, and all score 0."""
    if len(values) < MIN_IMAGES:
        return None
    low, middle, high = statistics.quantiles(values, n=BINS)
    return Usual(n_images=len(values), quartiles=(low, middle, high)) if low < middle < high else None


def excess(n_ng: int, n_parts: int, expected: float) -> float:
    """The least share of ng that so many parts prove, divided by the largest expected of good ones: drift from 1.

    Wilson's lower bound (Journal of the American Statistical Association 22, 1927), wrong for one window in 10,000.
    """
    share, z2 = n_ng / n_parts, _NORMAL**2
    root = _NORMAL * math.sqrt(share * (1 - share) / n_parts + z2 / (4 * n_parts**2))
    return max(0.0, (share + z2 / (2 * n_parts) - root) / (1 + z2 / n_parts)) / expected
