"""Parts of several bodies or round in height: brackets, bolts, castings, capsules, springs, sums of simple bodies.

As in trainer/synth/parts/families.py, `rng` is that of the line.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from trainer.synth.arrays import f32, smoothstep
from trainer.synth.parts.families import TAU, Rng, chamfer, sign, spread
from trainer.synth.parts.materials import draw_colour
from trainer.synth.parts.shapes import Distance, Form, bar, box, circle, lobed, ngon, turned


def bracket(form: Form, rng: Rng) -> None:
    """An L, a U, a T or a Z of bars, with slots and holes."""
    thick, legs = float(rng.uniform(0.12, 0.24)), int(rng.integers(1, 4))
    form.join(box(form.x, f32(form.y - 0.55 + thick), 0.82, thick, 0.06))
    for across in list(rng.choice((-1.0, 0.0, 1.0), legs, replace=False)):
        middle = float(across) * (0.82 - thick)
        form.join(box(f32(form.x - middle), form.y, thick, 0.55, 0.06))
        slot = partial(bar, half=0.06, radius=0.45 * thick)
        form.drill(middle, -0.55 + 1.2 * thick, 0.3, slot)
    for across in np.linspace(-0.6, 0.6, int(rng.integers(1, 5))):
        form.drill(float(across), 0.55 - thick, thick, partial(circle, radius=0.4 * thick))
    form.sink(
        0, 0.55 - 2 * thick, 1, partial(box, wide=0.9, high=0.02), depth=float(rng.uniform(-0.03, 0.05)), soft=0.08
    )
    chamfer(form, rng)


def bolt(form: Form, rng: Rng) -> None:
    """A bolt from its side: a head, a shaft as a cylinder, a thread as a slanted wave."""
    shaft = float(rng.uniform(0.1, 0.24))
    end, high = float(rng.uniform(-0.75, -0.5)), min(0.5, shaft * float(rng.uniform(1.5, 2.3)))
    start, pitch = float(rng.uniform(-0.5, 0.2)), float(rng.uniform(0.06, 0.13))
    threaded = f32(form.x > start) * smoothstep(0.97, 0.85, form.x)
    wave = np.sin((form.x + form.y * np.float32(0.3 * pitch / shaft)) * np.float32(TAU / pitch))
    form.join(f32(box(form.x, form.y, 0.97, shaft, 0.3 * shaft) - 0.12 * pitch * (wave - 1) * threaded))
    form.join(box(f32(form.x - (end - 0.97) / 2), form.y, (0.97 + end) / 2, high, float(rng.uniform(0.005, 0.1))))
    inside = np.where(form.x < end, np.float32(high), np.float32(shaft))
    drum = np.sqrt(np.maximum(1 - (form.y / inside) ** 2, 0.02)) * inside
    facets = float(rng.uniform(0.3, 0.6)) if rng.random() < 0.5 else 0.0
    flat = np.minimum(np.abs(form.y), np.float32(facets * high)) * f32(form.x < end)
    form.body += f32(0.8 * drum + 0.2 * flat + 0.2 * pitch * wave * threaded)
    form.finish("chamfer", 0.03, 0.02)


def casting(form: Form, rng: Rng) -> None:
    """A cushion of any outline, as of a casting, a forging, a moulding, a biscuit."""
    waves = [(k, float(rng.normal(0, 0.22 / k)), float(rng.uniform(0, TAU))) for k in range(2, 7)]
    form.join(lobed(form.x, form.y, 0.95 / (1 + sum(abs(wave[1]) for wave in waves)), waves))
    form.outline *= np.float32(0.8)
    for at in spread(int(rng.integers(0, 4)), float(rng.uniform(0.2, 0.5)), float(rng.uniform(0, TAU))):
        radius = float(rng.uniform(0.06, 0.14))
        form.feature(at, 2 * radius, partial(circle, radius=radius), float(rng.uniform(0.04, 0.1)), soft=0.08)
    if rng.random() < 0.5:
        form.feature((0, 0), 0.3, sign(rng, 0.28), float(rng.uniform(-0.03, 0.03)))
    form.finish("round", float(rng.uniform(0.1, 0.5)), float(rng.uniform(0.1, 0.35)))


def compound(form: Form, rng: Rng) -> None:
    """Random unions and differences of simple bodies."""
    for index in range(int(rng.integers(2, 6))):
        off = rng.uniform(-0.2, 0.2, 2) * min(index, 1)
        x, y = f32(form.x - np.float32(off[0])), f32(form.y - np.float32(off[1]))
        x, y = turned(x, y, float(rng.integers(0, 8)) * math.pi / 4)
        size, pick = float(rng.uniform(0.3, 0.62)), int(rng.integers(3))
        form.join((circle(x, y, size), box(x, y, 0.6, 0.6 * size, 0.1), ngon(x, y, 3 + index, 0.6 * size))[pick])
    for _ in range(int(rng.integers(1, 5))):
        at, size = rng.uniform(-0.5, 0.5, 2), float(rng.uniform(0.05, 0.16))
        hole: Distance = (
            partial(circle, radius=size) if rng.random() < 0.6 else partial(box, wide=size, high=0.6 * size)
        )
        form.drill(float(at[0]), float(at[1]), 2 * size, hole)
    chamfer(form, rng)


def capsule(form: Form, rng: Rng) -> None:
    """A capsule, a tablet, a fuse, a pen: a round bar in two colours, with a print."""
    radius = float(rng.uniform(0.14, 0.45))
    form.join(bar(form.x, form.y, 1 - radius, radius))
    seam = float(rng.uniform(-0.5, 0.6))
    form.feature((1.0, 0.0), 1.0 - seam, partial(box, wide=1 - seam, high=1), 0.01, draw_colour(rng), soft=0.04)
    if rng.random() < 0.6:
        half = 0.8 * radius
        form.feature((float(rng.uniform(-0.4, 0.4)), 0), half, sign(rng, half), 0.0, draw_colour(rng))
    form.finish("round", radius, radius * float(rng.uniform(0.5, 1)))


def spring(form: Form, rng: Rng) -> None:
    """A coil from its side: slanted strands with gaps between them."""
    radius, turns = float(rng.uniform(0.18, 0.42)), int(rng.integers(6, 15))
    pitch = 1.9 / turns
    thick = pitch * float(rng.uniform(0.25, 0.42))
    drum = np.sqrt(np.maximum(1 - (form.y / np.float32(radius)) ** 2, 0.03)) * np.float32(0.6 * radius)
    ends = box(form.x, form.y, 0.92, radius, 0.2 * radius)
    for side, level in ((-1, -drum), (1, drum)):  # first the far half of every turn
        slant = (form.x + form.y * np.float32(0.25 * side * pitch / radius)) / np.float32(pitch) + np.float32(
            0.25 * side
        )
        at = np.abs(slant % 1 - 0.5) * np.float32(pitch)
        strand = np.maximum(f32(at - thick), ends)
        form.join(strand)
        swell = np.sqrt(np.maximum(1 - (at / np.float32(thick)) ** 2, 0.02)) * np.float32(thick)
        form.body = np.where(strand < 0, f32(level + swell), form.body)
