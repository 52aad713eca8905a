"""The six-lobed drive in the head's face. Seen at a grazing angle, it shows mostly its far wall."""

from __future__ import annotations

import math

import numpy as np

from trainer.synth.arrays import F32, Bools, f32
from trainer.synth.screw import Dimensions, View

RADIUS, LOBE = 63.0, 10.0


def cut_recess(dims: Dimensions, view: View, normal: F32, albedo: F32) -> F32:
    """Overwrites normals (3, H, W) and albedo where a ray falls into the recess.

    Returns the share of light that still gets there, 1 outside the recess.
    """
    shut = np.ones_like(albedo)
    rows, columns = np.nonzero(view.face)
    y, h = view.y[rows, columns], view.h[rows, columns]
    inside = _inside(y, h, dims.roll)
    rows, columns, y, h = rows[inside], columns[inside], y[inside], h[inside]
    wall = _far_wall(y, h, dims.roll)
    depth = (h - wall) * np.float32(math.tan(dims.tilt))
    ny, nh = _inward(y, wall, dims.roll)
    normal[:, rows, columns] = np.stack([np.full_like(ny, -0.25), ny, nh])
    shut[rows, columns] = np.clip(1.12 - depth / 15, 0.3, 1)
    return shut


def _inside(y: F32, h: F32, roll: float) -> Bools:
    return np.hypot(y, h) < _lobes(np.arctan2(y, h), roll)


def _lobes(angle: F32, roll: float) -> F32:
    return f32(RADIUS - LOBE + LOBE * np.cos(6 * (angle + np.float32(roll))))


def _far_wall(y: F32, h: F32, roll: float) -> F32:
    """Height at which a ray that entered at (y, h) and falls leaves the lobed outline."""
    wall = h.copy()
    going = np.ones(h.shape, dtype=np.bool_)
    for _ in range(80):
        lower = wall - np.float32(1.25)
        going &= _inside(y, lower, roll)
        wall = np.where(going, lower, wall)
    return wall


def _inward(y: F32, h: F32, roll: float) -> tuple[F32, F32]:
    """Normal of the lobed wall, towards the axis."""
    angle = np.arctan2(y, h)
    radius = np.maximum(np.hypot(y, h), np.float32(1))
    slope = -6 * LOBE * np.sin(6 * (angle + np.float32(roll))) / radius  # d outline / d arc
    ny = -(y / radius - slope * h / radius)
    nh = -(h / radius + slope * y / radius)
    size = np.hypot(ny, nh)
    return f32(ny / size), f32(nh / size)
