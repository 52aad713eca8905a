"""What each threshold would cost: defects that pass against good parts that are rejected, as a table."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.evaluate import figures

MOST_PLACES = 12
# Shares of defects that pass, and of good parts that are rejected; what matters most comes first.
_LEVELS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.03, 0.15, 0.3, 0.5)
_ROUNDING = 1e-9
_COLUMNS = (
    "threshold", "recall", "recall_lower_95", "false_rejects", "false_reject_upper_95", "precision", "f1",
)  # fmt: skip
_HEAD = "threshold      recall  at least   false rejects  at most   precision     F1"


def tradeoff(good: Sequence[float], defect: Sequence[float], marked: Mapping[str, float]) -> list[dict[str, Any]]:
    """The figures at well-chosen thresholds and at those of `marked` (what it is called -> threshold), lowest first.

    A JSON-ready object for each, with the names of `marked` that lie there in "marks". A marked threshold takes
    the place of a chosen one that tells the same parts apart.
    """
    at: dict[float, list[str]] = {}
    for name, threshold in marked.items():
        at.setdefault(threshold, []).append(name)
    scores = sorted({*good, *defect})
    taken = {bisect.bisect_left(scores, threshold) for threshold in at}
    for index in _places(scores, good, defect) - taken:
        at.setdefault(_between(scores, index), [])
    found = [(figures(good, defect, threshold), at[threshold]) for threshold in sorted(at)]
    return [{**{name: one[name] for name in _COLUMNS}, "marks": marks} for one, marks in found]


def table(rows: Sequence[Mapping[str, Any]], n_good: int, n_defect: int) -> str:
    """The same for a person. A threshold without a mark may be typed as it stands there."""
    lines = [f"{n_good} good, {n_defect} defects; at least and at most: with 95 % confidence each", _HEAD]
    for row in rows:
        number = f"{row['threshold']:.6g}" if row["marks"] else f"{row['threshold']!r}"
        precision = "-" if row["precision"] is None else f"{row['precision']:.3f}"
        rejects = f"{row['false_rejects']} of {n_good}"
        lines.append(
            f"{number:<12} {row['recall']:>8.3f}{row['recall_lower_95']:>10.3f}{rejects:>16}"
            f"{row['false_reject_upper_95']:>9.3f}{precision:>12}{row['f1']:>7.3f}"
            + (f"  <- {', '.join(row['marks'])}" if row["marks"] else "")
        )
    return "\n".join(lines)


def _places(scores: list[float], good: Sequence[float], defect: Sequence[float]) -> set[int]:
    """Where thresholds differ in what they reject: the index of the lowest of `scores` that is `ng`.

    All of them where they are few. Else, for one level after the other, the highest threshold that lets no larger
    share of the defects pass, and the lowest that rejects no larger share of the good parts, until they are a dozen.
    """
    if len(scores) < MOST_PLACES:
        return set(range(len(scores) + 1))
    lowest_first, highest_first = sorted(defect), sorted(good, reverse=True)
    found: set[int] = set()
    for level in _LEVELS:
        if len(found) > MOST_PLACES - 2:
            break
        passes, rejected = (int(level * len(of) + _ROUNDING) for of in (defect, good))
        found.add(bisect.bisect_left(scores, lowest_first[passes]))
        found.add(bisect.bisect_right(scores, highest_first[rejected]))
    return found


def _between(scores: list[float], index: int) -> float:
    """A number of few digits above scores[index - 1] and not above scores[index], near their middle."""
    beyond = max(0.05 * (scores[-1] - scores[0]), 1e-3 * abs(scores[0]), 1e-3 * abs(scores[-1])) or 1.0
    low = scores[index - 1] if index else scores[0] - beyond
    high = scores[index] if index < len(scores) else scores[-1] + beyond
    middle = low + (high - low) / 2
    rounded = (float(f"{middle:.{digits}g}") for digits in range(2, 18))
    return next((number for number in rounded if low < number <= high), high)
