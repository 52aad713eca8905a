"""The outline and relief of made-up parts, drawn from signed distances. Pure functions, and one canvas they draw on.

Coordinates are those of the part: the middle is (0, 0), x right, y down, and 1 is half the part's length.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from trainer.synth.arrays import F32, blur, f32, smoothstep

Colour = tuple[float, float, float]  # BGR, 0 to 1
Distance = Callable[[F32, F32], F32]  # of x and y; below 0 inside
Profile = Literal["chamfer", "round", "cone"]
NEVER = 9.0  # a distance that no picture reaches


def circle(x: F32, y: F32, radius: float) -> F32:
    """Signed distance to a disc."""
    return f32(np.hypot(x, y) - np.float32(radius))


def box(x: F32, y: F32, wide: float, high: float, corner: float = 0.0) -> F32:
    """Signed distance to a rectangle by its half sizes, with rounded corners."""
    dx, dy = np.abs(x) - np.float32(wide - corner), np.abs(y) - np.float32(high - corner)
    out = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
    return f32(out + np.minimum(np.maximum(dx, dy), 0) - np.float32(corner))


def bar(x: F32, y: F32, half: float, radius: float) -> F32:
    """Signed distance to a line along x, 2 * half long, with round ends."""
    return f32(np.hypot(np.maximum(np.abs(x) - np.float32(half), 0), y) - np.float32(radius))


def ngon(x: F32, y: F32, sides: int, radius: float) -> F32:
    """Signed distance to the sides of a regular polygon around a circle of `radius`."""
    sector = 2 * math.pi / sides
    angle = np.arctan2(y, x)
    return f32(np.hypot(x, y) * np.cos(angle - sector * np.round(angle / sector)) - np.float32(radius))


def toothed(x: F32, y: F32, teeth: int, radius: float, *, depth: float, sharp: float) -> F32:
    """About the distance to a gear of outer `radius`; `sharp` above 1 flattens tips and roots."""
    wave = np.clip(np.sin(np.arctan2(y, x) * np.float32(teeth)) * np.float32(sharp), -1, 1)
    return f32(np.hypot(x, y) - (radius - depth / 2) - np.float32(depth / 2) * wave)


def lobed(x: F32, y: F32, radius: float, waves: list[tuple[int, float, float]]) -> F32:
    """About the distance to a disc whose radius swings; `waves` are (count, strength, phase)."""
    angle = np.arctan2(y, x)
    swing = sum((np.float32(strength) * np.cos(count * angle + phase) for count, strength, phase in waves), 0 * angle)
    return f32(np.hypot(x, y) - np.float32(radius) * (1 + swing))


def turned(x: F32, y: F32, radians: float) -> tuple[F32, F32]:
    """The coordinates in a frame that is turned by `radians`."""
    cos, sin = np.float32(math.cos(radians)), np.float32(math.sin(radians))
    return f32(x * cos + y * sin), f32(y * cos - x * sin)


def profile(depth: F32, kind: Profile) -> F32:
    """Height 0 to 1 over the way in from an edge, which runs from 0 to 1."""
    t = np.clip(depth, 0, 1)
    if kind == "round":
        return f32(np.sqrt(t * (2 - t)))
    return f32(t) if kind == "chamfer" else f32(t * t * (3 - 2 * t))


class Form:
    """A part being drawn. Arrays are (size_px, size_px); heights are in units of half the part's length."""

    def __init__(self, size_px: int, fills: float, slack: np.random.Generator) -> None:
        """`fills` is the share of the picture that the part's length takes; `slack` draws one part's tolerances."""
        self.px = fills * size_px / 2
        self.middle = (size_px - 1) / 2
        axis = (np.arange(size_px) - self.middle) / self.px
        across, down = (f32(axis * (1 + stretch)) for stretch in slack.normal(0, 0.003, 2))
        self.x, self.y = (f32(grid) for grid in np.meshgrid(across, down))
        self.outline = np.full((size_px, size_px), NEVER, np.float32)
        self.body = np.zeros_like(self.outline)
        self.relief = np.zeros_like(self.outline)  # of the features, on top of the body
        self.paint = np.zeros((size_px, size_px, 4), np.float32)  # their colour times cover, and cover
        self.labels = np.zeros((size_px, size_px), np.int16)  # which feature, from 1; 0 is none
        self.features = 0
        self.slack = slack

    def join(self, distance: F32) -> None:
        """Adds to the outline."""
        self.outline = f32(np.minimum(self.outline, distance))

    def cut(self, distance: F32) -> None:
        """Takes out of the outline."""
        self.outline = f32(np.maximum(self.outline, -distance))

    def near(self, x: float, y: float, reach: float) -> tuple[tuple[slice, slice], F32, F32]:
        """A window around a point, and its coordinates from there; the point is off by the part's tolerance."""
        x, y = x + float(self.slack.normal(0, 0.003)), y + float(self.slack.normal(0, 0.003))
        size = self.body.shape[0]
        spans = []
        for at in (y, x):
            first, last = (self.middle + (at - reach) * self.px, self.middle + (at + reach) * self.px)
            spans.append(slice(max(0, math.floor(first) - 1), min(size, max(0, math.ceil(last) + 2))))
        window = (spans[0], spans[1])
        return window, f32(self.x[window] - np.float32(x)), f32(self.y[window] - np.float32(y))

    def drill(self, x: float, y: float, reach: float, shape: Distance) -> None:
        """A hole through the part."""
        window, dx, dy = self.near(x, y, reach)
        self.outline[window] = np.maximum(self.outline[window], -shape(dx, dy))

    def sink(self, x: float, y: float, reach: float, shape: Distance, *, depth: float, soft: float = 0.02) -> None:
        """A recess, or with a negative depth a ridge, that is part of the body."""
        window, dx, dy = self.near(x, y, reach)
        soft = max(soft, 2 / self.px)
        self.body[window] -= depth * smoothstep(soft / 2, -soft / 2, shape(dx, dy))

    def feature(
        self,
        at: tuple[float, float],
        reach: float,
        shape: Distance,
        height: float,
        colour: Colour | None = None,
        *,
        soft: float = 0.02,
        edge: Profile = "cone",
    ) -> None:
        """Something that stands on the body and could be missing; `soft` is how wide its edge rises."""
        window, dx, dy = self.near(*at, reach)
        if dx.size == 0:
            return
        distance = shape(dx, dy)
        soft = max(soft, 1.5 / self.px)
        alpha = smoothstep(0.6 / self.px, -0.6 / self.px, distance)
        rise = height * profile(f32(-distance / np.float32(soft)), edge)
        self.relief[window] = self.relief[window] * (1 - alpha) + rise
        if colour is not None:
            value = np.array([*colour, 1.0], np.float32)
            self.paint[window] = self.paint[window] * (1 - alpha[..., None]) + alpha[..., None] * value
        self.features += 1
        self.labels[window][distance < 1 / self.px] = self.features

    def finish(self, kind: Profile, wide: float, high: float) -> None:
        """Gives the outline's edge its profile: `wide` from the edge to where the body is `high`."""
        rise = profile(f32(-self.outline / np.float32(max(wide, 1.5 / self.px))), kind)
        self.body += high * (rise if kind == "round" else blur(rise, 0.5))
