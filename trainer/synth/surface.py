"""The metal's skin over (angle, s): grain, drawn and turned lines, pits, nicks, and how dark roots are.

Slopes are added to those of the solid, so that every mark is shaded by the lamps like the part itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from trainer.synth.arrays import F32, blur, f32, noise, smoothstep
from trainer.synth.screw import ANGLES, S_PAD, Dimensions


@dataclass(frozen=True, slots=True)
class Skin:
    """Tables over (angle, s) like the radius table."""

    slope_s: F32  # d radius / d s
    slope_a: F32  # d radius / d arc
    albedo: F32  # 1 is the metal's plain reflectance


def make_skin(dims: Dimensions, radius: F32, rng: np.random.Generator) -> Skin:
    """A good part's skin."""
    height = _grain(dims, radius.shape[1], rng)
    arc = 2 * math.pi * dims.neck_radius / ANGLES
    slope_s = _along_s(radius) + _along_s(height)
    slope_a = _along_angle(radius) / (np.maximum(radius, 6) * np.float32(2 * math.pi / ANGLES))
    slope_a = slope_a + _along_angle(height) / np.float32(arc)
    return Skin(f32(slope_s), f32(slope_a), _albedo(dims, radius, rng))


def _along_s(table: F32) -> F32:
    return f32(np.gradient(table, axis=1))


def _along_angle(table: F32) -> F32:
    return f32((np.roll(table, -1, axis=0) - np.roll(table, 1, axis=0)) / 2)


def _grain(dims: Dimensions, columns: int, rng: np.random.Generator) -> F32:
    """Fine relief in pixels of height."""
    s = f32(np.arange(columns) - S_PAD)
    head = (1 - smoothstep(dims.collar_s, dims.neck_start, s))[None, :]
    rim = (1 - smoothstep(dims.rim, dims.rim + 12, s))[None, :]
    thread = smoothstep(dims.neck_end - 14, dims.neck_end + 20, s)[None, :]
    patchy = 1 + 0.45 * noise(rng, ANGLES, columns, 30, 34)
    fine = noise(rng, ANGLES, columns, 0.95, 1.4) * np.clip(patchy, 0.25, 2.2)
    drawn = noise(rng, ANGLES, columns, 26, 1.2)
    turned = noise(rng, ANGLES, columns, 1.1, 40)
    dents = noise(rng, ANGLES, columns, 5, 7)
    relief = 0.055 * fine * (1 + 1.6 * rim + 0.5 * thread) + 0.05 * drawn * (1 - head)
    relief = relief + 0.022 * turned * (head - 0.6 * rim) + 0.12 * dents * (0.25 + 1.3 * thread + 0.6 * rim)
    return f32(relief - _pits(columns, rng) - _nicks(dims, columns, rng))


def _pits(columns: int, rng: np.random.Generator) -> F32:
    """A few hundred specks, most too shallow to notice."""
    dots = np.zeros((ANGLES, columns), dtype=np.float32)
    count = int(rng.integers(500, 700))
    dots[rng.integers(0, ANGLES, count), rng.integers(0, columns, count)] = rng.exponential(3.0, count)
    return blur(dots, 1.2, 1.7)


def _nicks(dims: Dimensions, columns: int, rng: np.random.Generator) -> F32:
    """Short rolled-in lines where the thread begins: every part has them, so they are no defect."""
    marks = np.zeros((ANGLES, columns), dtype=np.float32)
    for _ in range(int(rng.integers(16, 26))):
        at = int(dims.neck_end + S_PAD + rng.normal(-6, 8))
        row, long = int(rng.integers(0, ANGLES)), int(rng.integers(15, 70))
        rows = np.arange(row, row + long) % ANGLES
        drift = (np.arange(long) * rng.uniform(-0.16, 0.02)).astype(int)
        marks[rows, np.clip(at + drift, 0, columns - 1)] += rng.uniform(0.4, 1.6)
    return blur(marks, 0.9, 2.5)


def _albedo(dims: Dimensions, radius: F32, rng: np.random.Generator) -> F32:
    columns = radius.shape[1]
    mottle = 0.045 * noise(rng, ANGLES, columns, 14, 18) + 0.035 * noise(rng, ANGLES, columns, 3, 4)
    grain = 0.055 * noise(rng, ANGLES, columns, 0.9, 1.3)
    drawn = 0.03 * noise(rng, ANGLES, columns, 40, 1.5)
    # A point lower than its neighbourhood sees less of the lamps: thread roots, the collar.
    sunk = np.maximum(blur(radius, 13, 6) - radius, 0) / np.float32(14)
    open_sky = 1 - 0.42 * np.clip(sunk, 0, 1)
    specks = np.minimum(_pits(columns, rng) / 1.5, 0.45)
    stains = 1 - 0.16 * smoothstep(1.9, 3.0, noise(rng, ANGLES, columns, 4, 6))
    return f32((1 + mottle + grain + drawn) * open_sky * stains * (1 - specks))


def with_scratch(skin: Skin, dims: Dimensions, rng: np.random.Generator) -> tuple[Skin, F32]:
    """Adds an abraded patch to the neck, facing the camera; also returns its extent, 0..1."""
    rows, columns = skin.albedo.shape
    arc = dims.neck_radius * 2 * math.pi / ANGLES
    long, wide = rng.uniform(34, 60), rng.uniform(18, 30)  # half axes, along s and across
    centre_s = rng.uniform(dims.neck_start + long + 14, dims.neck_end - long - 18)
    centre_a = ANGLES / 2 + rng.uniform(-0.5, 0.5) * ANGLES / (2 * math.pi)
    ds = f32(np.arange(columns) - S_PAD - centre_s)[None, :]
    da = f32((np.arange(rows) - centre_a) * arc)[:, None]
    extent = _patch(ds, da, long, wide, rng)
    lean = rng.uniform(-0.45, 0.45)
    across = f32(ds * math.cos(lean) + da * math.sin(lean))
    groove_s, groove_a = _grooves(across, ds, da, lean, rng)
    flat = np.tan(np.clip(da / np.float32(dims.neck_radius), -0.9, 0.9)) * np.float32(rng.uniform(0.55, 0.9))
    tip_s, tip_a = rng.uniform(-0.06, 0.06), rng.uniform(-0.06, 0.06)
    bright = 1.5 + 0.25 * _stripes(across, 1.0, rng)  # bare metal scatters more than the old skin
    worn = 1 - 0.7 * extent  # the tool took most of the old grain off
    marked = replace(
        skin,
        slope_s=f32(skin.slope_s * worn + extent * (groove_s + tip_s)),
        slope_a=f32(skin.slope_a * worn + extent * (groove_a + flat + tip_a)),
        albedo=f32(skin.albedo * (1 + extent * (bright - 1))),
    )
    return marked, extent


def _patch(ds: F32, da: F32, long: float, wide: float, rng: np.random.Generator) -> F32:
    """A ground-off oval with a ragged edge and a tail of chatter marks."""
    rows, columns = da.shape[0], ds.shape[1]
    ragged = 0.07 * noise(rng, rows, columns, 2.0, 5) + 0.09 * noise(rng, rows, columns, 9, 14)
    body = long * rng.uniform(0.5, 0.75)
    side = rng.choice((-1.0, 1.0))
    oval = np.sqrt(((ds - np.float32(side * (long - body))) / body) ** 2 + (da / wide) ** 2)
    slant = da - ds * np.float32(rng.uniform(-0.25, 0.25))
    tail = np.sqrt((ds / long) ** 2 + (slant / (0.42 * wide)) ** 2)
    distance = np.minimum(oval, tail + np.float32(0.04)) + ragged
    return f32(1 - smoothstep(0.86, 1.04, f32(distance)))


def _grooves(across: F32, ds: F32, da: F32, lean: float, rng: np.random.Generator) -> tuple[F32, F32]:
    """Slopes of fine parallel tool marks that run across the axis, `lean` radians off square."""
    swing = across + np.float32(0.02 * rng.uniform(-1, 1)) * da * da / 10
    slope = 0.55 * _stripes(f32(swing), 1.1, rng) + 0.10 * _stripes(f32(swing), 5.0, rng)
    broken = 0.65 + 0.4 * np.clip(noise(rng, da.shape[0], ds.shape[1], 1.5, 12), -1.5, 1.5)
    slope = slope * broken
    return f32(slope * math.cos(lean)), f32(slope * math.sin(lean))


def _stripes(position: F32, width: float, rng: np.random.Generator) -> F32:
    """Random values along `position` (pixels), smooth over `width`."""
    line = noise(rng, 1, 512, width, 0.0)[0]
    at = np.mod(position + np.float32(256), np.float32(511))
    low = at.astype(np.intp)
    part = at - low
    return f32(line[low] * (1 - part) + line[low + 1] * part)
