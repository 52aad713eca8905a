"""The lamps above the part, folded into one picture: how bright a metal facet is by where it faces.

A ring lamp around the lens, softer panels left, right and above, a dark room below, and the bright
backdrop that a steep facet mirrors. In the part frame, so the lamps turn against the part.
"""

from __future__ import annotations

import math

import numpy as np

from trainer.synth.arrays import F32, blur, f32, lookup, smoothstep

UNEVEN = 0.4  # how much the lamps differ by side: a ring lamp, as a line has, nearly forgets how a part is turned
SIZE = 257  # facets from -1 to 1 on both axes


def facing_table(turn: float, rng: np.random.Generator) -> F32:
    """Brightness (0..1 of white) over the facet normal's (across, along) parts; `turn` in radians."""
    axis = np.linspace(-1, 1, SIZE, dtype=np.float32)
    nu, nv = np.meshgrid(axis, axis)
    flat = nu * nu + nv * nv
    nz = np.sqrt(np.maximum(1 - flat, 0))
    # Mirror direction of the view ray, turned back into the photograph's frame.
    ru, rv, rz = 2 * nz * nu, 2 * nz * nv, 2 * nz * nz - 1
    cos, sin = np.float32(math.cos(turn)), np.float32(math.sin(turn))
    x, y = f32(cos * ru - sin * rv), f32(sin * ru + cos * rv)
    return blur(_room(x, y, f32(rz), rng) + f32(0.05 * nz), 5.5)


def _room(x: F32, y: F32, z: F32, rng: np.random.Generator) -> F32:
    """Radiance from direction (x right, y down, z towards the camera)."""
    off = f32(np.degrees(np.arccos(np.clip(z, -1, 1))))  # from the lens axis
    east = f32(UNEVEN * x / np.maximum(np.hypot(x, y), np.float32(1e-3)))
    south = f32(UNEVEN * y / np.maximum(np.hypot(x, y), np.float32(1e-3)))
    wobble = rng.uniform(-2, 2, 3)
    ring = np.exp(-(((off - np.float32(24 + wobble[0])) / 11) ** 2))
    ring = f32(0.34 * ring * (0.72 - 0.28 * south))
    panel = smoothstep(20, 48, off) * (1 - smoothstep(82, 112, off))
    sides = f32(0.12 + 0.30 * smoothstep(0.10, -0.75, south) + 0.10 * np.abs(east))
    dark = f32(0.10 * smoothstep(30, 50, off) * (1 - smoothstep(80, 100, off)) * smoothstep(0.3, 0.9, south))
    backdrop = f32(0.18 * smoothstep(84, 118, off))
    return f32(0.135 + ring + panel * sides - dark + backdrop)


def shade(table: F32, nu: F32, nv: F32) -> F32:
    """Brightness of facets by their unit normals' parts along (u) and across (v) the part frame."""
    half = np.float32((SIZE - 1) / 2)
    return lookup(table, (nu + 1) * half, (nv + 1) * half)
