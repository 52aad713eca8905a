"""Defects in the surface of a made-up part: cut into its height or painted on its colour, then lit like the rest.

Spots and stains have the shape of clouds, as the anomalies of Zavrtanik et al. (DRAEM, arXiv 2108.07610).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from trainer.synth.arrays import F32, Bools, blur, f32, smoothstep
from trainer.synth.parts.lighting import Scene
from trainer.synth.parts.materials import draw_colour, veins
from trainer.synth.parts.strokes import Rng, draw, oval, walk

KINDS: Final = ("scratch", "dent", "spot", "crack", "stain", "missing")
THIN: Final = ("scratch", "crack")
SMALLEST, LARGEST = 0.02, 0.25  # of the part's length
PLAIN_SMALLEST, PLAIN_LARGEST = 0.04, 0.3  # where damage is to be plain
LONGEST = {"scratch": 1.3, "crack": 1.2, "spot": 0.45}  # factors on the size


def draw_extent(kind: str, length_px: float, rng: Rng, plain: bool = False) -> float:
    """How long a defect is, in pixels; small ones come more often."""
    thin, (smallest, largest) = kind in THIN, (PLAIN_SMALLEST, PLAIN_LARGEST) if plain else (SMALLEST, LARGEST)
    share = smallest * float((largest / smallest) ** (rng.random() ** (0.7 if thin else 1.3)))
    return max(share * LONGEST.get(kind, 1.0), 0.05 if thin else smallest) * length_px


def draw_place(kind: str, scene: Scene, free: Bools, extent: float, rng: Rng) -> tuple[float, float] | None:
    """A point on the part, (x, y) in pixels: inside, or for a missing piece on the edge; None if there is none."""
    part = (scene.cover > 0.5).astype(np.uint8)
    depth = f32(cv2.distanceTransform(part, cv2.DIST_L2, 3))
    if kind != "missing":
        wanted = min(0.3 * extent, 0.6 * float(depth.max()))
        allowed = free & (depth >= max(wanted, 1))
    elif scene.labels.any() and rng.random() < 0.6:
        allowed = free & (scene.labels > 0) & (part > 0)
    else:
        allowed = free & (depth > 0) & (depth < 2 if not part.all() else depth > 0)
    rows, columns = np.nonzero(allowed)
    if len(rows) == 0:
        return None
    index = int(rng.integers(len(rows)))
    return float(columns[index]), float(rows[index])


def damaged(
    kind: str, scene: Scene, at: tuple[float, float], *, extent: float, force: float, rng: Rng
) -> tuple[Scene, F32]:
    """The scene with a defect, and where it is, 0 to 1; `force` about 1 is plain, 0.3 faint."""
    match kind:
        case "scratch":
            return _scratch(scene, at, extent, force, rng)
        case "crack":
            return _crack(scene, at, extent, force, rng)
        case "dent":
            return _dent(scene, at, extent, force, rng)
        case "missing":
            return _missing(scene, at, extent, rng)
        case _:
            return _coloured(scene, at, extent, force, rng, soaked=kind == "stain")


def _scratch(scene: Scene, at: tuple[float, float], extent: float, force: float, rng: Rng) -> tuple[Scene, F32]:
    size = scene.cover.shape[0]
    unit, turn, bend = size / 256, float(rng.uniform(0, 2 * math.pi)), float(rng.uniform(0, 0.12))
    several = int(rng.integers(2, 6)) if rng.random() < 0.25 else 1
    paths = []
    for _ in range(several):
        off = rng.normal(0, 0.08 * extent, 2) if several > 1 else np.zeros(2)
        path = walk((at[0] + off[0], at[1] + off[1]), turn + float(rng.normal(0, 0.05)), extent, bend, rng)
        paths.append((path, float(rng.uniform(0.7, 2.2)) * unit))
    where = f32(blur(draw(size, paths), 0.45 * unit) * scene.cover)
    burr = 0.5 * blur(where, 1.2 * unit)
    lighter = float(rng.choice((-0.35, -0.2, 0.3, 0.6))) * force
    height = scene.height + np.float32(force * rng.uniform(0.8, 2) * unit) * (burr - where)
    albedo = np.clip(scene.albedo * (1 + lighter * where[..., None]), 0, 1)
    return replace(scene, height=f32(height), albedo=f32(albedo)), where


def _crack(scene: Scene, at: tuple[float, float], extent: float, force: float, rng: Rng) -> tuple[Scene, F32]:
    size = scene.cover.shape[0]
    unit, turn = size / 256, float(rng.uniform(0, 2 * math.pi))
    main = walk(at, turn, extent, 0.55, rng)
    paths = [(main, float(rng.uniform(0.8, 2.4)) * unit)]
    for _ in range(int(rng.integers(0, 4))):
        start, lean = main[int(rng.integers(2, len(main) - 2))], float(rng.choice((-1, 1)) * rng.uniform(0.5, 1.2))
        twig = walk((0, 0), turn + lean, extent * float(rng.uniform(0.2, 0.5)), 0.5, rng)
        paths.append((f32(twig - twig[0] + start), 1.0))
    where = f32(blur(draw(size, paths), 0.4 * unit) * scene.cover)
    height = scene.height - np.float32(force * rng.uniform(1, 2.5) * unit) * where
    albedo = scene.albedo * (1 - np.float32(min(0.9, 0.75 * force)) * where[..., None])
    return replace(scene, height=f32(height), albedo=f32(albedo)), where


def _dent(scene: Scene, at: tuple[float, float], extent: float, force: float, rng: Rng) -> tuple[Scene, F32]:
    away = oval(scene.cover.shape[0], at, extent, rng)
    bowl = np.maximum(1 - away * away, 0) ** np.float32(rng.choice((1.0, 1.5, 2.0)))
    deep = float(rng.choice((1, 1, 1, -0.7))) * float(rng.uniform(0.12, 0.35)) * force * extent
    where = f32(bowl * scene.cover)
    albedo = scene.albedo * (1 - np.float32(0.12 * force) * where[..., None])
    height = scene.height - np.float32(deep) * bowl
    return replace(scene, height=f32(height), albedo=f32(albedo)), f32((away < 1) * scene.cover)


def _coloured(
    scene: Scene, at: tuple[float, float], extent: float, force: float, rng: Rng, *, soaked: bool
) -> tuple[Scene, F32]:
    """A spot covers the surface with its own colour; a stain soaks in, and the surface shows through."""
    size = scene.cover.shape[0]
    away, ragged = oval(size, at, extent, rng), float(rng.uniform(0.1, 0.5 if soaked else 0.25))
    field = f32(away + ragged * veins(rng, size, max(extent / 4, 1)))
    soft = float(rng.uniform(0.1, 0.6)) if soaked else 0.15
    where = f32(smoothstep(1.0, 1.0 - soft, field) * (away < 1.6) * scene.cover)
    share = (where * np.float32(min(1.0, (0.5 if soaked else 0.9) * force)))[..., None]
    colour = np.array(draw_colour(rng), np.float32)
    if rng.random() < 0.6:  # dirt, oil, rust, burns are darker than what they lie on
        colour = colour * np.float32(0.35)
    target = scene.albedo * (colour * np.float32(1.6)) if soaked else colour
    gloss = scene.gloss * (1 + where * np.float32(rng.uniform(-0.9, 0.8 if soaked else 0.0)))
    return replace(scene, albedo=f32(scene.albedo * (1 - share) + target * share), gloss=f32(gloss)), where


def _missing(scene: Scene, at: tuple[float, float], extent: float, rng: Rng) -> tuple[Scene, F32]:
    size = scene.cover.shape[0]
    label = int(scene.labels[int(at[1]), int(at[0])])
    feature = scene.labels == label
    if label and feature.sum() < (0.9 * LARGEST * size) ** 2:
        gone = blur(f32(feature), 0.5 * size / 256)
        height = scene.height - scene.relief * gone
        albedo = scene.albedo * (1 - gone[..., None]) + scene.bare * gone[..., None]
        return replace(scene, height=f32(height), albedo=f32(albedo)), f32(gone * scene.cover)
    away = oval(size, at, extent, rng) + 0.15 * veins(rng, size, max(extent / 5, 1))
    gone = smoothstep(1.0, 1.0 - 2.5 / extent, f32(away))
    broken = np.float32(0.15 * extent) * smoothstep(1.5, 0.9, f32(away))
    height, where = f32(scene.height - broken), f32(smoothstep(1.6, 1.4, f32(away)) * scene.cover)
    return replace(scene, cover=f32(scene.cover * (1 - gone)), height=height), where
