"""Typed shorthands for the few numpy and OpenCV calls the renderer repeats. Pure functions, no state."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Bools = NDArray[np.bool_]
Image = NDArray[np.uint8]  # (H, W, 3), BGR
Mask = NDArray[np.uint8]  # (H, W), 0 or 255


def f32(values: object) -> F32:
    """The values as 32-bit floats; no copy if they are already."""
    return np.asarray(values, dtype=np.float32)


def blur(image: F32, sigma_x: float, sigma_y: float | None = None) -> F32:
    """Gaussian blur, sigma in pixels per axis; an axis with sigma below 0.05 is left alone."""
    wide, high = sigma_x, sigma_x if sigma_y is None else sigma_y
    if max(wide, high) < 0.05:
        return image
    size = (_odd_support(wide), _odd_support(high))
    return cast(F32, cv2.GaussianBlur(image, size, max(wide, 0.01), sigmaY=max(high, 0.01)))


def _odd_support(sigma: float) -> int:
    return 1 if sigma < 0.05 else 2 * int(np.ceil(2.5 * sigma)) + 1


def lookup(table: F32, x: F32, y: F32) -> F32:
    """Values of `table` at fractional columns x and rows y; outside, the nearest edge."""
    return cast(F32, cv2.remap(table, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def resize(image: F32, width: int, height: int) -> F32:
    """Bilinear; for enlarging only."""
    return cast(F32, cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR))


def smoothstep(low: float, high: float, x: F32) -> F32:
    """0 below `low`, 1 above `high`, and a smooth rise between; swap the two for a fall."""
    t = np.clip((x - np.float32(low)) / np.float32(high - low), 0, 1)
    return f32(t * t * (3 - 2 * t))


def noise(rng: np.random.Generator, height: int, width: int, sigma_x: float, sigma_y: float) -> F32:
    """Blurred white noise with mean 0 and standard deviation 1.

    Drawn on a coarser grid where the blur allows it: a wide blur at full size costs more than the
    whole rest of a texture, and shows the same.
    """
    step_x, step_y = max(1, int(sigma_x / 2)), max(1, int(sigma_y / 2))
    rows, columns = height // step_y + 2, width // step_x + 2
    coarse = blur(rng.standard_normal((rows, columns), dtype=np.float32), sigma_x / step_x, sigma_y / step_y)
    coarse = (coarse - coarse.mean()) / max(float(coarse.std()), 1e-6)
    return f32(coarse[:height, :width]) if step_x == step_y == 1 else resize(f32(coarse), width, height)
