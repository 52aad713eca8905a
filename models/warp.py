"""Maps between pictures that lie over each other turned, sized and shifted. Points are x + iy, in pixels or cells."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def matrix_of(arm: complex, start: complex) -> NDArray[np.float64]:
    """(2, 3), x + iy to start + arm * (x + iy)."""
    return np.array([[arm.real, -arm.imag, start.real], [arm.imag, arm.real, start.imag]])


def middle_of(shape: tuple[int, ...]) -> complex:
    """Of a picture (h, w, ...)."""
    return complex((shape[1] - 1) / 2, (shape[0] - 1) / 2)


def cells_to_pixels(shape_px: tuple[int, ...], cells: tuple[int, ...]) -> NDArray[np.float64]:
    """(3, 3): middles of cells to pixels."""
    down, across = (px / count for px, count in zip(shape_px[:2], cells[:2], strict=True))
    return np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])


def warp(array: NDArray[Any], matrix: NDArray[np.float64], shape: tuple[int, ...], beyond: int) -> NDArray[Any]:
    """`matrix` leads from the pixels of the result, (h, w), to those of `array`; `beyond` is what lies outside it."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(array, matrix, (shape[1], shape[0]), flags=flags, borderValue=(beyond,) * 3))
