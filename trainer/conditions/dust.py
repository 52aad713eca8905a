"""Dust and fibres on the glass before the sensor: soft, and in the same places in every picture of a camera."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from models.prediction import Image

F32 = NDArray[np.float32]
_SPECKS, _FIBRES = 40, 8  # at full strength
_RADIUS = (0.003, 0.016)  # of the longer side
_LENGTH, _WIDTH = (0.03, 0.12), 0.002
_DEPTH = (0.15, 0.6)  # of the light, that dust takes at full strength
_LIGHT = 0.3  # share of the specks that shine, as lamps hit them
_GLOW = 130.0  # grey levels, by which the brightest do
_BENDS = 16  # pieces of a fibre


def dust(image: Image, camera: int, strength: float) -> Image:
    """`camera` is the seed of its glass: the same seed and size of picture, the same specks.

    More strength adds specks to those of less, and makes all of them deeper.
    """
    shade, glow = _glass(camera, strength, *image.shape[:2])
    layers = [cv2.add(cv2.multiply(layer, shade, dtype=cv2.CV_8U), glow) for layer in cv2.split(image)]
    return np.asarray(cv2.merge(layers), np.uint8)


@lru_cache(maxsize=4)
def _glass(camera: int, strength: float, height: int, width: int) -> tuple[F32, NDArray[np.uint8]]:
    """What the glass lets through, float32 (h, w), and what it adds, uint8 (h, w) grey levels."""
    specks, fibres = (np.random.default_rng(child) for child in np.random.SeedSequence(camera).spawn(2))
    dark, light = _fibres((height, width), math.ceil(_FIBRES * strength), fibres), np.zeros((height, width), np.float32)
    for _ in range(math.ceil(_SPECKS * strength)):
        _add_speck(light if specks.random() < _LIGHT else dark, specks)
    shade = 1 - np.float32(strength) * np.minimum(dark, np.float32(0.9))
    glow = np.rint(np.minimum(strength * _GLOW * light, 255)).astype(np.uint8)
    for layer in (shade, glow):
        layer.flags.writeable = False  # they are lent to every later call
    return shade, glow


def _add_speck(layer: F32, rng: np.random.Generator) -> None:
    """An oval with a soft edge; small ones are more frequent."""
    height, width = layer.shape
    x, y = (float(middle) for middle in rng.uniform(0, 1, 2) * (width, height))
    radius_px = max(0.5, max(height, width) * math.exp(rng.uniform(*np.log(_RADIUS))))
    depth, slim, turn = rng.uniform(*_DEPTH), rng.uniform(0.6, 1), rng.uniform(0, math.pi)
    reach = 2 * radius_px
    left, top = max(0, int(x - reach)), max(0, int(y - reach))
    place = np.s_[top : int(y + reach) + 2, left : int(x + reach) + 2]
    rows, columns = np.indices(layer[place].shape, np.float32)
    right, down = columns + (left + 0.5 - x), rows + (top + 0.5 - y)
    along, across = right * math.cos(turn) + down * math.sin(turn), down * math.cos(turn) - right * math.sin(turn)
    away = np.hypot(along, across / slim) / radius_px
    layer[place] += np.float32(depth) * np.exp(-(away**4))


def _fibres(size: tuple[int, int], count: int, rng: np.random.Generator) -> F32:
    """Bent threads, (h, w), as deep as they are."""
    side, canvas = max(size), np.zeros(size, np.uint8)
    for _ in range(count):
        step_px = side * rng.uniform(*_LENGTH) / _BENDS
        heading = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(rng.normal(0, 0.1), 0.15, _BENDS))
        path = np.cumsum(step_px * np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0)
        path += rng.uniform(0, 1, 2) * (size[1], size[0])
        fixed = np.rint(path * 16).astype(np.int32)  # sixteenths of a pixel
        depth = round(255 * float(rng.uniform(*_DEPTH)))
        cv2.polylines(canvas, [fixed], False, depth, max(1, round(side * _WIDTH)), cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(canvas, (0, 0), max(0.5, side * _WIDTH / 2))
    return np.asarray(soft, np.float32) * np.float32(1 / 255)
