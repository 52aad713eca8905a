"""The variation that a few images are given before a network sees them. numpy and OpenCV only."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from models.prediction import Image
from trainer.detection.augment import other_light
from trainer.pose import Pose
from trainer.supervised.pictures import Mask, Picture

_STILL_DEG = 8.0  # parts are turned so far at least, for the sake of variety
_QUARTERS_FROM_DEG = 45.0  # parts that lie at any angle may as well be turned by quarters
_LEAST_LIGHT, _MOST_LIGHT = 0.1, 0.3


@dataclass(frozen=True, slots=True)
class Strength:
    """How far pictures are varied."""

    rotation_deg: float = 8.0  # largest
    shift: float = 0.05  # largest, as a share of the sides
    scale: float = 0.06
    light: float = 0.15
    mirror: bool = True
    crop_px: tuple[int, int] | None = None  # (height, width) of what is cut out; None for all of it


def strength_for(pose: Pose, crop_px: tuple[int, int] | None = None) -> Strength:
    """As far as the good parts differ from each other, and a little more."""
    light = min(_MOST_LIGHT, max(_LEAST_LIGHT, 3 * pose.brightness))
    return Strength(rotation_deg=max(_STILL_DEG, pose.rotation_deg), light=light, crop_px=crop_px)


def varied(picture: Picture, rng: np.random.Generator, strength: Strength) -> Picture:
    """Turned, mirrored, moved, scaled, cut out and lit anew, its mask with it; `picture` stays as it is."""
    height, width = picture.image.shape[:2]
    matrix = _matrix(rng, strength, height, width)
    image = cv2.warpAffine(picture.image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=_MIRRORED)
    mask = _moved(picture.mask, matrix)
    where = _window(mask, rng, strength.crop_px or (height, width))
    lit = other_light(np.ascontiguousarray(image[where], np.uint8), rng, strength.light)
    return Picture(lit, np.ascontiguousarray(mask[where]), picture.label)


_MIRRORED = cv2.BORDER_REFLECT_101  # a flat fill would look like a defect; a mirrored defect is one, in the mask too


def _window(mask: Mask, rng: np.random.Generator, size_px: tuple[int, int]) -> tuple[slice, slice]:
    """Anywhere on a good part; on a bad one so that some pixel of the defect, drawn anew, is inside."""
    inside = np.argwhere(mask)
    pixel = inside[int(rng.integers(len(inside)))] if len(inside) else None
    slices = []
    for axis, (side, cut) in enumerate(zip(mask.shape, size_px, strict=True)):
        low, high = 0, side - cut
        if pixel is not None:
            low, high = max(low, int(pixel[axis]) - cut + 1), min(high, int(pixel[axis]))
        start = int(rng.integers(low, high + 1))
        slices.append(slice(start, start + cut))
    return slices[0], slices[1]


def _moved(mask: Mask, matrix: Image) -> Mask:
    if not mask.any():
        return mask
    height, width = mask.shape
    moved = cv2.warpAffine(mask, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=_MIRRORED)
    return np.where(moved > 127, np.uint8(255), np.uint8(0))


def _matrix(rng: np.random.Generator, strength: Strength, height: int, width: int) -> Image:
    angle = float(rng.uniform(-1, 1)) * strength.rotation_deg
    if strength.rotation_deg >= _QUARTERS_FROM_DEG and height == width:
        angle += 90 * float(rng.integers(4))
    scale = 1 + float(rng.uniform(-1, 1)) * strength.scale
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, scale)
    matrix[:, 2] += rng.uniform(-strength.shift, strength.shift, 2) * np.array([width, height])
    if strength.mirror and rng.integers(2):
        matrix = matrix @ np.array([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]])
    return np.asarray(matrix)
