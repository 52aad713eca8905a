"""Surfaces that no camera saw: noise spectra, drawn lines, leaves and cells, unevenly lit.

What to generate follows Baradad et al., Learning to See by Looking at Noise (arXiv 2106.05963):
dead leaves and spectra teach more than plain noise, and variety counts.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from trainer.synth.arrays import F32, blur, f32


def draw_texture(rng: np.random.Generator, size_px: int) -> F32:
    """One grey surface, float32 (size_px, size_px), 0 to 255."""
    kind = rng.choice(("spectrum", "lines", "leaves", "cells"))
    if kind == "spectrum":
        field = spectrum(rng, size_px, rng.uniform(0.3, 2.2))
    elif kind == "lines":
        field = lines(rng, size_px)
    elif kind == "leaves":
        field = _leaves(rng, size_px)
    else:
        field = _cells(rng, size_px)
    field = field + rng.uniform(0, 0.5) * spectrum(rng, size_px, 0.5)
    light = 1 + 0.15 * spectrum(rng, size_px, 3.0)
    return f32(np.clip((rng.uniform(60, 190) + rng.uniform(6, 40) * field) * light, 0, 255))


def spectrum(rng: np.random.Generator, size_px: int, exponent: float) -> F32:
    """Noise whose amplitude falls as 1 / frequency ** exponent; mean 0, deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(size_px)[:, None], np.fft.rfftfreq(size_px)[None, :])
    frequency[0, 0] = 1
    phase = np.exp(2j * math.pi * rng.random(frequency.shape))
    field = np.fft.irfft2(phase / frequency**exponent, s=(size_px, size_px))
    return _unit(f32(field))


def lines(rng: np.random.Generator, size_px: int) -> F32:
    """Brushed, ground or turned: noise stretched along one direction; mean 0, deviation 1."""
    wide = int(size_px * 1.5)
    raw = f32(rng.standard_normal((wide, wide)))
    raw = blur(raw, rng.uniform(0.4, 1.5), rng.uniform(2, 25))
    turn = cv2.getRotationMatrix2D((wide / 2, wide / 2), rng.uniform(0, 180), 1)
    edge = (wide - size_px) // 2
    return _unit(f32(cv2.warpAffine(raw, turn, (wide, wide))[edge : edge + size_px, edge : edge + size_px]))


def _leaves(rng: np.random.Generator, size_px: int) -> F32:
    """Dead leaves (Lee, Mumford and Huang, 2001): shapes of all sizes on top of each other."""
    field = np.zeros((size_px, size_px), np.float32)
    for _ in range(int(rng.integers(40, 160))):
        centre = tuple(int(v) for v in rng.integers(0, size_px, 2))
        long = float(np.clip(3 / rng.random() ** 0.7, 3, size_px / 3))
        axes = (int(long), max(1, int(long * rng.uniform(0.2, 1))))
        cv2.ellipse(field, centre, axes, rng.uniform(0, 180), 0, 360, float(rng.standard_normal()), -1, cv2.LINE_AA)
    return _unit(field)


def _cells(rng: np.random.Generator, size_px: int) -> F32:
    """Grain boundaries: distance to the nearest of random points."""
    points = np.full((size_px, size_px), 255, np.uint8)
    count = int(rng.integers(20, 400))
    points[rng.integers(0, size_px, count), rng.integers(0, size_px, count)] = 0
    return _unit(f32(np.sqrt(cv2.distanceTransform(points, cv2.DIST_L2, 5))))


def _unit(field: F32) -> F32:
    return f32((field - field.mean()) / (field.std() + 1e-6))
