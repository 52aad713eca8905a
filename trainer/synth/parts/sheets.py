"""Textures that fill the picture, as of sheet, cloth, hide, tiles, mesh. Drawn on a Form like parts.

`rng` is that of the line; `own` is that of the one piece, so no two pieces are laid alike.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from trainer.synth.arrays import F32, f32, smoothstep
from trainer.synth.parts.families import TAU, Rng, sign
from trainer.synth.parts.materials import draw_colour
from trainer.synth.parts.patterns import fractal, leaves, wire
from trainer.synth.parts.shapes import Form, box, circle, ngon
from trainer.synth.textures import spectrum

SHEETS = (
    "plain",
    "plain",
    "mesh",
    "tiles",
    "holes",
    "ribs",
    "knurl",
    "leaves",
    "fractal",
    "spectrum",
    "print",
    "studs",
)


def draw_sheet(form: Form, rng: Rng, own: Rng) -> None:
    """Any of the textures; "plain" is its material alone."""
    form.outline[:] = -1
    pitch, phase = float(rng.uniform(0.09, 0.35)), own.uniform(-1, 1, 2)
    x, y = f32(form.x + np.float32(phase[0] * pitch)), f32(form.y + np.float32(phase[1] * pitch))
    match str(rng.choice(SHEETS)):
        case "mesh":
            _mesh(form, x, y, pitch, rng)
        case "tiles":
            _tiles(form, pitch * 2, phase * pitch, rng, own)
        case "holes":
            form.outline = f32(-circle(*_cell(x, y, pitch, rng.random() < 0.5), pitch * float(rng.uniform(0.15, 0.38))))
            form.finish("cone", 0.03, 0.02)
        case "ribs":
            form.body += _ribs(x, pitch, rng)
        case "knurl":
            form.body += _ribs(f32(x + y), pitch / 2, rng) + _ribs(f32(x - y), pitch / 2, rng)
        case "leaves":
            _two_tone(form, leaves(own, x.shape[0], 4 * x.shape[0] / 256, x.shape[0] * pitch / 2), rng)
        case "fractal":
            _two_tone(form, f32(3 * fractal(rng, x.shape[0])), rng)
        case "spectrum":
            _two_tone(form, spectrum(own, x.shape[0], float(rng.uniform(0.6, 1.8))), rng)
        case "print":
            _rows(form, pitch * 2, phase * pitch, rng, tall=0.0)
        case "studs":
            _rows(form, pitch * 2, phase * pitch, rng, tall=float(rng.uniform(0.03, 0.08)))


def _cell(x: F32, y: F32, pitch: float, staggered: bool) -> tuple[F32, F32]:
    """Coordinates from the middle of the nearest cell of a grid."""
    row = np.floor(y / np.float32(pitch))
    across = x / np.float32(pitch) + (0.5 * (row % 2) if staggered else np.float32(0))
    return f32((across % 1 - 0.5) * pitch), f32((y / np.float32(pitch) - row - 0.5) * pitch)


def _mesh(form: Form, x: F32, y: F32, pitch: float, rng: Rng) -> None:
    """Wires over and under each other; the backdrop shows between them."""
    thick = pitch * float(rng.uniform(0.1, 0.3))
    if rng.random() < 0.5:
        x, y = f32(x + y), f32(x - y)
    across, down = (np.abs((at / np.float32(pitch)) % 1 - 0.5) * np.float32(pitch) for at in (x, y))
    over = np.sin(x * np.float32(math.pi / pitch)) * np.sin(y * np.float32(math.pi / pitch))
    form.outline = f32(np.minimum(across, down) - np.float32(thick))
    upright, flat = (np.sqrt(np.maximum(1 - (at / np.float32(thick)) ** 2, 0)) for at in (across, down))
    form.body += f32(thick * np.maximum(upright + 0.4 * over, flat - 0.4 * over))


def _tiles(form: Form, pitch: float, phase: np.ndarray, rng: Rng, own: Rng) -> None:
    """Tiles with joints between them, each of a slightly other shade."""
    squat, gap = float(rng.uniform(0.5, 1)), pitch * float(rng.uniform(0.03, 0.08))
    bond, colour = float(rng.choice((0.0, 0.0, 0.5))), np.array(draw_colour(rng))
    uneven, high, soft = float(rng.uniform(0, 0.15)), float(rng.uniform(0.02, 0.06)), float(rng.uniform(0.02, 0.08))
    half = (pitch / 2 - gap, pitch * squat / 2 - gap)
    tile = partial(box, wide=half[0], high=half[1], corner=0.2 * half[1])
    columns, rows = math.ceil(1 / pitch) + 1, math.ceil(1 / pitch / squat) + 1
    for row in range(-rows, rows + 1):
        for column in range(-columns, columns + 1):
            at = ((column + bond * (row % 2)) * pitch + float(phase[0]), row * pitch * squat + float(phase[1]))
            shade = np.clip(colour * (1 + own.normal(0, uneven)), 0, 0.95)
            form.feature(at, pitch / 2, tile, high, (float(shade[0]), float(shade[1]), float(shade[2])), soft=soft)


def _ribs(at: F32, pitch: float, rng: Rng) -> F32:
    """Ridges across `at`: round, like a wave, or with flat tops."""
    high = pitch * float(rng.uniform(0.05, 0.2))
    swing = np.sin(at * np.float32(TAU / pitch))
    pick = rng.random()
    if pick < 0.35:
        return f32(1.5 * high * wire(at, pitch))
    return f32(high * (swing if pick < 0.7 else smoothstep(-0.4, 0.4, f32(swing))))


def _two_tone(form: Form, field: F32, rng: Rng) -> None:
    """Paints between two colours by a field of deviation about 1, and lets it be felt in the relief."""
    first, second = np.array(draw_colour(rng), np.float32), np.array(draw_colour(rng), np.float32)
    share = np.clip(0.5 + float(rng.uniform(0.15, 0.4)) * field, 0, 1)[..., None]
    form.paint[..., :3] = first * (1 - share) + second * share
    form.paint[..., 3] = 1
    form.body += f32(field * np.float32(rng.uniform(0, 1.5) / form.px))


def _rows(form: Form, pitch: float, phase: np.ndarray, rng: Rng, tall: float) -> None:
    """The same sign or stud over and over."""
    half, staggered = 0.36 * pitch, rng.random() < 0.5
    colour = draw_colour(rng) if tall == 0 or rng.random() < 0.5 else None
    shapes = (sign(rng, half), partial(circle, radius=half), partial(ngon, sides=6, radius=half))
    shape = shapes[0 if tall == 0 else int(rng.integers(3))]
    soft, count = float(rng.uniform(0.03, 0.15)), math.ceil(1 / pitch) + 1
    for row in range(-count, count + 1):
        for column in range(-count, count + 1):
            at = ((column + 0.5 * staggered * (row % 2)) * pitch + float(phase[0]), row * pitch + float(phase[1]))
            form.feature(at, half, shape, tall, colour, soft=soft)
