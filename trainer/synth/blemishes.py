"""Defects painted into a picture, with their kind for every pixel. For pre-training only.

None of them is the demo's scratch: that one is cut into the rendered screw's surface.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from trainer.synth.arrays import F32, blur, f32
from trainer.synth.textures import lines, spectrum

KINDS = ("sound", "foreign", "ground", "stain", "spots", "strokes", "dent", "smear")


def paint_blemish(picture: F32, other: F32, rng: np.random.Generator) -> tuple[F32, F32, int]:
    """Puts one defect where the picture has structure.

    `picture` and `other` are grey, (n, n), 0 to 255; `other` lends its surface to foreign patches.
    Returns the new picture, where it changed (0 to 1), and the index into KINDS.
    """
    size = picture.shape[0]
    kind = int(rng.integers(1, len(KINDS)))
    where = _strokes(rng, size) if KINDS[kind] == "strokes" else _patch(rng, size)
    where = _move(where, _place(picture, rng), size)
    painted = _surface(KINDS[kind], picture, other, rng)
    result = f32(picture * (1 - where) + np.clip(painted, 0, 255) * where)
    changed = f32(np.abs(result - picture))
    return result, f32(where * (blur(changed, 2, 2) > 4)), kind


def _surface(kind: str, picture: F32, other: F32, rng: np.random.Generator) -> F32:  # noqa: PLR0911
    size = picture.shape[0]
    match kind:
        case "foreign":
            return f32(other + picture.mean() - other.mean())
        case "ground":
            return f32(blur(picture, 2, 2) + rng.uniform(-10, 35) + rng.uniform(8, 35) * lines(rng, size))
        case "stain":
            return f32(picture * rng.uniform(0.55, 0.85) if rng.random() < 0.6 else picture * rng.uniform(1.15, 1.5))
        case "spots":
            return f32(picture + rng.uniform(-60, 60) * (spectrum(rng, size, rng.uniform(0, 1)) > 0.8))
        case "strokes":
            return f32(picture + rng.choice((-1, 1)) * rng.uniform(20, 80))
        case "dent":
            slope = np.gradient(blur(spectrum(rng, size, 1.5), 3, 3), axis=int(rng.integers(2)))
            return f32(picture + rng.uniform(15, 45) * slope / (np.std(slope) + 1e-6))
        case _:
            return blur(picture, *rng.uniform(1.5, 8, 2))


def _patch(rng: np.random.Generator, size: int) -> F32:
    """A ragged oval in the middle, 6 to 40 pixels long."""
    y, x = (f32(axis) for axis in np.mgrid[-size // 2 : size - size // 2, -size // 2 : size - size // 2])
    turn, long, wide = rng.uniform(0, math.pi), rng.uniform(4, 20), rng.uniform(3, 9)
    along, across = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    edge = 1 - np.sqrt((along / long) ** 2 + (across / wide) ** 2) + 0.3 * spectrum(rng, size, 1.3)
    return f32(np.clip(edge * rng.uniform(2, 8), 0, 1) * (np.hypot(x, y) < 28))


def _strokes(rng: np.random.Generator, size: int) -> F32:
    """A few thin lines close together."""
    canvas = np.zeros((size, size), np.float32)
    turn, long = rng.uniform(0, math.pi), rng.uniform(5, 22)
    for _ in range(int(rng.integers(1, 8))):
        cx, cy = size / 2 + rng.normal(0, 5, 2)
        lean = turn + rng.normal(0, 0.12)
        dx, dy = math.cos(lean) * long / 2, math.sin(lean) * long / 2
        ends = ((int(cx - dx), int(cy - dy)), (int(cx + dx), int(cy + dy)))
        cv2.line(canvas, *ends, float(rng.uniform(0.4, 1)), 1, cv2.LINE_AA)
    return blur(canvas, 0.6, 0.6)


def _place(picture: F32, rng: np.random.Generator) -> tuple[int, int]:
    """A point where the picture has detail, (y, x): a defect lies on the part, not beside it."""
    detail = blur(f32(np.abs(picture - blur(picture, 4, 4))), 4, 4).ravel().astype(np.float64) ** 1.5 + 1e-3
    y, x = divmod(int(rng.choice(detail.size, p=detail / detail.sum())), picture.shape[1])
    return y, x


def _move(mask: F32, to: tuple[int, int], size: int) -> F32:
    shift = np.array([[1, 0, to[1] - size / 2], [0, 1, to[0] - size / 2]], np.float32)
    return f32(cv2.warpAffine(mask, shift, (size, size)))
