"""A line of made-up parts: what they share, and how one of them comes to lie under the lens."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import cv2
import numpy as np

from trainer.synth.arrays import F32, f32, smoothstep
from trainer.synth.parts import assemblies, bodies, families
from trainer.synth.parts.backdrops import Backdrop, draw_backdrop
from trainer.synth.parts.lamps import Light, draw_light
from trainer.synth.parts.lighting import Scene
from trainer.synth.parts.materials import Material, draw_grain, draw_material
from trainer.synth.parts.shapes import Form
from trainer.synth.parts.sheets import draw_sheet

Family = Callable[[Form, np.random.Generator], None]
Seed = np.random.SeedSequence
FAMILIES: tuple[Family, ...] = (
    families.plate, families.disc, families.ring, families.gear, bodies.bracket, families.nut,
    bodies.bolt, bodies.casting, bodies.compound, bodies.capsule, bodies.spring,
    assemblies.connector, assemblies.board, assemblies.blister, assemblies.marked, assemblies.cable,
)  # fmt: skip
SHEETS = 0.3  # share of the designs that fill the picture
MARGIN = 1.15  # textures are drawn so much smaller, that a shifted one still fills the picture
SHIFT, ZOOM, LEVEL = 0.05, 0.02, 0.04  # of one part, at most: shares of the picture, the size, the light


@dataclass(frozen=True, slots=True)
class Line:
    """What all parts of one design share."""

    family: Family | None  # None: a texture without an outline
    shape: Seed
    fills: float  # of the picture, by the part's length
    material: Material
    light: Light
    backdrop: Backdrop


def draw_line(design: int) -> Line:
    """The line of a design."""
    pick, shape, *others = Seed(design).spawn(5)
    rng = np.random.default_rng(pick)
    family = None if rng.random() < SHEETS else FAMILIES[int(rng.integers(len(FAMILIES)))]
    fills = float(rng.uniform(0.64, 0.88)) if family else 1.0
    stuff, lamps, under = (np.random.default_rng(seed) for seed in others)
    material = draw_material(stuff)
    if family is None:  # nothing else gives it contrast
        slope, mottle = max(material.slope, float(rng.uniform(0.1, 0.3))), material.mottle + float(rng.uniform(0, 0.06))
        material = replace(material, slope=slope, mottle=mottle)
    return Line(family, shape, fills, material, draw_light(lamps), draw_backdrop(under, material.colour))


def draw_pose(line: Line, size_px: int, turn_deg: float | None, rng: np.random.Generator) -> tuple[F32, float]:
    """The 2x3 matrix from the part's frame to the picture, and the level of the light.

    Whatever is drawn is drawn in any case: two shots at the same given turn differ by the rest only.
    """
    turn = float(rng.uniform(0, 360) if line.family else rng.uniform(-2, 2))
    zoom, level = (
        (1.0 if line.family else MARGIN) + float(rng.uniform(-ZOOM, ZOOM)),
        1 + float(rng.uniform(-LEVEL, LEVEL)),
    )
    shift = rng.uniform(-SHIFT, SHIFT, 2) * size_px
    radians, middle = math.radians(turn if turn_deg is None else turn_deg), (size_px - 1) / 2
    cos, sin = zoom * math.cos(radians), zoom * math.sin(radians)
    right, down = middle + float(shift[0]), middle + float(shift[1])
    rows = ((cos, -sin, right - (cos - sin) * middle), (sin, cos, down - (sin + cos) * middle))
    return f32(rows), level


def lay_part(line: Line, size_px: int, matrix: F32, slack: Seed, grain: Seed) -> Scene:
    """One part with its own tolerances and grain, in the picture's frame."""
    form = Form(size_px, line.fills, np.random.default_rng(slack))
    rng, own = np.random.default_rng(line.shape), np.random.default_rng(grain)
    if line.family is None:
        draw_sheet(form, rng, own)
    else:
        line.family(form, rng)
    felt, mix, factor = draw_grain(line.material, form.x, form.y, own)
    cover = smoothstep(0.6 / form.px, -0.6 / form.px, form.outline)
    height = form.body * np.float32(form.px) + felt * (1 - 0.7 * form.paint[..., 3])
    bare = _blend(line.material, mix) * factor[..., None]
    form.paint[..., :3] *= factor[..., None]
    edge = cv2.BORDER_REFLECT_101 if line.family is None else cv2.BORDER_REPLICATE

    def moved(layer: F32, how: int = cv2.INTER_LINEAR) -> F32:
        return cast(F32, cv2.warpAffine(layer, matrix, (size_px, size_px), flags=how, borderMode=edge))

    solid = moved(f32(np.stack([cover, height, form.relief * np.float32(form.px)], axis=2)))
    bare, paint = moved(f32(np.minimum(bare, 1))), moved(form.paint)
    albedo = f32(np.minimum(bare * (1 - paint[..., 3:]) + paint[..., :3], 1))
    labels = moved(f32(form.labels), cv2.INTER_NEAREST).astype(np.int16)
    on, under, relief = (np.ascontiguousarray(solid[..., index]) for index in range(3))
    return Scene(on, f32(under + relief), albedo, np.ones_like(on), relief, bare, labels)


def _blend(material: Material, mix: F32) -> F32:
    first, second = np.array(material.colour, np.float32), np.array(material.second, np.float32)
    return f32(first + (second - first) * mix[..., None])
