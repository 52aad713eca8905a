"""ROC and precision-recall curves: one line for each candidate and split, a mark at its shipped threshold."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from models.scoring import judge
from trainer.study.report.found import Found
from trainer.study.report.svg import N_COLOURS, Drawing, Point, Scale
from trainer.study.types import Cell, Protocol

_WIDTH, _HEIGHT = 286, 268
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 8, 40
_QUARTERS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_MOST_POINTS: Final = 240  # more than pixels from side to side


def draw_roc(found: Found, protocol: Protocol, condition: str) -> str:
    """Recall over the share of good parts rejected, as sklearn counts it."""
    drawing, x, y = _square(found, "false_reject_rate", "recall")
    drawing.line((x(0), y(0)), (x(1), y(1)), "guide")
    for index, cell in _cells(found, protocol, condition):
        _draw(drawing, [(x(a), y(b)) for a, b in roc_points(cell)], index)
    for index, cell in _cells(found, protocol, condition):
        n_defect, n_good, caught, rejected = _counts(cell)
        drawing.marker((x(rejected / n_good), y(caught / n_defect)), index)
    return str(drawing)


def draw_precision_recall(found: Found, protocol: Protocol, condition: str) -> str:
    """Precision over recall; dashed: a coin's, the share of defects among the parts."""
    drawing, x, y = _square(found, "recall", "precision")
    cells = _cells(found, protocol, condition)
    for coin in {cell.figures.n_defect / (cell.figures.n_good + cell.figures.n_defect) for _, cell in cells}:
        drawing.line((x(0), y(coin)), (x(1), y(coin)), "guide")
    for index, cell in cells:
        _draw(drawing, [(x(a), y(b)) for a, b in precision_recall_points(cell)], index)
    for index, cell in cells:
        n_defect, _, caught, rejected = _counts(cell)
        if caught + rejected:  # else there is no precision to mark
            drawing.marker((x(caught / n_defect), y(caught / (caught + rejected))), index)
    return str(drawing)


def roc_points(cell: Cell) -> list[Point]:
    """(share of good parts rejected, recall) from (0, 0) to (1, 1)."""
    from sklearn.metrics import roc_curve

    false, true, _ = roc_curve(*_labelled(cell))
    return _thinned(list(zip(false.tolist(), true.tolist(), strict=True)))


def precision_recall_points(cell: Cell) -> list[Point]:
    """(recall, precision) from recall 1, a step for each threshold: between two of them precision is not known."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(*_labelled(cell), drop_intermediate=True)
    falls = [-value for value in recall.tolist()]
    first = bisect.bisect_right(falls, -1.0) - 1  # lower thresholds only reject more good parts
    points = list(zip(recall.tolist(), precision.tolist(), strict=True))[first:]
    return _thinned([point for a, b in pairwise(points) for point in (a, (b[0], a[1]))])


def _labelled(cell: Cell) -> tuple[list[bool], list[float]]:
    return [part.label != "good" for part in cell.parts], [part.score for part in cell.parts]


def _thinned(points: list[Point]) -> list[Point]:
    every = max(1, len(points) // _MOST_POINTS)
    return [*points[:-1:every], points[-1]]


def _cells(found: Found, protocol: Protocol, condition: str) -> list[tuple[int, Cell]]:
    return [
        (index, cell)
        for index, name in enumerate(found.candidates)
        for cell in found.cells(name, protocol, condition)
        if len({part.label == "good" for part in cell.parts}) == 2
    ]


def _counts(cell: Cell) -> tuple[int, int, int, int]:
    """Defects, good parts, and how many of each are `ng` at the shipped threshold."""
    hit = {
        is_good: [
            judge(part.score, cell.threshold.ng_at_or_above)[0] == "ng"
            for part in cell.parts
            if (part.label == "good") == is_good
        ]
        for is_good in (False, True)
    }
    return len(hit[False]), len(hit[True]), sum(hit[False]), sum(hit[True])


def _draw(drawing: Drawing, points: Sequence[Point], index: int) -> None:
    drawing.polyline(points, f"curve s{index % N_COLOURS}")


def _square(found: Found, across: str, up: str) -> tuple[Drawing, Scale, Scale]:
    drawing = Drawing(_WIDTH, _HEIGHT, f"{found.words[up]} / {found.words[across]}")
    x, y = Scale(0, 1, _LEFT, _WIDTH - _RIGHT), Scale(0, 1, _HEIGHT - _BOTTOM, _TOP)
    for at in _QUARTERS:
        drawing.line((x(at), y(0)), (x(at), y(1)), "grid")
        drawing.line((x(0), y(at)), (x(1), y(at)), "grid")
        drawing.text((x(at), y(0) + 14), f"{at:g}", "middle")
        drawing.text((x(0) - 6, y(at) + 4), f"{at:g}", "end")
    drawing.text((x(0.5), _HEIGHT - 8), found.words[across], "middle name")
    drawing.add("text", "middle name", found.words[up], transform=f"translate(15 {y(0.5):.0f}) rotate(-90)")
    return drawing, x, y
