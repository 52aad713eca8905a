"""A photograph of one screw: the part, its shadow on the backdrop, the lens and the sensor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

import cv2
import numpy as np

from trainer.synth.arrays import F32, Image, Mask, blur, f32, lookup, noise, resize
from trainer.synth.light import facing_table, shade
from trainer.synth.recess import cut_recess
from trainer.synth.screw import (
    ANGLES,
    MARGIN,
    S_PAD,
    Dimensions,
    View,
    draw_dimensions,
    radius_table,
    see,
    to_table,
)
from trainer.synth.surface import Skin, make_skin, with_scratch

Defect = Literal["scratch_neck"]
WHITE = 255.0
FILLS = 0.9  # of the picture: a part that is turned about the middle is not cut off
KNEE, SHOULDER = 0.74, 0.18  # shares of white: from where highlights bend, and how far they reach
# Strength, and in 1/128 of the picture: blur, shift right, shift down. From contact to room.
SHADOWS = ((0.18, 1.6, 0.3, 0.8), (0.34, 4.5, 1.0, 2.2), (0.22, 12.0, 1.5, 3.5))


@dataclass(frozen=True, slots=True)
class Pose:
    """How the part lies in the photograph. Shifts in 1024 px units."""

    turn: float  # radians in the image plane, 0 is head left, positive turns clockwise
    shift: tuple[float, float]  # of the part's middle from the picture's, right and down
    light: float  # factor on the illumination


def draw_pose(rng: np.random.Generator) -> Pose:
    """Any angle; the whole part stays in the picture."""
    right, down = (float(move) for move in rng.uniform(-26, 26, 2))
    return Pose(float(rng.uniform(0, 2 * math.pi)), (right, down), float(rng.uniform(0.96, 1.04)))


def streams(seed: int) -> list[np.random.Generator]:
    """Generators for pose, dimensions, skin, light, backdrop, sensor and defect, in this order.

    Apart, so that a defect changes nothing else in the picture.
    """
    return [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(7)]


def render_screw(seed: int, *, size_px: int = 1024, defect: Defect | None = None) -> tuple[Image, Mask]:
    """Photographs one screw.

    Returns the image, uint8 (size_px, size_px, 3) BGR, and the mask of the defect, uint8
    (size_px, size_px), 0 or 255; a good part's mask is all 0. The same arguments give the same bytes.
    """
    pose_rng, size_rng, skin_rng, light_rng, backdrop_rng, sensor_rng, defect_rng = streams(seed)
    pose, dims = draw_pose(pose_rng), draw_dimensions(size_rng)
    radius = radius_table(dims)
    skin = make_skin(dims, radius, skin_rng)
    extent: F32 | None = None
    if defect is not None:
        skin, extent = with_scratch(skin, dims, defect_rng)
    view = see(dims, radius, max(0.75, 1.5 * size_px / 1024))
    lamps = facing_table(pose.turn, light_rng)
    part = _develop(dims, view, skin, lamps)
    coverage, metal = (_place(layer, dims, view.scale, pose, size_px) for layer in (f32(view.hit), part))
    ground = _backdrop(size_px, backdrop_rng) * _shadow(coverage, size_px)
    radiance = (ground * (1 - coverage) + metal) * np.float32(pose.light)
    mask = np.zeros((size_px, size_px), dtype=np.uint8)
    if extent is not None:
        seen = np.where(view.hit, lookup(extent, *to_table(view.s, view.angle)), np.float32(0))
        mask = _outline(_place(f32(seen), dims, view.scale, pose, size_px))
    return _expose(radiance, sensor_rng), mask


def _outline(extent: F32) -> Mask:
    """The disturbed area as a person would draw it: without the pinholes between single grooves."""
    reach = 2 * round(extent.shape[0] / 256) + 1
    oval = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    touched = (extent > 0.06).astype(np.uint8) * np.uint8(255)
    return cast(Mask, cv2.morphologyEx(touched, cv2.MORPH_CLOSE, oval))


def part_to_image(dims: Dimensions, scale: float, pose: Pose, size_px: int) -> F32:
    """The 2x3 matrix from pixels of the part frame to pixels of the photograph."""
    zoom = FILLS * size_px / 1024 / scale
    cos, sin = math.cos(pose.turn) * zoom, math.sin(pose.turn) * zoom
    # The leaning part's picture starts at the face's lower edge and ends at the tip.
    first, last = -dims.head_radius * math.sin(dims.tilt), dims.length * math.cos(dims.tilt)
    middle_u = ((first + last) / 2 + MARGIN + S_PAD) * scale - 0.5
    middle_v = (dims.head_radius + MARGIN) * scale - 0.5
    x, y = ((0.5 + move / 1024) * size_px - 0.5 for move in pose.shift)
    return f32(
        [
            [cos, -sin, x - cos * middle_u + sin * middle_v],
            [sin, cos, y - sin * middle_u - cos * middle_v],
        ]
    )


def upright(pose: Pose, size_px: int) -> F32:
    """The 2x3 matrix that lays a photographed part into the middle, head left."""
    shift = np.array(pose.shift) * size_px / 1024
    x, y = (size_px - 1) / 2 + shift
    matrix = f32(cv2.getRotationMatrix2D((float(x), float(y)), math.degrees(pose.turn), 1))
    matrix[:, 2] -= f32(shift)
    return matrix


def _develop(dims: Dimensions, view: View, skin: Skin, lamps: F32) -> F32:
    """Brightness of every pixel of the part frame, 0 beside the part."""
    column, row = to_table(view.s, view.angle)
    # The face has no skin of its own: it borrows the back of the neck, which no picture shows.
    column[view.face] = S_PAD + (dims.neck_start + dims.neck_end) / 2 + 0.8 * view.h[view.face]
    row[view.face] = np.mod(view.y[view.face], ANGLES - 1)
    slope_s, slope_a, albedo = (lookup(t, column, row) for t in (skin.slope_s, skin.slope_a, skin.albedo))
    radius = np.maximum(np.hypot(view.y, view.h), np.float32(1e-3))
    out_y, out_h = view.y / radius, view.h / radius
    normal = np.stack([-slope_s, out_y - slope_a * out_h, out_h + slope_a * out_y])
    grain_y, grain_h = slope_a[view.face], slope_s[view.face]
    normal[:, view.face] = np.stack([np.full_like(grain_y, -1), grain_y, 0.06 + grain_h])
    shut = cut_recess(dims, view, normal, albedo)
    normal /= np.sqrt((normal * normal).sum(axis=0))
    sin, cos = np.float32(math.sin(dims.tilt)), np.float32(math.cos(dims.tilt))
    light = shade(lamps, f32(normal[0] * cos + normal[2] * sin), normal[1])
    return f32(np.where(view.hit, light * albedo * shut, np.float32(0)))


def _place(layer: F32, dims: Dimensions, scale: float, pose: Pose, size_px: int) -> F32:
    """Moves a layer of the part frame into the photograph, softened like the lens does."""
    soft = blur(layer, 0.62 * scale * max(1.0, 1024 / size_px))
    matrix = part_to_image(dims, scale, pose, size_px)
    return cast(F32, cv2.warpAffine(soft, matrix, (size_px, size_px), flags=cv2.INTER_LINEAR))


def _backdrop(size_px: int, rng: np.random.Generator) -> F32:
    """Light card: a slow gradient, faint clouds, and some dust and scuffs."""
    unit = size_px / 1024
    axis = np.linspace(-1, 1, size_px, dtype=np.float32)
    x, y = axis[None, :], axis[:, None]
    lean = rng.normal(0, 0.008, 2)
    field = 0.742 + float(lean[0]) * x + float(lean[1]) * y - 0.018 * (x * x + y * y)
    clouds = noise(rng, 128, 128, 9, 9) * 0.004 + noise(rng, 128, 128, 2, 2) * 0.0025
    return f32(field + resize(f32(clouds), size_px, size_px) - _dust(size_px, unit, rng))


def _dust(size_px: int, unit: float, rng: np.random.Generator) -> F32:
    dust = np.zeros((size_px, size_px), dtype=np.float32)
    for _ in range(int(rng.integers(40, 80))):
        x, y = (int(c) for c in rng.integers(0, size_px, 2))
        reach = int(rng.exponential(7 * unit)) + 1
        angle = rng.uniform(0, math.pi)
        end = (int(x + reach * math.cos(angle)), int(y + reach * math.sin(angle)))
        cv2.line(dust, (x, y), end, float(rng.exponential(0.055)), 1)
    return blur(dust, 1.2 * unit)


def _shadow(coverage: F32, size_px: int) -> F32:
    """Share of the lamps' light that reaches the backdrop: lamps surround the part, most from above."""
    small = cast(F32, cv2.resize(coverage, (128, 128), interpolation=cv2.INTER_AREA))
    dark = np.zeros_like(small)
    for strength, sigma, right, down in SHADOWS:
        move = f32([[1, 0, right], [0, 1, down]])
        dark += np.float32(strength) * blur(cast(F32, cv2.warpAffine(small, move, (128, 128))), sigma)
    return 1 - resize(dark, size_px, size_px)


def _expose(radiance: F32, rng: np.random.Generator) -> Image:
    """Sensor noise, slightly smeared as a colour sensor's grey is, and 8 bits in three equal channels.

    Highlights bend over before white instead of clipping, as a camera's curve makes them.
    """
    white = rng.standard_normal(radiance.shape, dtype=np.float32)
    over = np.maximum(radiance - np.float32(KNEE), 0)
    bent = np.minimum(radiance, np.float32(KNEE)) + np.float32(SHOULDER) * (1 - np.exp(-over / np.float32(SHOULDER)))
    grey = f32(bent) * np.float32(WHITE) + blur(white, 0.5) * np.float32(2.6)
    return cast(Image, cv2.cvtColor(np.clip(grey + 0.5, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR))
