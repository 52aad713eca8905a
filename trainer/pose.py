"""Measures how the parts lie: turned, shifted, lit. What varies here will vary on the line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.manifest import Augmentation
from models.prediction import Image

_SIDE = 64  # pixels; pose is coarse
_STEP_DEG = 10
_FULL_CIRCLE_FROM_DEG = 45.0
_STILL_BELOW_DEG = 4.0
_GAIN = 0.05  # correlation that turning must win before it counts: a washer looks the same at any angle
_MAX_PAIRS = 24
_VIEWS = 12  # FACTS of the first trials: twelve turns of each image took AUROC on screws from .53 to .83


@dataclass(frozen=True, slots=True)
class Pose:
    """Spread among the good images."""

    rotation_deg: float  # 90th percentile of the turn that aligns an image with the first one
    brightness: float  # standard deviation of the mean grey value, as a share of it

    @property
    def varies(self) -> bool:
        """Whether parts are turned against each other at all."""
        return self.rotation_deg >= _STILL_BELOW_DEG


def measure_pose(images: Sequence[Image]) -> Pose:
    """Compares each image (at most 24) with the first at 36 angles and all shifts."""
    grey = [_salience(image) for image in images[: _MAX_PAIRS + 1]]
    turned = [np.fft.rfft2(_turn(grey[0], angle)) for angle in range(0, 360, _STEP_DEG)]
    turns = [_best_turn(other, turned) for other in grey[1:]]
    means = np.array([image.mean() for image in images])
    rotation = float(np.percentile(turns, 90)) if turns else 0.0
    return Pose(rotation, float(means.std() / max(means.mean(), 1.0)))


def plan_augmentation(pose: Pose, n_images: int, wanted: str) -> Augmentation:
    """What to do to each image: `wanted` is auto (as measured), on (a full circle) or off.

    The number of views falls for large sets, which bring variation of their own and cost time.
    """
    if wanted == "off":
        return Augmentation(angles_deg=(0.0,), shift=0, brightness=0)
    views = max(1, min(_VIEWS, 480 // n_images))
    light = min(0.2, max(0.03, 2 * pose.brightness))
    if wanted == "on" or pose.rotation_deg >= _FULL_CIRCLE_FROM_DEG:
        angles = tuple(360.0 * i / views for i in range(views))
    elif pose.varies:
        angles = (0.0, *_to_both_sides(pose.rotation_deg, (min(views, 5) - 1) // 2))
    else:
        angles = (0.0,)
    return Augmentation(angles_deg=angles, shift=0.01, brightness=light)


def _to_both_sides(spread_deg: float, steps: int) -> list[float]:
    return [side * spread_deg * step / steps for step in range(1, steps + 1) for side in (1, -1)]


def _salience(image: Image) -> NDArray[np.float32]:
    """How much each pixel differs from the border, inside a disc so that turning cuts nothing."""
    small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    border = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    y, x = np.mgrid[:_SIDE, :_SIDE] - (_SIDE - 1) / 2
    away = np.abs(small.astype(np.float32) - np.float32(np.median(border)))
    return np.asarray(away * (np.hypot(y, x) < _SIDE / 2), np.float32)


def _turn(grey: NDArray[np.float32], angle: float) -> NDArray[np.float32]:
    matrix = cv2.getRotationMatrix2D(((_SIDE - 1) / 2, (_SIDE - 1) / 2), angle, 1)
    return np.asarray(cv2.warpAffine(grey, matrix, (_SIDE, _SIDE)), np.float32)


def _best_turn(other: NDArray[np.float32], turned: list[NDArray[np.complex128]]) -> float:
    """Degrees (0 to 180) that align best over all shifts; 0 unless turning clearly wins."""
    spectrum = np.conj(np.fft.rfft2(other))
    energy = np.sqrt(np.abs(np.fft.irfft2(spectrum * np.conj(spectrum))).max())
    peaks = np.array([np.fft.irfft2(candidate * spectrum).max() for candidate in turned])
    own = np.sqrt(np.fft.irfft2(turned[0] * np.conj(turned[0])).max())
    peaks = peaks / max(float(energy * own), 1e-9)
    best = int(peaks.argmax())
    if peaks[best] < peaks[0] + _GAIN:
        return 0.0
    return float(min(best * _STEP_DEG, 360 - best * _STEP_DEG))
