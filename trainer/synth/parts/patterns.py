"""Regular and random patterns for surfaces: cells, weaves, wires, wood, dead leaves, fractals. Pure functions.

Dead leaves follow Lee, Mumford and Huang, Occlusion Models for Natural Images (2001), and with the
spectra of trainer/synth/textures.py what Baradad et al. (arXiv 2106.05963) found worth learning from;
the fractals are those of Kataoka et al. (FractalDB, arXiv 2101.08515).
"""

from __future__ import annotations

import math
from typing import cast

import cv2
import numpy as np

from trainer.synth.arrays import F32, blur, f32, noise, resize
from trainer.synth.parts.shapes import circle, ngon


def cells(rng: np.random.Generator, size: int, pitch: float, soft: float) -> F32:
    """Pebbles as of leather: distance to the nearest of random points, 0 in the creases, about 1 on top."""
    points = np.full((size, size), 255, np.uint8)
    count = max(4, int((size / pitch / 1.6) ** 2))
    points[rng.integers(0, size, count), rng.integers(0, size, count)] = 0
    away = f32(cv2.distanceTransform(points, cv2.DIST_L2, 3))
    return blur(f32(1.3 - away / np.float32(pitch)), 0.6 * soft)


def wire(at: F32, pitch: float) -> F32:
    """Height of round strands that lie side by side across `at`, both in pixels; 0 to 1."""
    swing = f32(at / np.float32(pitch) % 1) * 2 - 1
    return f32(np.sqrt(np.maximum(1 - swing * swing, 0)))


def woven(rng: np.random.Generator, size: int, pitch: float, soft: float) -> tuple[F32, F32]:
    """Threads over and under each other: height, and which way the upper thread runs, 0 or 1."""
    swell = noise(rng, size, size, 12 * soft, 12 * soft) * np.float32(0.12 * pitch)
    axis = f32(np.arange(size))
    across, down = f32(axis[None, :] + swell), f32(axis[:, None] + swell.T)
    turn = np.float32(math.pi / pitch)
    over = f32(np.sin(across * turn) * np.sin(down * turn))
    thread = np.where(over > 0, wire(across, pitch), wire(down, pitch))
    fuzz = 0.12 * noise(rng, size, size, 0.6, 0.6)
    return f32(thread + 0.6 * np.abs(over) + fuzz), f32(over > 0)


def planks(rng: np.random.Generator, x: F32, y: F32, scale: float) -> F32:
    """Year rings of a board, cut along its length: dark lines, 0 to 1."""
    size = x.shape[0]
    bend = noise(rng, size, size, size / 3, size / 12)
    at = y * np.float32(7 / scale) + 0.9 * bend + 0.05 * noise(rng, size, size, 12, 0.7)
    return f32((at % 1) ** 3)


def leaves(rng: np.random.Generator, size: int, small: float, large: float) -> F32:
    """Dead leaves: shapes with radii from `small` to `large` px on top of each other, values of deviation 1."""
    field = np.full((size, size), 128, np.uint8)
    count = int(min(700, 2.2 * (size / (small * large) ** 0.5) ** 2))
    radii = np.clip(small / np.maximum(rng.random(count), 1e-3) ** 0.6, small, large)
    squarish, level = rng.random() < 0.4, np.clip(128 + 45 * rng.standard_normal(count), 0, 255)
    for (across, down), radius, value in zip(rng.integers(0, size, (count, 2)), radii, level, strict=True):
        axes = (max(1.0, float(radius)), max(1.0, float(radius * rng.uniform(0.3, 1))))
        turn = float(rng.uniform(0, 180))
        if squarish:
            corners = cv2.boxPoints(((float(across), float(down)), (2 * axes[0], 2 * axes[1]), turn))
            cv2.fillConvexPoly(field, np.round(corners).astype(np.int32), float(value), cv2.LINE_AA)
        else:
            whole = (round(axes[0]), round(axes[1]))
            cv2.ellipse(field, (int(across), int(down)), whole, turn, 0, 360, float(value), -1, cv2.LINE_AA)
    return f32((field.astype(np.float32) - 128) / 45)


def fractal(rng: np.random.Generator, size: int) -> F32:
    """How often an iterated function system visits each pixel, 0 to 1; the maps are the rng's."""
    seen = np.zeros((128, 128), np.float32)
    for _ in range(4):  # some are mere lines
        seen = _visits(rng)
        if (seen > 0).mean() > 0.15:
            break
    return resize(blur(f32(np.minimum(np.log1p(seen) / 2, 1)), 0.5), size, size)


def _visits(rng: np.random.Generator) -> F32:
    count = int(rng.integers(2, 6))
    maps = rng.uniform(-1, 1, (count, 2, 3))
    for index in range(count):  # every map must shrink, or the walk runs away
        stretch = math.sqrt(float((maps[index, :, :2] ** 2).sum()))
        maps[index, :, :2] *= rng.uniform(0.6, 1) / max(stretch, 1e-3)
    at = rng.uniform(-1, 1, (2, 2000))
    trail = []
    for step in range(16):
        chosen = maps[rng.integers(0, count, at.shape[1])]
        at = np.einsum("kij,jk->ik", chosen[:, :, :2], at) + chosen[:, :, 2].T
        if step > 5:
            trail.append(at)
    points = np.concatenate(trail, axis=1)
    low, high = np.percentile(points, (1, 99), axis=1)
    ranges = list(zip(low - 1e-3, high + 1e-3, strict=True))
    return f32(np.histogram2d(points[0], points[1], bins=128, range=ranges)[0])


def stamp(rng: np.random.Generator, size: int) -> F32:
    """A small sign as of a stamp or a label: a few strokes, rings or letters, 0 to 1."""
    sign = np.zeros((size, size), np.uint8)
    match int(rng.integers(4)):
        case 0:
            text = "".join(rng.choice(list("ABCDEFHKLMNPRSTUVXYZ0123456789"), int(rng.integers(1, 5))))
            wide = size / (18 * len(text) + 4)
            weight = max(1, round(size / 24))
            cv2.putText(sign, text, (2, int(size / 2 + 10 * wide)), 0, wide, 255, weight, cv2.LINE_AA)
        case 1:
            for _ in range(int(rng.integers(2, 6))):
                ends = rng.integers(size // 8, size - size // 8, 4)
                cv2.line(sign, ends[:2].tolist(), ends[2:].tolist(), 255, max(1, size // 14), cv2.LINE_AA)
        case 2:
            steps = rng.integers(0, 2, (int(rng.integers(4, 9)),) * 2) * 255
            sign = cast(
                "np.ndarray[tuple[int, int], np.dtype[np.uint8]]",
                cv2.resize(steps.astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST),
            )
        case _:
            axis = f32(np.linspace(-1, 1, size))
            x, y = f32(np.broadcast_to(axis, (size, size))), f32(np.broadcast_to(axis[:, None], (size, size)))
            ring = np.abs(circle(x, y, rng.uniform(0.5, 0.8))) < 0.1
            sign[ring | (ngon(x, y, int(rng.integers(3, 7)), rng.uniform(0.15, 0.4)) < 0)] = 255
    return f32(sign / 255)
