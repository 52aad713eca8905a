"""What parts lie on: card, a belt, something textured, darkness. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from trainer.synth.arrays import F32, blur, f32, noise
from trainer.synth.parts.materials import draw_colour, veins
from trainer.synth.parts.patterns import cells, leaves, wire, woven
from trainer.synth.parts.shapes import Colour

KINDS = ("card", "card", "dark", "belt", "ribbed", "cloth", "pebbled", "clouds", "litter")


@dataclass(frozen=True, slots=True)
class Backdrop:
    """The backdrop of one line."""

    kind: str  # of KINDS
    colour: Colour
    rough: float  # contrast of its texture
    pitch: float  # of its texture, in 1/256 of the picture
    dust: int  # specks and fibres, about


def draw_backdrop(rng: np.random.Generator, beside: Colour) -> Backdrop:
    """A backdrop that is clearly lighter or darker than the part's colour `beside`."""
    kind = str(rng.choice(KINDS))
    colour = np.array(draw_colour(rng))
    part = sum(beside) / 3
    apart = max(0.15, float(rng.uniform(0.15, 0.5)))
    level = part - apart if part - apart > 0.08 and rng.random() < 0.5 else part + apart
    level = float(rng.uniform(0.04, 0.1)) if kind == "dark" and part > 0.25 else level
    colour = np.clip(colour / colour.mean() * min(level, 0.9), 0, 0.95)
    rough, pitch = float(rng.uniform(0.02, 0.2)), float(rng.uniform(4, 18))
    return Backdrop(
        kind, (float(colour[0]), float(colour[1]), float(colour[2])), rough, pitch, int(rng.integers(0, 30))
    )


def draw_ground(backdrop: Backdrop, size: int, rng: np.random.Generator) -> F32:
    """The backdrop under one part, (size, size, 3); the belt has moved on since the last one."""
    unit, pitch = size / 256, backdrop.pitch * size / 256
    axis = f32(np.arange(size)[:, None] + rng.uniform(0, 1000))
    grain = 0.15 * noise(rng, size, size, 0.7, 0.7)
    match backdrop.kind:
        case "belt":
            pattern = np.sin(axis * np.float32(2 * math.pi / pitch)) * np.sin(axis.T * np.float32(2 * math.pi / pitch))
        case "ribbed":
            pattern = np.broadcast_to(2 * wire(axis, 2 * pitch) - 1.5, (size, size))
        case "cloth":
            pattern = 1.4 * woven(rng, size, pitch / 2, unit)[0] - 1
        case "pebbled":
            pattern = 2 * cells(rng, size, pitch, unit) - 1
        case "clouds":
            pattern = veins(rng, size, 2 * pitch)
        case "litter":
            pattern = leaves(rng, size, 3 * unit, 2 * pitch)
        case _:
            pattern = 0.3 * noise(rng, size, size, 3 * pitch, 3 * pitch)
    field = 1 + np.float32(backdrop.rough) * (pattern + grain)
    return f32(np.clip(field, 0.2, 2)[..., None] * np.array(backdrop.colour, np.float32))


def draw_dust(backdrop: Backdrop, size: int, rng: np.random.Generator) -> F32:
    """A factor on the colour of whatever lies there: a few faint specks and fibres, on parts too."""
    dust = np.zeros((size, size), np.uint8)
    for _ in range(int(rng.poisson(backdrop.dust))):
        x, y, reach, turn = *rng.uniform(0, size, 2), rng.exponential(size / 180), rng.uniform(0, math.pi)
        end = (round(x + reach * math.cos(turn)), round(y + reach * math.sin(turn)))
        cv2.line(dust, (round(x), round(y)), end, int(min(255, rng.exponential(60))), 1, cv2.LINE_AA)
    return 1 - np.float32(0.3) * blur(f32(dust / 255), 0.4 * size / 256)
