"""Scores of one cell: good parts upwards, defects downwards, the threshold and the review band between them."""

from __future__ import annotations

from typing import Final

import numpy as np

from trainer.study.report.found import Words
from trainer.study.report.svg import Drawing, Scale, ticks
from trainer.study.types import Cell

_WIDTH, _HEIGHT = 330, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 8, 22, 34
_BINS: Final = 36


def draw_histogram(cell: Cell, words: Words) -> str:
    """Both halves on one scale of counts, so that heights compare."""
    found = [p for p in cell.parts if not p.lost]
    good, defect = ([p.score for p in found if (p.label == "good") == is_good] for is_good in (True, False))
    at, review = cell.threshold.ng_at_or_above, cell.threshold.review_at_or_above
    low, high = _range([*good, *defect, at, *([] if review is None else [review])])
    counts = [np.histogram(scores, bins=_BINS, range=(low, high))[0] for scores in (good, defect)]
    most = max(1, *(int(count.max()) for count in counts))
    drawing = Drawing(_WIDTH, _HEIGHT, f"{words['score']}: {words['good']} / {words['defect']}")
    x = Scale(low, high, _LEFT, _WIDTH - _RIGHT)
    y = Scale(-most, most, _HEIGHT - _BOTTOM, _TOP)
    if review is not None:
        drawing.add("rect", "review", x=x(review), y=_TOP, width=x(at) - x(review), height=_HEIGHT - _BOTTOM - _TOP)
    _axes(drawing, x, y, most, words)
    for sign, look, count in ((1, "good", counts[0]), (-1, "defect", counts[1])):
        _bars(drawing, x, y, sign * count, look)
    _threshold(drawing, x, at, words)
    return str(drawing)


def _range(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    size = max(abs(low), abs(high), 1e-6)
    edge = 0.03 * (high - low) if high - low > 1e-6 * size else 0.5 * size  # all the same: some room around it
    return low - edge, high + edge


def _bars(drawing: Drawing, x: Scale, y: Scale, counts: np.ndarray, look: str) -> None:
    width = (x.end_px - x.start_px) / _BINS
    for index, count in enumerate(counts.tolist()):
        if count:
            top = min(y(count), y(0))
            tall = abs(y(count) - y(0))
            drawing.add("rect", look, x=x.start_px + index * width, y=top, width=width - 1, height=tall)


def _axes(drawing: Drawing, x: Scale, y: Scale, most: int, words: Words) -> None:
    drawing.line((x.start_px, y(0)), (x.end_px, y(0)), "axis")
    for value in (most, -most):
        drawing.line((x.start_px, y(value)), (x.end_px, y(value)), "grid")
        drawing.text((x.start_px - 5, y(value) + 4), str(most), "end")
    drawing.text((x.start_px - 5, y(0) + 4), "0", "end")
    for score in ticks(x.low, x.high):
        drawing.line((x(score), y(-most)), (x(score), y(-most) + 4), "axis")
        drawing.text((x(score), y(-most) + 15), f"{score:g}", "middle")
    for half, name in ((most / 2, "good"), (-most / 2, "defect")):
        place = f"translate(13 {y(half):.0f}) rotate(-90)"
        drawing.add("text", f"middle of-{name}", words[name], transform=place)
    drawing.text(((x.start_px + x.end_px) / 2, _HEIGHT - 5), words["score"], "middle name")


def _threshold(drawing: Drawing, x: Scale, at: float, words: Words) -> None:
    drawing.line((x(at), _TOP - 6), (x(at), _HEIGHT - _BOTTOM), "threshold")
    middle, third = (x.start_px + x.end_px) / 2, (x.end_px - x.start_px) / 3
    side = "end" if x(at) > middle + third / 2 else "middle" if x(at) > middle - third / 2 else ""
    drawing.text((x(at), _TOP - 10), f"{words['threshold']} {at:.4g}", side)
