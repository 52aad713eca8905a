"""The lamps and the camera of a station for made-up parts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Light:
    """The station of one line: lamps, camera and its setting."""

    lamps: tuple[tuple[float, float, float, float], ...]  # towards the lamp: right, down, up (unit); power
    ambient: float
    sky: float  # how much darker what lies low is
    room: tuple[tuple[float, float, float, float], ...]  # what metal mirrors: strength, waves right and down, phase
    fall: tuple[float, float, float]  # of the light: right, down, to the corners
    shadow: tuple[float, float]  # how dark, and how high the part stands, as a share of the picture
    focus: float  # blur in 1/256 of the picture
    noise: float  # grey levels
    grey: bool
    tint: tuple[float, float, float]  # of the light, BGR


def draw_light(rng: np.random.Generator) -> Light:
    """One to three lamps around a camera."""
    lamps = []
    for _ in range(int(rng.integers(1, 4))):
        turn, up = rng.uniform(0, 2 * math.pi), math.radians(rng.uniform(22, 78))
        flat = math.cos(up)
        lamps.append((flat * math.cos(turn), flat * math.sin(turn), math.sin(up), float(rng.uniform(0.3, 1))))
    room = tuple(
        (float(rng.uniform(0.05, 0.22)), float(rng.normal(0, 4)), float(rng.normal(0, 4)), float(rng.uniform(0, 6.28)))
        for _ in range(4)
    )
    warm = float(rng.normal(0, 0.04))
    return Light(
        tuple(lamps),
        ambient=float(rng.uniform(0.2, 0.7)),
        sky=float(rng.uniform(0.1, 0.6)),
        room=room,
        fall=(float(rng.normal(0, 0.07)), float(rng.normal(0, 0.07)), float(rng.uniform(0, 0.2))),
        shadow=(float(rng.uniform(0.15, 0.6)), float(rng.uniform(0.005, 0.05))),
        focus=float(rng.uniform(0.35, 0.95)),
        noise=float(rng.uniform(0.8, 3.5)),
        grey=rng.random() < 1 / 3,
        tint=(1 - warm, 1.0, 1 + warm),
    )
