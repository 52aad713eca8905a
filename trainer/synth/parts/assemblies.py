"""Parts that carry many smaller ones: connectors, circuit boards, blister packs, marked plates, cable ends.

As in trainer/synth/parts/families.py, `rng` is that of the line. What stands on the body are features: one can be
missing.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from trainer.synth.arrays import f32
from trainer.synth.parts.families import Rng, chamfer, sign, spread
from trainer.synth.parts.materials import draw_colour, draw_metal
from trainer.synth.parts.shapes import Distance, Form, bar, box, circle, ngon


def connector(form: Form, rng: Rng) -> None:
    """A housing with rows of pins, or of sockets."""
    rows, columns = int(rng.integers(1, 4)), int(rng.integers(4, 13))
    pitch = 1.7 / columns
    high = rows * pitch / 2 + float(rng.uniform(0.06, 0.16))
    wide = 0.95 * math.cos(math.asin(min(high, 0.9)))
    form.join(box(form.x, form.y, wide, high, 0.05))
    form.join(box(form.x, f32(form.y - high), wide * float(rng.uniform(0.1, 0.4)), 0.06, 0.02))
    wall = partial(box, wide=0.92 * wide, high=high - 0.04, corner=0.03)
    form.sink(0, 0, 1, wall, depth=float(rng.uniform(0.02, 0.1)), soft=0.04)
    pitch = 1.75 * wide / columns
    size, colour = 0.3 * pitch, draw_metal(rng)
    pin: Distance = partial(box, wide=size, high=size) if rng.random() < 0.5 else partial(circle, radius=size)
    for row in range(rows):
        for column in range(columns):
            at = ((column - (columns - 1) / 2) * pitch, (row - (rows - 1) / 2) * 1.6 * high / rows)
            form.feature(at, 2 * size, pin, 0.1, colour, soft=size)
    chamfer(form, rng)


def board(form: Form, rng: Rng) -> None:
    """A circuit board: tracks, pads, chips with legs, small two-poled components."""
    lean = float(rng.uniform(0.45, 0.785))
    wide, high = 0.99 * math.cos(lean), 0.99 * math.sin(lean)
    form.join(box(form.x, form.y, wide, high, 0.04))
    copper, tin = draw_metal(rng), draw_metal(rng)
    for _ in range(int(rng.integers(4, 14))):
        along, across = float(rng.uniform(0.1, 0.5)), float(rng.uniform(-0.85, 0.85)) * high
        at = (float(rng.uniform(-1, 1)) * (wide - along), across)
        form.feature(at, along, partial(bar, half=0.9 * along, radius=0.012), 0.008, copper)
    for across, down in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        form.drill(across * (wide - 0.09), down * (high - 0.09), 0.1, partial(circle, radius=0.045))
    for _ in range(int(rng.integers(8, 26))):
        at = (float(rng.uniform(-0.8, 0.8)) * wide, float(rng.uniform(-0.8, 0.8)) * high)
        small, long = sorted(float(side) for side in rng.uniform(0.025, 0.06, 2))
        ends = (long * 1.5, small) if rng.random() < 0.5 else (small, long * 1.5)
        form.feature(at, 0.12, partial(box, wide=ends[0], high=ends[1]), 0.04, tin)
        inner = partial(box, wide=ends[0] * 0.7, high=ends[1] * 0.9)
        form.feature(at, 0.12, inner, 0.03, draw_colour(rng))
    for _ in range(int(rng.integers(1, 4))):
        _chip(form, (float(rng.uniform(-0.5, 0.5)) * wide, float(rng.uniform(-0.5, 0.5)) * high), rng)
    form.finish("chamfer", 0.03, 0.02)


def _chip(form: Form, at: tuple[float, float], rng: Rng) -> None:
    wide, high = (float(side) for side in rng.uniform(0.1, 0.24, 2))
    legs = max(2, int(wide / 0.03))
    for across in np.linspace(-0.9 * wide, 0.9 * wide, legs):
        leg = partial(box, wide=0.35 * wide / legs, high=high + 0.05)
        form.feature((at[0] + float(across), at[1]), high + 0.06, leg, 0.02, (0.65, 0.66, 0.66))
    level = float(rng.uniform(0.08, 0.22))
    reach = max(wide, high) + 0.02
    form.feature(at, reach, partial(box, wide=wide, high=high, corner=0.01), 0.07, (level, level, level), soft=0.02)
    if rng.random() < 0.5:
        half = 0.6 * min(wide, high)
        form.feature(at, half, sign(rng, half), 0.075, (0.6, 0.6, 0.6))


def blister(form: Form, rng: Rng) -> None:
    """A tray with rows of tablets, balls or caps."""
    rows, columns = int(rng.integers(2, 5)), int(rng.integers(2, 7))
    pitch = 1.9 / math.hypot(rows, columns)
    wide, high = columns * pitch / 2, rows * pitch / 2
    form.join(box(form.x, form.y, wide, high, float(rng.uniform(0.02, 0.15))))
    size, colour = pitch * float(rng.uniform(0.25, 0.4)), draw_colour(rng)
    long = partial(bar, half=0.4 * size, radius=0.7 * size)
    pill: Distance = (partial(circle, radius=size), long, partial(ngon, sides=6, radius=size))[int(rng.integers(3))]
    tall, well = size * float(rng.uniform(0.3, 0.9)), partial(circle, radius=1.2 * size)
    for row in range(rows):
        for column in range(columns):
            at = ((column - (columns - 1) / 2) * pitch, (row - (rows - 1) / 2) * pitch)
            form.sink(*at, pitch / 2, well, depth=0.04, soft=0.06)
            form.feature(at, 1.5 * size, pill, tall, colour, soft=0.9 * size, edge="round")
    chamfer(form, rng)


def marked(form: Form, rng: Rng) -> None:
    """A plate, a coin or a key cap with stamped or printed signs in rows."""
    lean, flat = float(rng.uniform(0.3, 0.785)), rng.random() < 0.7
    wide, high = (math.cos(lean), math.sin(lean)) if flat else (0.7, 0.7)
    form.join(box(form.x, form.y, wide, high, 0.15 * high) if flat else circle(form.x, form.y, 1.0))
    columns = int(rng.integers(1, 6))
    pitch = 1.7 * wide / columns
    rows = max(1, int(1.7 * high / pitch))
    colour = draw_colour(rng) if rng.random() < 0.6 else None
    tall = float(rng.choice((-0.025, 0.02, 0.03)))
    for row in range(rows):
        for column in range(columns):
            at = ((column - (columns - 1) / 2) * pitch, (row - (rows - 1) / 2) * pitch)
            form.feature(at, 0.42 * pitch, sign(rng, 0.4 * pitch), tall, colour, soft=0.03)
    chamfer(form, rng)


def cable(form: Form, rng: Rng) -> None:
    """A cable cut across: a sheath, wires in it, strands in every wire."""
    form.join(circle(form.x, form.y, 1.0))
    count = int(rng.integers(2, 6))
    size = 0.85 * math.sin(math.pi / count) / (1 + math.sin(math.pi / count))
    strand, copper, lay = 0.13 * size, draw_metal(rng), int(rng.integers(2, 4))
    for at in spread(count, 0.85 - size, float(rng.uniform(0, 1))):
        form.feature(at, 1.05 * size, partial(circle, radius=0.97 * size), 0.05, draw_colour(rng), soft=0.08)
        form.feature(at, 0.7 * size, partial(circle, radius=0.65 * size), 0.02, (0.15, 0.15, 0.15))
        for layer in range(lay):
            for off in spread(max(1, 6 * layer), 0.27 * size * layer):
                where = (at[0] + off[0], at[1] + off[1])
                form.feature(where, 2 * strand, partial(circle, radius=strand), 0.06, copper, soft=strand, edge="round")
    chamfer(form, rng)
