"""Lamps, room, lens and sensor for made-up parts: heights and colours in, a picture out.

Lambert's and Blinn's laws (Blinn, Models of Light Reflection for Computer Synthesized Pictures, 1977),
folded into tables over the normal as in trainer/synth/light.py, since lamps and lens are far away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from trainer.synth.arrays import F32, Image, blur, f32, lookup, resize
from trainer.synth.parts.lamps import Light
from trainer.synth.parts.materials import Material

SIZE = 97  # of a table: normals from -1 to 1 on both axes
KNEE, SHOULDER = 0.78, 0.2  # shares of white: from where highlights bend, and how far they reach
GREY = (0.114, 0.587, 0.299)  # of BGR


@dataclass(frozen=True, slots=True)
class Scene:
    """What lies under the lens, in the picture's frame: (n, n) or (n, n, 3), heights in pixels."""

    cover: F32  # 0 backdrop, 1 part
    height: F32  # with grain and relief
    albedo: F32  # BGR
    gloss: F32  # factor on highlights
    relief: F32  # what the features add to the height
    bare: F32  # the albedo without them
    labels: np.ndarray[tuple[int, ...], np.dtype[np.int16]]  # which feature, 0 is none


def light_tables(light: Light, material: Material) -> tuple[F32, F32, F32]:
    """Scattered light, highlights, and the mirrored room over the normal's parts to the right and down."""
    axis = np.linspace(-1, 1, SIZE, dtype=np.float32)
    nx, ny = (f32(grid) for grid in np.meshgrid(axis, axis))
    nz = np.sqrt(np.maximum(1 - nx * nx - ny * ny, 0))
    scattered, high = light.ambient * (0.5 + 0.5 * nz), np.zeros_like(nz)
    whole, powers = light.ambient, sum(lamp[3] for lamp in light.lamps)
    for right, down, up, power in light.lamps:
        share = (1 - light.ambient) * power / sum(lamp[3] * lamp[2] for lamp in light.lamps)
        scattered = scattered + share * np.maximum(nx * right + ny * down + nz * up, 0)
        half = math.sqrt(right * right + down * down + (up + 1) ** 2)
        facing = np.maximum((nx * right + ny * down + nz * (up + 1)) / np.float32(half), 0)
        high = high + power / powers * facing**material.hard
        whole += share * up
    # A facet that faces the camera mirrors as much as it would scatter, so that no line is over-exposed.
    room = sum((s * (np.cos(a * nx + b * ny + p) - math.cos(p)) for s, a, b, p in light.room), 0 * nz)
    mirrored = 0.6 + room
    return f32(scattered / whole), f32(high), f32(np.maximum(mirrored, 0.05))


def photograph(scene: Scene, ground: F32, light: Light, material: Material, level: float) -> F32:
    """Grey levels, 0 to 255, (n, n, 3) or of a grey camera (n, n, 1), before the sensor's noise."""
    size = scene.cover.shape[0]
    unit = size / 256
    part = _lit(scene, light, material, unit)
    cover = scene.cover[..., None]
    radiance = f32(part * cover + ground * _shadow(scene.cover, light)[..., None] * (1 - cover))
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = axis[None, :], axis[:, None]
    fall = level * (1 + light.fall[0] * x + light.fall[1] * y - light.fall[2] * (x * x + y * y) / 2)
    radiance = radiance * f32(fall)[..., None]
    if light.grey:  # spelt out: what a product of matrices rounds differs by machine
        radiance = f32(GREY[0] * radiance[..., 0] + GREY[1] * radiance[..., 1] + GREY[2] * radiance[..., 2])
    else:
        radiance = f32(radiance * np.array(light.tint, np.float32))
    soft = blur(radiance, light.focus * unit).reshape(size, size, -1)
    over = np.maximum(soft - np.float32(KNEE), 0)
    bent = np.minimum(soft, np.float32(KNEE)) + np.float32(SHOULDER) * (1 - np.exp(-over / np.float32(SHOULDER)))
    return f32(bent * 255)


def _lit(scene: Scene, light: Light, material: Material, unit: float) -> F32:
    # Sobel's sums are 8 times the slope.
    right, down = (f32(cv2.Sobel(scene.height, cv2.CV_32F, *way, scale=1 / 8)) for way in ((1, 0), (0, 1)))
    nz = 1 / np.sqrt(1 + right * right + down * down)
    half = np.float32((SIZE - 1) / 2)
    x, y = f32((1 - right * nz) * half), f32((1 - down * nz) * half)
    scattered, high, mirrored = (lookup(table, x, y) for table in light_tables(light, material))
    sunk = np.clip((blur(scene.height, 5 * unit) - scene.height) / np.float32(6 * unit), -0.3, 1)
    open_sky = 1 - np.float32(light.sky) * sunk
    metal = np.float32(material.metal)
    body = (scattered * (1 - 0.8 * metal) + 1.5 * metal * mirrored) * open_sky
    glint = np.float32(material.shine) * high * scene.gloss
    coloured = 1 - metal * (1 - scene.albedo)
    return f32(scene.albedo * body[..., None] + coloured * glint[..., None])


def _shadow(cover: F32, light: Light) -> F32:
    """Share of the light that reaches the backdrop beside and under the part."""
    size = cover.shape[0]
    small = cast(F32, cv2.resize(cover, (128, 128), interpolation=cv2.INTER_AREA))
    dark, high = light.shadow
    shade = np.zeros_like(small)
    for right, down, up, _ in light.lamps:
        away = 128 * high / max(up, 0.3)
        move = f32([[1, 0, -right * away], [0, 1, -down * away]])
        cast_here = cast(F32, cv2.warpAffine(small, move, (128, 128), borderMode=cv2.BORDER_REPLICATE))
        shade += blur(cast_here, 0.6 + 0.5 * away) * np.float32(dark / len(light.lamps))
    return 1 - resize(f32(shade), size, size)


def expose(levels: F32, light: Light, rng: np.random.Generator) -> Image:
    """Adds the sensor's noise, more of it where it is bright, and rounds to 8 bits in three channels."""
    grain = rng.standard_normal(levels.shape, dtype=np.float32)
    noisy = levels + grain * np.float32(light.noise) * np.sqrt(0.3 + levels / np.float32(160))
    whole = np.clip(noisy + 0.5, 0, 255).astype(np.uint8)
    return cast(Image, whole if whole.shape[2] == 3 else cv2.cvtColor(whole, cv2.COLOR_GRAY2BGR))
