"""Machined and pressed parts: plates, discs, rings, gears, brackets, nuts, seen from above.

Every function draws on a Form; `rng` is that of the line, so all its parts get the same numbers.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from trainer.synth.arrays import F32, f32, lookup
from trainer.synth.parts.materials import draw_colour, draw_metal
from trainer.synth.parts.patterns import stamp
from trainer.synth.parts.shapes import Distance, Form, Profile, box, circle, ngon, toothed

Rng = np.random.Generator
TAU = 2 * math.pi


def spread(count: int, radius: float, phase: float = 0.0) -> list[tuple[float, float]]:
    """Points on a circle around the middle."""
    angles = [phase + TAU * index / count for index in range(count)]
    return [(radius * math.cos(angle), radius * math.sin(angle)) for angle in angles]


def sign(rng: Rng, half: float) -> Distance:
    """About the distance to a sign that is 2 * half wide and high."""
    size = 48
    table = stamp(rng, size)
    table[[0, -1]] = table[:, [0, -1]] = 0
    scale = np.float32(size / (2 * half))

    def distance(x: F32, y: F32) -> F32:
        inside = lookup(table, f32(x * scale + size / 2), f32(y * scale + size / 2))
        return f32((0.5 - inside) * (2 / scale))

    return distance


def chamfer(form: Form, rng: Rng) -> None:
    """Ends a flat part: its edge broken or rounded."""
    kind: Profile = "chamfer" if rng.random() < 0.5 else "cone"
    wide = float(rng.uniform(0.01, 0.09))
    form.finish(kind, wide, wide * float(rng.uniform(0.3, 1.1)))


def plate(form: Form, rng: Rng) -> None:
    """A rectangle with holes, a recess, bosses and ribs."""
    lean = float(rng.uniform(0.25, 0.785))
    wide, high = math.cos(lean), math.sin(lean)
    form.join(box(form.x, form.y, wide, high, float(rng.uniform(0, 0.5)) * high))
    radius, inset = float(rng.uniform(0.04, 0.12)), float(rng.uniform(0.16, 0.24))
    pick = rng.random()
    if pick < 0.6:
        for across in (inset - wide, wide - inset):
            for down in (inset - high, high - inset):
                form.drill(across, down, 2 * radius, partial(circle, radius=radius))
    elif pick < 0.8:
        form.cut(box(form.x, form.y, wide * float(rng.uniform(0.3, 0.7)), 0.3 * high, 0.1 * high))
    if rng.random() < 0.5:
        half = (wide * float(rng.uniform(0.3, 0.6)), high * float(rng.uniform(0.3, 0.6)))
        dent = partial(box, wide=half[0], high=half[1], corner=0.4 * min(half))
        form.sink(0, 0, wide, dent, depth=float(rng.uniform(-0.05, 0.06)), soft=float(rng.uniform(0.02, 0.12)))
    for _ in range(int(rng.integers(0, 4))):
        at = (float(rng.uniform(-0.6, 0.6)) * wide, float(rng.uniform(-0.6, 0.6)) * high)
        bump = partial(circle, radius=radius)
        form.feature(at, 2 * radius, bump, float(rng.uniform(0.03, 0.1)), draw_metal(rng), soft=0.05)
    if rng.random() < 0.5:
        form.feature((0, 0), 0.4 * high, sign(rng, 0.38 * high), 0.02, draw_colour(rng) if rng.random() < 0.6 else None)
    chamfer(form, rng)


def disc(form: Form, rng: Rng) -> None:
    """Something turned: rings of different height, a hole, more holes around it."""
    form.join(circle(form.x, form.y, 1.0))
    for _ in range(int(rng.integers(1, 5))):
        radius = float(rng.uniform(0.2, 0.95))
        ring = partial(circle, radius=radius)
        form.sink(0, 0, 1, ring, depth=float(rng.uniform(-0.05, 0.05)), soft=float(rng.uniform(0.01, 0.15)))
    if rng.random() < 0.5:
        form.cut(circle(form.x, form.y, float(rng.uniform(0.08, 0.35))))
    count, radius = int(rng.integers(3, 9)), float(rng.uniform(0.05, 0.11))
    shape: Distance = partial(circle, radius=radius) if rng.random() < 0.7 else partial(ngon, sides=6, radius=radius)
    colour = draw_metal(rng)
    for at in spread(count, float(rng.uniform(0.5, 0.8))):
        if count % 2:
            form.drill(*at, 2 * radius, shape)
        else:
            form.feature(at, 2 * radius, shape, 0.06, colour, soft=0.04)
    chamfer(form, rng)


def ring(form: Form, rng: Rng) -> None:
    """A washer, a seal, a snap ring, a bearing."""
    inner = float(rng.uniform(0.35, 0.82))
    form.join(circle(form.x, form.y, 1.0))
    form.cut(circle(form.x, form.y, inner))
    pick = rng.random()
    if pick < 0.3:
        form.cut(box(f32(form.x - 1), form.y, 1.0, float(rng.uniform(0.05, 0.25))))
    elif pick < 0.6 and inner < 0.7:
        ball = 0.28 * (1 - inner)
        form.sink(0, 0, 1, lambda x, y: f32(np.abs(circle(x, y, (1 + inner) / 2)) - 1.3 * ball), depth=0.08, soft=0.05)
        for at in spread(int(math.pi * (1 + inner) / 2 / ball / 1.5), (1 + inner) / 2):
            form.feature(at, 1.2 * ball, partial(circle, radius=ball), ball, (0.6, 0.6, 0.6), soft=ball, edge="round")
    if rng.random() < 0.5:
        form.finish("round", (1 - inner) / 2, (1 - inner) / 2 * float(rng.uniform(0.4, 1)))
    else:
        chamfer(form, rng)


def gear(form: Form, rng: Rng) -> None:
    """A toothed wheel with a bore, a key way, and a web with holes."""
    teeth, depth = int(rng.integers(8, 36)), float(rng.uniform(0.08, 0.24))
    form.join(toothed(form.x, form.y, teeth, 1.0, depth=depth, sharp=float(rng.uniform(1, 3))))
    bore = float(rng.uniform(0.12, 0.3))
    form.cut(circle(form.x, form.y, bore))
    if rng.random() < 0.6:
        form.cut(box(f32(form.x - bore), form.y, 0.3 * bore, 0.25 * bore))
    hub, rim = bore + 0.12, 0.92 - depth
    web = float(rng.uniform(-0.02, 0.08))
    form.sink(0, 0, 1, partial(circle, radius=rim), depth=web, soft=0.04)
    form.sink(0, 0, 1, partial(circle, radius=hub), depth=-web, soft=0.04)
    radius = 0.32 * (rim - hub)
    for at in spread(int(rng.integers(0, 7)), (hub + rim) / 2):
        form.drill(*at, 2 * radius, partial(circle, radius=radius))
    chamfer(form, rng)


def nut(form: Form, rng: Rng) -> None:
    """A nut from above: flats, a bevel to a circle, a bore with a thread."""
    sides = int(rng.choice((4, 6, 6, 6, 8)))
    flat = 0.98 * math.cos(math.pi / sides)
    form.join(ngon(form.x, form.y, sides, flat))
    bore = float(rng.uniform(0.35, 0.6)) * flat
    form.cut(circle(form.x, form.y, 0.85 * bore))
    form.sink(0, 0, 1, partial(circle, radius=bore), depth=0.1, soft=0.12)
    out = np.maximum(np.hypot(form.x, form.y) - np.float32(0.97 * flat), 0)
    form.body -= f32(out * np.float32(rng.uniform(0.4, 0.9)))
    if rng.random() < 0.4:
        form.join(circle(form.x, form.y, 1.0))  # with a flange
        form.sink(0, 0, 1, partial(ngon, sides=sides, radius=0.8 * flat), depth=-0.08, soft=0.05)
    chamfer(form, rng)
