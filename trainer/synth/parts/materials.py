"""What parts are made of: colour, gloss, and a grain of which every part has its own. Pure functions."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass

import numpy as np

from trainer.synth.arrays import F32, blur, f32, lookup, noise
from trainer.synth.parts.patterns import cells, leaves, planks, wire, woven
from trainer.synth.parts.shapes import Colour

# Grain, how often, and its rms slope from and to.
GRAINS = {
    "brushed": (4, 0.05, 0.22),
    "turned": (2, 0.05, 0.22),
    "cast": (3, 0.06, 0.25),
    "blasted": (2, 0.05, 0.16),
    "smooth": (4, 0.005, 0.03),
    "peel": (3, 0.01, 0.06),
    "leather": (1, 0.15, 0.4),
    "woven": (1, 0.15, 0.5),
    "wood": (1, 0.03, 0.1),
    "chips": (1, 0.01, 0.06),
    "porous": (2, 0.1, 0.4),
    "wires": (1, 0.2, 0.5),
}
METAL = ("brushed", "turned", "cast", "blasted", "porous")


@dataclass(frozen=True, slots=True)
class Material:
    """A material of one line of parts."""

    grain: str  # of GRAINS
    colour: Colour
    second: Colour  # of veins, chips, threads
    shine: float  # strength of highlights
    hard: float  # Blinn's exponent: how narrow highlights are
    metal: float  # 0 to 1: how much of the light is mirrored, in the colour of the metal
    slope: float  # rms slope of the grain
    scale: float  # size of the grain, 1 is about a pixel in 256
    mottle: float  # uneven colour


def draw_colour(rng: np.random.Generator) -> Colour:
    """Any colour: grey, pale, dark or loud."""
    saturation = float(rng.choice((0.03, 0.15, 0.4, 0.75)) * rng.uniform(0.7, 1.25))
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), min(saturation, 1.0), rng.uniform(0.22, 0.85))
    return blue, green, red


def draw_metal(rng: np.random.Generator) -> Colour:
    """Steel or aluminium mostly, sometimes brass or copper."""
    level, warm = float(rng.uniform(0.35, 0.7)), float(rng.choice((0.0, 0.02, -0.02, 0.14, 0.22)))
    return level * (1 - 2 * warm), level * (1 - 0.4 * warm), level * (1 + warm)


def draw_material(rng: np.random.Generator) -> Material:
    """One of the materials that parts are made of."""
    weights = np.array([entry[0] for entry in GRAINS.values()], dtype=np.float64)
    grain = str(rng.choice(list(GRAINS), p=weights / weights.sum()))
    metal = float(rng.uniform(0.4, 1)) if grain in METAL and rng.random() < 0.75 else 0.0
    colour = draw_metal(rng) if metal else draw_colour(rng)
    shade = float(rng.choice((0.55, 0.75, 1.35)))
    second = tuple(min(0.95, c * shade) for c in colour) if rng.random() < 0.6 else draw_colour(rng)
    glossy = rng.random() < 0.6
    return Material(
        grain,
        colour,
        (second[0], second[1], second[2]),
        shine=float(rng.uniform(0.12, 0.5) if glossy else rng.uniform(0, 0.12)),
        hard=float(np.exp(rng.uniform(math.log(6), math.log(70)))),
        metal=metal,
        slope=float(rng.uniform(*GRAINS[grain][1:])),
        scale=float(np.exp(rng.uniform(-0.4, 0.7))),
        mottle=float(rng.exponential(0.02)),
    )


def draw_grain(material: Material, x: F32, y: F32, rng: np.random.Generator) -> tuple[F32, F32, F32]:
    """One part's own surface, over the part's coordinates.

    Returns three (n, n) fields: height in pixels, share of the second colour, and a factor on the colour.
    """
    size = x.shape[0]
    unit = size / 256 * material.scale
    mix = np.zeros((size, size), np.float32)
    match material.grain:
        case "brushed":
            height = noise(rng, size, size, 22 * unit, 0.7 * unit) + 0.5 * noise(rng, size, size, 5 * unit, 0.5)
        case "turned":
            height = _rings(x, y, unit, rng)
        case "cast" | "porous":
            height = noise(rng, size, size, unit, unit) + 2 * noise(rng, size, size, 3 * unit, 3 * unit)
            if material.grain == "porous":
                height = f32(height - 6 * np.maximum(noise(rng, size, size, 1.4 * unit, 1.4 * unit) - 2, 0))
        case "leather":
            height = 4 * np.minimum(cells(rng, size, 5 * unit, unit), 1.2)
        case "woven":
            height, mix = woven(rng, size, 5 * unit, unit)
        case "wires":
            height = wire(y * np.float32(size / 2), 5 * unit) + 0.3 * noise(rng, size, size, 6 * unit, 0.6)
        case "wood":
            mix = planks(rng, x, y, material.scale)
            height = noise(rng, size, size, 18 * unit, 0.6 * unit) - mix
        case "chips":
            mix = f32(leaves(rng, size, 3 * unit, 14 * unit) > 0.4)
            height = noise(rng, size, size, unit, unit)
        case _:
            soft = {"smooth": 10.0, "peel": 3.0}.get(material.grain, 0.8) * unit
            height = noise(rng, size, size, soft, soft)
    height = f32(height)
    rough = material.slope / max(_rms_slope(height), 1e-4)
    mottled = 0.7 * noise(rng, size, size, 20 * unit, 20 * unit) + 0.5 * noise(rng, size, size, unit, unit)
    sunk = np.clip(rough * height / unit, -1.5, 1.5)  # pits hold dirt, tips are worn
    factor = np.clip(1 + material.mottle * mottled + 0.06 * sunk, 0.4, 1.5)
    return f32(height * np.float32(rough)), mix, f32(factor)


def _rings(x: F32, y: F32, unit: float, rng: np.random.Generator) -> F32:
    """Marks of a lathe: random by distance from the middle, and a little along the turn."""
    line = noise(rng, 1, 512, 1.2, 0.0)
    at = np.hypot(x, y) * np.float32(170 / max(unit, 0.3) ** 0.5)
    size = x.shape[0]
    return f32(lookup(line, f32(at % 511), np.zeros_like(at)) + 0.4 * noise(rng, size, size, unit, unit))


def _rms_slope(height: F32) -> float:
    across, down = np.diff(height, axis=1), np.diff(height, axis=0)
    return math.sqrt(float((across * across).mean() + (down * down).mean()))


def veins(rng: np.random.Generator, size: int, scale: float) -> F32:
    """Clouds of three octaves, about deviation 1: the patchy shape of stains and rust."""
    octaves = [noise(rng, size, size, scale / step, scale / step) / step for step in (1, 2, 4)]
    return blur(f32(sum(octaves[1:], octaves[0])), 0.3)
