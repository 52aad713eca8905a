"""A share of parts with what so few of them can prove. Without scipy: a box has none."""

import math
from collections.abc import Callable
from typing import Final

from models.base import Frozen

CONFIDENCE: Final = 0.95
_TAIL: Final = (1 - CONFIDENCE) / 2
_HALVINGS = 100
_MOST_TERMS = 10_000
_EXACT, _TINY = 1e-15, 1e-300


class Share(Frozen):
    """So many of so many, and the two-sided 95 % Clopper-Pearson interval (Biometrika 26, 1934)."""

    hits: int
    of: int
    low: float
    high: float

    @classmethod
    def of_parts(cls, hits: int, of: int) -> "Share":
        """Of nothing anything may be true."""
        low = 0.0 if hits == 0 else _solve(lambda p: _beta(hits, of - hits + 1, p), _TAIL)
        high = 1.0 if hits == of else _solve(lambda p: _beta(hits + 1, of - hits, p), 1 - _TAIL)
        return cls(hits=hits, of=of, low=low, high=high)

    def __str__(self) -> str:
        """For people."""
        value = f"{self.hits / self.of:.1%}" if self.of else "none seen"
        return f"{self.hits} of {self.of}, {value} ({self.low:.1%} to {self.high:.1%})"


def _solve(rising: Callable[[float], float], wanted: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)
    return (low + high) / 2


def _beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function (DLMF 8.17.22, its fraction by Lentz's method)."""
    if not 0.0 < x < 1.0:
        return float(x >= 1.0)
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly
        return 1.0 - _beta(b, a, 1.0 - x)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(front) * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1.0 / _off_zero(1.0 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _off_zero(1.0 + term * d)
            c = _off_zero(1.0 + term / c)
            value *= d * c
        if abs(d * c - 1.0) < _EXACT:
            break
    return value


def _off_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
