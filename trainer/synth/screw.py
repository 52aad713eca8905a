"""The screw as a solid: its dimensions, its radius over (angle, length), and which point each pixel sees.

Part frame, all lengths in pixels of a 1024 px photograph: `s` runs along the axis from the head's face
to the tip, `y` across it (down when the head is left), `h` up towards the camera. The screw rests on
its rim and its tip, so the axis leans by `tilt` and the head's face is seen obliquely.

A table of the radius has the angle about the axis in its rows and s in its columns. The angle is
counted from the back, so that the seam of every table faces the ground.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from trainer.synth.arrays import F32, Bools, blur, f32, lookup, smoothstep

ANGLES = 512  # rows of a table: one turn
S_PAD = 8  # columns before s = 0
MARGIN = 12.0  # empty border of the part frame


@dataclass(frozen=True, slots=True)
class Dimensions:
    """One screw within its manufacturing tolerances. Radii and lengths in 1024 px units."""

    length: float
    head_radius: float
    rim: float  # height of the cylindrical edge of the head
    collar_s: float  # where the countersink meets the collar
    neck_start: float
    neck_end: float
    neck_radius: float
    core_radius: float
    crest_radius: float
    pitch: float
    tip_length: float
    roll: float  # radians about the own axis; moves thread and recess

    @property
    def tilt(self) -> float:
        """Angle in radians between the axis and the ground: the screw lies on its rim and its tip."""
        return math.asin(self.head_radius / self.length)


@dataclass(frozen=True, slots=True)
class View:
    """What each pixel of the part frame sees. Float maps (H, W); meaningless where not `hit`."""

    scale: float  # pixels of this frame per 1024 px unit
    hit: Bools
    s: F32
    angle: F32  # 0 .. 2 pi from the back
    face: Bools  # the flat top of the head
    y: F32
    h: F32


def draw_dimensions(rng: np.random.Generator) -> Dimensions:
    """A screw of the one type we make, within its tolerances, at any roll."""

    def near(value: float, tolerance: float = 0.004) -> float:
        return float(value * (1 + tolerance * np.clip(rng.standard_normal(), -2, 2)))

    return Dimensions(
        length=near(905),
        head_radius=near(140),
        rim=near(19, 0.03),
        collar_s=near(98, 0.01),
        neck_start=near(142, 0.01),
        neck_end=near(398, 0.006),
        neck_radius=near(52),
        core_radius=near(44),
        crest_radius=near(69),
        pitch=near(66),
        tip_length=near(165, 0.02),
        roll=float(rng.uniform(0, 2 * math.pi)),
    )


def radius_table(dims: Dimensions) -> F32:
    """Radius over (angle, s): a turned profile with a helical ridge on it."""
    s = np.arange(-S_PAD, math.ceil(dims.length) + S_PAD, dtype=np.float32)
    core = _profile(dims, s)
    angle = f32(np.linspace(0, 2 * math.pi, ANGLES, endpoint=False))[:, None] - np.float32(math.pi)
    turn = s[None, :] / np.float32(dims.pitch) - (angle + np.float32(dims.roll)) / np.float32(2 * math.pi)
    return f32(core[None, :] + _ridge(dims, s, turn.astype(np.float32)))


def _profile(dims: Dimensions, s: F32) -> F32:
    """Radius of the turned body without thread."""
    head, neck, core = dims.head_radius, dims.neck_radius, dims.core_radius
    collar = neck + 19
    tip = dims.length - dims.tip_length
    knots = [
        (0.0, head - 9),
        (4, head - 3),
        (9, head),
        (dims.rim, head - 1),
        (dims.rim + 5, head - 7),
        (dims.collar_s, collar),
        (dims.neck_start, neck + 1),
        (dims.neck_start + 6, neck),
        (dims.neck_end, neck + 1),
        (dims.neck_end + 8, neck),
        (dims.neck_end + 15, core + 1),
        (tip, core),
        (tip + 70, 0.76 * core),
        (dims.length - 14, 10),
        (dims.length - 4, 7),
        (dims.length, 0),
    ]
    at, radius = zip(*knots, strict=True)
    line = f32(np.interp(s, at, radius))
    soft = blur(line[None, :], 1.3, 0.0)[0]
    return np.where((s < 3) | (s > dims.length - 8), line, soft)


def _ridge(dims: Dimensions, s: F32, turn: F32) -> F32:
    """Height of the thread above the core; `turn` counts turns along the helix."""
    off = np.abs(turn - np.round(turn)) * np.float32(dims.pitch)  # distance to the crest along s
    flank = 1 - np.clip((off - np.float32(2.4)) / np.float32(9.6), 0, 1)
    shape = 0.75 * flank + 0.25 * flank * flank
    tip = dims.length - dims.tip_length
    full = dims.crest_radius - dims.core_radius
    start = smoothstep(dims.neck_end + 6, dims.neck_end + 36, s)
    fade = 1 - 0.72 * smoothstep(tip + 10, dims.length - 20, s)
    end = 1 - smoothstep(dims.length - 20, dims.length - 2, s)
    return f32(shape * (full * start * fade * end)[None, :])


def see(dims: Dimensions, table: F32, scale: float) -> View:
    """Casts one ray per pixel of the part frame against the radius table."""
    width = math.ceil((dims.length + 2 * MARGIN + 2 * S_PAD) * scale)
    half = dims.head_radius + MARGIN
    height = math.ceil(2 * half * scale)
    u = f32((np.arange(width) + 0.5) / scale - MARGIN - S_PAD)
    v = f32((np.arange(height) + 0.5) / scale - half)
    hit = np.zeros((height, width), dtype=np.bool_)
    s, angle, h = (np.zeros((height, width), dtype=np.float32) for _ in range(3))
    # Most of the frame beside shank and thread is empty, and the neck is nearly a cylinder.
    neck, thread = dims.neck_start + 24, dims.neck_end - 24
    face_end = dims.head_radius * math.sin(dims.tilt) + 2
    for first, last, reach, steps in (
        (-99.0, face_end, half, 24),
        (face_end, neck, half, 12),
        (neck, thread, dims.neck_radius + 3, 2),
        (thread, dims.length + 99, dims.crest_radius + 3, 14),
    ):
        box = np.ix_(np.abs(v) <= reach, (u >= first) & (u < last))
        hit[box], s[box], angle[box], h[box] = _cast(dims, table, u[box[1]], v[box[0]], steps)
    y = np.broadcast_to(v[:, None], s.shape)
    radius = np.hypot(y, h)
    face = hit & (s < 0.6) & (radius < dims.head_radius - 9.5)
    return View(scale=scale, hit=hit, s=s, angle=angle, face=face, y=f32(y), h=h)


def to_table(s: F32, angle: F32) -> tuple[F32, F32]:
    """Column and row of a table for points of the surface."""
    return s + np.float32(S_PAD), angle * np.float32(ANGLES / (2 * math.pi))


def _cast(dims: Dimensions, table: F32, u: F32, v: F32, steps: int) -> tuple[Bools, F32, F32, F32]:
    """Marches rays down from an envelope of the body, then bisects the step that went inside."""
    sin, cos = np.float32(math.sin(dims.tilt)), np.float32(math.cos(dims.tilt))
    most, least = _envelopes(dims, table, u)
    shape = np.broadcast_shapes(u.shape, v.shape)
    v = f32(np.broadcast_to(v, shape))
    top = np.sqrt(np.maximum(most * most - v * v, 0))
    under = least * least - v * v
    # Beside the core a ray may pass the near ridge and meet one further down.
    bottom = np.where(under > 0, np.sqrt(np.maximum(under, 0)), -top)

    def probe(t: F32) -> tuple[Bools, F32, F32, F32]:
        h = f32(top + (bottom - top) * t)
        s = f32((u - h * sin) / cos)
        radius, angle = (cast(F32, a) for a in cv2.cartToPolar(-h, -v))
        return (radius <= lookup(table, *to_table(s, angle))) & (s >= 0) & (s <= dims.length), s, angle, h

    first = np.full(shape, 2.0, dtype=np.float32)
    for i in range(1, steps + 1):
        t = np.float32(i / steps)
        inside = probe(np.full(shape, t, dtype=np.float32))[0]
        first[inside & (first > 1)] = t
    hit = (first <= 1) & (np.abs(v) < most)
    high = np.minimum(first, 1)
    low = f32(high - np.float32(1 / steps))
    for _ in range(5):
        middle = f32((low + high) / 2)
        inside = probe(middle)[0]
        low, high = np.where(inside, low, middle), np.where(inside, middle, high)
    _, s, angle, h = probe(high)
    return hit, s, angle, h


def _envelopes(dims: Dimensions, table: F32, u: F32) -> tuple[F32, F32]:
    """Largest and smallest radius a ray at u can meet while the leaning axis shifts its s."""
    widest = float(table.max(axis=0)[int(max(float(u.min()), 0)) + S_PAD :].max())
    reach = 2 * math.ceil(widest * math.tan(dims.tilt)) + 3
    kernel = np.ones((1, reach), dtype=np.uint8)
    at = u + np.float32(S_PAD)
    row = np.zeros_like(at)
    most = cast(F32, cv2.dilate(table.max(axis=0)[None, :], kernel))
    least = cast(F32, cv2.erode(table.min(axis=0)[None, :], kernel))
    # Left of the face's upper edge a ray enters through the face, at any height down to the ground.
    beyond_face = u >= dims.head_radius * math.sin(dims.tilt) + 2
    inner = (lookup(least, at, row) - np.float32(0.5)) * beyond_face
    return lookup(most, at, row) + np.float32(0.5), f32(inner)
