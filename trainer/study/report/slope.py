"""Robustness as a slope: from the original pictures down to the condition that is worst for each candidate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainer.study.report.found import Found
from trainer.study.report.numbers import share
from trainer.study.report.svg import N_COLOURS, Drawing, Scale, shortened, spread, ticks
from trainer.study.types import Protocol

_WIDTH, _LEAST_HEIGHT = 480, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 240, 14, 46
_APART = 14  # px from label to label


@dataclass(frozen=True, slots=True)
class Slope:
    """One candidate's way down."""

    candidate: str
    start: float
    end: float
    worst: str  # condition

    @property
    def loss(self) -> float:
        """How much is lost; negative where the worst is better."""
        return self.start - self.end


def slopes_of(found: Found, protocol: Protocol, figure: str) -> list[Slope]:
    """Of all candidates that were measured on the original pictures and on others; `figure` is a field of Summary."""
    slopes = []
    for name in found.candidates:
        first, worst = found.summary(name, protocol, found.base), found.worst(name, protocol, figure)
        if first and worst:
            slopes.append(Slope(name, getattr(first, figure).value, getattr(worst, figure).value, worst.condition))
    return slopes


def draw_slope(found: Found, slopes: list[Slope], label: str) -> str:
    """Shares from the lowest of all up to 1."""
    low = min(0.9, math.floor(10 * min(min(s.start, s.end) for s in slopes) + 1e-9) / 10)
    height = max(_LEAST_HEIGHT, _TOP + _BOTTOM + _APART * len(slopes))  # the labels must fit
    drawing = Drawing(_WIDTH, height, label)
    left, right, y = _LEFT, _WIDTH - _RIGHT, Scale(low, 1, height - _BOTTOM, _TOP)
    for at in ticks(low, 1):
        drawing.line((left, y(at)), (right, y(at)), "grid")
        drawing.text((24, y(at) + 4), f"{at:g}", "end")
    for x, text in ((left, found.condition_title(found.base)), (right, found.words["worst"])):
        drawing.line((x, _TOP), (x, height - _BOTTOM), "axis")
        drawing.text((x, height - 12), shortened(text, 24), "middle name")
    starts = spread([y(slope.start) for slope in slopes], _APART, _TOP)
    ends = spread([y(slope.end) for slope in slopes], _APART, _TOP)
    for slope, start, end in zip(slopes, starts, ends, strict=True):
        index = found.index(slope.candidate)
        drawing.polyline([(left, y(slope.start)), (right, y(slope.end))], f"curve s{index % N_COLOURS}")
        drawing.marker((left, y(slope.start)), index)
        drawing.marker((right, y(slope.end)), index)
        ink = f"t{index % N_COLOURS}"
        drawing.text((left - 12, start + 4), share(slope.start), f"end {ink}")
        title = found.condition_title(slope.worst)
        drawing.text(
            (right + 12, end + 4), f"{share(slope.end)}  {shortened(title, 29)}", ink, f"{slope.candidate}: {title}"
        )
    return str(drawing)
