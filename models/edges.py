"""The edges of a frame, and fields of them as numpy and OpenCV take them."""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from models.prediction import Image
from models.warp import warp

SIDE: Final = 128  # cells of the longer side of a frame, on which edges are looked at
Field = NDArray[np.complex64]  # (h, w): x + iy is the direction of an edge's rise, its length how sure it is, 0 to 1/2
Plane = NDArray[np.float32]  # (h, w): x or y
_WEAK = 0.35  # of a strong edge: what is as steep as this counts half
_STRONG_PERCENT = 97


def edges_of(image: Image) -> Field:
    """The field of a frame, whose longer side has SIDE cells."""
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    soft = cv2.GaussianBlur(_shrunk(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), size), (0, 0), 1.0)
    across, down = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    steep = np.asarray(cv2.magnitude(across, down), np.float32)
    half = _WEAK * _percentile(steep, _STRONG_PERCENT) + 1e-3
    sure = steep / (steep**2 + half**2)
    sure[:2], sure[-2:], sure[:, :2], sure[:, -2:] = 0, 0, 0, 0  # a frame's border is no edge
    return complex_of(cv2.merge([across * sure, down * sure]))


def _shrunk(grey: NDArray[Any], size: tuple[int, int]) -> Plane:
    """To (w, h), by means over areas. First halved while that is exact, which OpenCV does in a fraction of the time."""
    while not any(side % 2 or side < 4 * wanted for side, wanted in zip(grey.shape[::-1], size, strict=True)):
        grey = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(grey.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)


def planes_of(field: Field) -> tuple[Plane, Plane]:
    """Its x and its y."""
    return np.ascontiguousarray(field.real), np.ascontiguousarray(field.imag)


def laid(planes: tuple[Plane, Plane], matrix: NDArray[np.float64], shape: tuple[int, ...]) -> Field:
    """What of a field lies under the cells of (h, w), which `matrix` leads to its own. Directions stay as they are."""
    # One plane after the other: of two channels at once OpenCV is slower.
    return complex_of(cv2.merge([warp(plane, matrix, shape, 0) for plane in planes]))


def spectrum_of(field: Field) -> Field:
    """Its Fourier transform."""
    return complex_of(cv2.dft(pair_of(field)))


def kernel_of(field: Field) -> Field:
    """What a spectrum is multiplied by for the sums of its field's products with this one, conjugate, at each shift."""
    return np.asarray(np.conj(spectrum_of(field)) / np.float32(field.size), np.complex64)


def sums_of(spectrum: Field) -> NDArray[np.float32]:
    """(h, w, 2): those sums, real and imaginary part, for shifts from 0 to the right and down, and around the edge."""
    return np.asarray(cv2.dft(pair_of(spectrum), flags=cv2.DFT_INVERSE), np.float32)


def pair_of(field: Field) -> NDArray[np.float32]:
    """(h, w, 2), the same memory: complex numbers as OpenCV takes them."""
    return np.asarray(field.view(np.float32).reshape(*field.shape, 2), np.float32)


def complex_of(pair: NDArray[Any]) -> Field:
    """And back."""
    return np.asarray(pair.view(np.complex64)[..., 0], np.complex64)


def _percentile(values: Plane, percent: float) -> float:
    """As numpy's, which takes four times as long."""
    place, share = divmod((values.size - 1) * percent / 100, 1)
    low, high = int(place), min(int(place) + 1, values.size - 1)
    among = np.partition(values, (low, high), axis=None)
    return float(among[low] + share * (among[high] - among[low]))
