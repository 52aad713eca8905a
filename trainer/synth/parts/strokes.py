"""Where a defect runs or spreads: lines that wander, and ovals. Pure functions."""

from __future__ import annotations

import math

import cv2
import numpy as np

from trainer.synth.arrays import F32, f32

Rng = np.random.Generator


def walk(at: tuple[float, float], turn: float, extent: float, kink: float, rng: Rng) -> F32:
    """Points of a line that wanders; `kink` is how much it turns at each of its steps."""
    count = 14
    turns = turn + np.cumsum(rng.normal(0, kink, count)) * 0.5 + rng.normal(0, kink, count)
    steps = extent / count * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    path = np.cumsum(steps, axis=0)
    return f32(path - path[count // 2] + np.array(at))


def draw(size: int, paths: list[tuple[F32, float]]) -> F32:
    """Lines by their points and width in pixels, 0 to 1, thinner and fainter towards their ends."""
    canvas = np.zeros((size, size), np.uint8)
    for path, wide in paths:
        for index in range(len(path) - 1):
            level = 255 * min(1.0, 0.35 + 0.25 * min(index, len(path) - 2 - index))
            ends = np.round((path[index : index + 2] + 0.5) * 16).astype(int)
            weight = max(1, round(wide))
            cv2.line(canvas, ends[0].tolist(), ends[1].tolist(), level, weight, cv2.LINE_AA, 4)
    return f32(canvas / 255)


def oval(size: int, at: tuple[float, float], extent: float, rng: Rng) -> F32:
    """Distance from `at` in an oval's frame: 1 is its edge, `extent` its length."""
    axis, turn, slim = f32(np.arange(size)), float(rng.uniform(0, math.pi)), float(rng.uniform(1, 2.2))
    x, y = axis[None, :] - np.float32(at[0]), axis[:, None] - np.float32(at[1])
    cos, sin = np.float32(math.cos(turn)), np.float32(math.sin(turn))
    return f32(np.hypot(x * cos + y * sin, (y * cos - x * sin) * np.float32(slim)) / np.float32(extent / 2))
