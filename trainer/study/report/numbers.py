"""How numbers are written in a report: never better than they are."""

from __future__ import annotations

from typing import Final

from trainer.study.types import Interval

NOTHING: Final = "–"  # noqa: RUF001 (as people write it in tables)
_STEPS: Final = (0.99, 0.95, 0.9, 0.8, 0.5)  # of the colours in the tables; below the last: worse than a coin


def share(value: float) -> str:
    """Three decimals; 1.000 and 0.000 only where it is exactly so, as 1,999 of 2,000 caught is one missed."""
    text = f"{value:.3f}"
    if text == "1.000" and value < 1:
        return "0.999"
    return "0.001" if text == "0.000" and value > 0 else text


def bounds(interval: Interval) -> str:
    """From low to high."""
    return f"{share(interval.low)}–{share(interval.high)}"  # noqa: RUF001 (a range has an en dash)


def between(values: list[int]) -> str:
    """One number where all are the same, else the lowest and the highest; nothing of none."""
    if not values:
        return NOTHING
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}–{high}"  # noqa: RUF001


def shade(value: float) -> int:
    """Which colour a share has where 1 is best: 0, white, for the best, 5 for what is worse than a coin."""
    return sum(value < step for step in _STEPS)


def milliseconds(seconds: float) -> str:
    """Three significant digits, in ms; in seconds from ten of them."""
    if seconds >= 10:
        return f"{seconds:,.3g} s"
    value = seconds * 1e3
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.3g} ms"


def duration(seconds: float) -> str:
    """As a person says it: seconds, minutes and seconds, hours and minutes."""
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {left:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.3g} s"


def megabytes(count: int) -> str:
    """In MB of a million bytes."""
    return f"{count / 1e6:,.0f} MB" if count >= 1e7 else f"{count / 1e6:.1f} MB"
