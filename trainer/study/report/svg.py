"""Small SVG drawings to stand inside a page: an element tree, so that text is escaped wherever it comes from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from xml.etree import ElementTree

Point = tuple[float, float]
N_COLOURS: Final = 8  # classes s0 to s7 of style.css, each with its own colour and dashes


class Drawing:
    """An SVG of `width` x `height` px that grows with its place on the page. Its look is in style.css."""

    def __init__(self, width: float, height: float, label: str) -> None:
        box = f"0 0 {_text(width)} {_text(height)}"
        self._root = ElementTree.Element("svg", {"viewBox": box, "role": "img", "aria-label": label})

    def add(
        self, tag: str, look: str = "", text: str | None = None, title: str | None = None, **more: float | str
    ) -> None:
        """One element of class `look`; `stroke_width=2` becomes `stroke-width="2"`; `title` is shown on hovering."""
        attributes = {name.replace("_", "-"): _text(value) for name, value in more.items()}
        element = ElementTree.SubElement(self._root, tag, {"class": look, **attributes} if look else attributes)
        element.text = text
        if title is not None:
            ElementTree.SubElement(element, "title").text = title

    def line(self, start: Point, end: Point, look: str) -> None:
        """A straight one."""
        self.add("line", look, x1=start[0], y1=start[1], x2=end[0], y2=end[1])

    def polyline(self, points: Iterable[Point], look: str) -> None:
        """Through all points; those that fall on the one before, to a tenth of a pixel, are left out."""
        path: list[str] = []
        for x, y in points:
            if (pair := f"{_text(x)},{_text(y)}") not in path[-1:]:
                path.append(pair)
        self.add("polyline", look, points=" ".join(path))

    def text(self, at: Point, text: str, look: str = "", title: str | None = None) -> None:
        """`look` has `middle` or `end` for how it is aligned."""
        self.add("text", look, text, title, x=at[0], y=at[1])

    def marker(self, at: Point, index: int) -> None:
        """Five shapes, so that with the colours forty candidates differ, and five without."""
        x, y, look = *at, f"mark s{index % N_COLOURS}"
        match index % 5:
            case 0:
                self.add("circle", look, cx=x, cy=y, r=4)
            case 1:
                self.add("rect", look, x=x - 3.5, y=y - 3.5, width=7, height=7)
            case 2:
                self.add("polygon", look, points=_corners((x, y - 5), (x + 4.5, y + 3.5), (x - 4.5, y + 3.5)))
            case 3:
                self.add("polygon", look, points=_corners((x, y - 5), (x + 5, y), (x, y + 5), (x - 5, y)))
            case _:
                self.add("polygon", look, points=_corners((x, y + 5), (x + 4.5, y - 3.5), (x - 4.5, y - 3.5)))

    def __str__(self) -> str:
        return ElementTree.tostring(self._root, encoding="unicode")


def draw_key(index: int) -> str:
    """What stands beside a candidate's name: its line and its mark."""
    drawing = Drawing(34, 12, "")
    drawing.line((0, 6), (34, 6), f"curve s{index % N_COLOURS}")
    drawing.marker((17, 6), index)
    return str(drawing)


@dataclass(frozen=True, slots=True)
class Scale:
    """From a number to pixels, linear."""

    low: float
    high: float
    start_px: float
    end_px: float

    def __call__(self, value: float) -> float:
        """In px."""
        share = (value - self.low) / (self.high - self.low)
        return self.start_px + share * (self.end_px - self.start_px)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from `low` to `high`, at most `most`: steps of 1, 2 or 5 times a power of ten."""
    span = high - low
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * times for times in (1, 2, 5, 10, 20) if span / (power * times) <= most - 1)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def spread(wanted: Sequence[float], apart: float, least: float) -> list[float]:
    """Where labels go: near where they were wanted, any two `apart` px or more from each other, none above `least`."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    placed = list(wanted)
    for before, index in pairwise(order):
        placed[index] = max(placed[index], placed[before] + apart)
    shift = (sum(placed) - sum(wanted)) / max(1, len(wanted))  # pushed down only so far: now all go up by the mean
    return [at - min(shift, min(placed) - least) for at in placed]


def shortened(text: str, most: int) -> str:
    """With an ellipsis where it is longer; letters of Chinese and Japanese count as two."""
    length = 0
    for index, letter in enumerate(text):
        length += 2 if ord(letter) > 0x2E7F else 1
        if length > most:
            return text[:index] + "…"
    return text


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")


def _corners(*points: Point) -> str:
    return " ".join(f"{_text(x)},{_text(y)}" for x, y in points)
