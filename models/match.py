"""How well the edges of a part match those of a frame near a place, and where around it they match best.

All shifts are looked at together, as the product of two spectra.
"""

import cmath
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.edges import Field, Plane, kernel_of, laid, planes_of, spectrum_of, sums_of
from models.warp import matrix_of, middle_of

Step = tuple[
    tuple[float, ...], tuple[float, ...], int
]  # turns in degrees and factors of the size that are tried, and cells to move
_QUICK = 16  # OpenCV transforms sides that are so many times a small number in half the time of others


@dataclass(frozen=True, slots=True)
class Place:
    """Where a template lies in a frame: p_frame = middle + shift + size * exp(i turn) * p_template, in cells."""

    match: float  # 1 where every edge of the template is there; what is seen of noise is about a tenth of a part's
    turn_rad: float
    size: float
    shift: complex

    @property
    def arm(self) -> complex:
        """What a step of one cell along the template is in the frame."""
        return cmath.rect(self.size, self.turn_rad)

    def moved(self, by: complex, turn_rad: float = 0.0, size: float = 1.0) -> "Place":
        """The same frame, for a template of which a place `by` of this one is the middle, turned and sized."""
        shift = self.shift + self.arm * by
        return Place(self.match, self.turn_rad + turn_rad, self.size * size, shift)

    def matrix(self, frame: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[np.float64]:
        """(2, 3): cells of a template of that shape (h, w) to those of a frame (h, w)."""
        return matrix_of(self.arm, middle_of(frame) + self.shift - self.arm * middle_of(shape))


def seen_at(field: Field, place: Place, shape: tuple[int, int]) -> Field:
    """What of a frame's field lies under a template of that shape (h, w), in the template's own directions."""
    back = np.complex64(cmath.exp(-1j * place.turn_rad))
    return np.asarray(laid(planes_of(field), place.matrix(field.shape, shape), shape) * back, np.complex64)


def lying(template: Field, place: Place, shape: tuple[int, int]) -> Field:
    """A field of that shape (h, w) in which a template lies at that place, and nothing else."""
    back = 1 / place.arm
    start = middle_of(template.shape) - back * (middle_of(shape) + place.shift)
    turn = np.complex64(cmath.exp(1j * place.turn_rad))
    return np.asarray(laid(planes_of(template), matrix_of(back, start), shape) * turn, np.complex64)


class Match:
    """How well a template of edges fits those of frames near places that are known already."""

    def __init__(self, template: Field) -> None:
        self.template = template
        self._weight = float(np.abs(template).sum()) + 1e-6
        self._middle = middle_of(template.shape)
        self._kernels: dict[int, Field] = {}  # by how far it may move; threads may both make one

    def settled(self, field: Field, start: Place, steps: Sequence[Step]) -> Place:
        """The best place around `start`, then around that one, and so on."""
        planes = planes_of(field)
        for turns_deg, sizes, reach in steps:
            around = [
                Place(0.0, start.turn_rad + math.radians(turn), start.size * size, start.shift)
                for turn in turns_deg
                for size in sizes
            ]
            start = max((self._moved(planes, place, reach) for place in around), key=lambda place: place.match)
        return start

    def _moved(self, planes: tuple[Plane, Plane], place: Place, reach: int) -> Place:
        """The best at that turn and size, so many cells away at most."""
        agreed = self._agreed(planes, place, reach)
        row, column = divmod(int(agreed.argmax()), 2 * reach + 1)
        by = complex(column + _between(agreed[row], column), row + _between(agreed[:, column], row))
        moved = place.moved(by - complex(reach, reach))
        match = float(agreed[row, column]) * fair(place.size) / self._weight
        return Place(match, moved.turn_rad, moved.size, moved.shift)

    def _agreed(self, planes: tuple[Plane, Plane], place: Place, reach: int) -> NDArray[np.float32]:
        """(2 reach + 1, 2 reach + 1): how far the directions agree with the template's, for each shift of it."""
        kernel = self._kernel(reach)
        start = middle_of(planes[0].shape) + place.shift - place.arm * (self._middle + complex(reach, reach))
        seen = spectrum_of(laid(planes, matrix_of(place.arm, start), kernel.shape))
        sums = sums_of(seen * kernel)[: 2 * reach + 1, : 2 * reach + 1]
        directions = np.array([math.cos(place.turn_rad), math.sin(place.turn_rad)], np.float32)
        return np.asarray(sums @ directions, np.float32)

    def _kernel(self, reach: int) -> Field:
        """Of the template, on a canvas large enough for all shifts."""
        if reach not in self._kernels:
            height, width = self.template.shape
            canvas = np.zeros((_quick(height + 2 * reach), _quick(width + 2 * reach)), np.complex64)
            canvas[:height, :width] = self.template
            self._kernels[reach] = kernel_of(canvas)
        return self._kernels[reach]


def fair(size: float) -> float:
    """What makes matches of different sizes comparable.

    Edges are lines of one width w in every frame, so those of a part of that size are w / size wide for the template's
    w: two Gaussian profiles of one height overlap by w / sqrt(1 + size^2), and small sizes would win.
    """
    return math.sqrt((1 + size**2) / 2)


def _between(values: NDArray[np.float32], highest: int) -> float:
    """How far the top of the parabola through the highest value and its neighbours lies beside it, -1/2 to 1/2."""
    if not 0 < highest < len(values) - 1:
        return 0.0
    before, here, after = values[highest - 1 : highest + 2].tolist()
    return float((after - before) / max(2 * (2 * here - before - after), 1e-9))


def _quick(side: int) -> int:
    """The next side that OpenCV transforms quickly."""
    side = _QUICK * math.ceil(side / _QUICK)
    return side if cv2.getOptimalDFTSize(side) == side else _quick(side + 1)
