"""How far a part lies off a place, from one look at a frame: which way its match rises, and how far.

How a template changes when it moves a little is seen beforehand. What of a frame lies under it, multiplied by these
changes, tells how far the part lies off across, down, turned and in size, all four at once (F. Jurie, M. Dhome,
Hyperplane approximation for template matching, PAMI 24, 2002; the template moves and not the frame, as in S. Baker, I.
Matthews, Lucas-Kanade 20 years on, IJCV 56, 2004, section 3.2).
"""

import cmath
import math
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from models.edges import Field, Plane, complex_of, laid, pair_of
from models.match import Place, fair, lying
from models.warp import middle_of

_REACH = 2.0  # cells that one look may lead on: beyond, what it sees is something else
_STILL = 0.02  # cells; whoever lies no farther off is there
_DAMPING = 0.01  # of the usual change: a washer's turn changes nothing, and nobody can say how far it is turned
_TINY = 1e-6
_WAYS: Final = ((1, 0, 0), (1j, 0, 0), (0, 1, 0), (0, 0, 1))  # across, down, turned, larger


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of the sizes and turns that are looked for."""

    sizes: tuple[float, float]
    turns_rad: tuple[float, float]

    def within(self, place: Place) -> Place:
        """The next place within them."""
        turn_rad = _clipped(place.turn_rad, self.turns_rad)
        return replace(place, size=_clipped(place.size, self.sizes), turn_rad=turn_rad)


class Slope:
    """Of one template. Made once; then it only reads."""

    def __init__(self, template: Field, bounds: Bounds, step: float, soft: float = 0.0) -> None:
        """`step` cells are a small move; blurred by `soft` cells, it feels parts that lie farther off."""
        margin = 2 * math.ceil(step + 2 * soft)
        shape = (template.shape[0] + margin, template.shape[1] + margin)
        sharp = lying(template, Place(0.0, 0.0, 1.0, 0j), shape)
        blurred = _blurred(sharp, soft)
        self._shape, self._bounds, self._step = shape, bounds, step
        self._radius = _radius_of(sharp)
        self._weight = float(np.abs(sharp).sum()) + _TINY
        felt, there = (self._changes(field) for field in (blurred, sharp))
        together = (felt.conj() @ there.T).real
        together += np.eye(len(_WAYS)) * (_DAMPING * np.trace(together) / len(_WAYS) + _TINY)
        off = np.linalg.inv(together) @ felt * np.vdot(blurred, sharp).real
        self._rows = np.vstack([blurred.ravel(), off]).astype(np.complex64).view(np.float32)

    def climbed(self, planes: tuple[Plane, Plane], place: Place, looks: int) -> Place:
        """The best of the places that so many looks lead to, each from the one before; the first is at `place`."""
        best = replace(place, match=-1.0)
        for _ in range(looks):
            match, off = self._look(planes, place)
            best = max(best, replace(place, match=match), key=lambda one: one.match)
            if max(map(abs, off)) < _STILL:
                break
            place = self._nearer(place, off)
        return best

    def _look(self, planes: tuple[Plane, Plane], place: Place) -> tuple[float, list[float]]:
        """The match there, and how many cells the part lies off each way; turns and sizes as cells at its radius."""
        seen = laid(planes, place.matrix(planes[0].shape, self._shape), self._shape)
        seen *= np.complex64(cmath.exp(-1j * place.turn_rad))
        # Not by `@`, for which BLAS would wake threads of its own: here they take longer than the product.
        agreed, *off = np.einsum("ij,j->i", self._rows, seen.reshape(-1).view(np.float32)).tolist()
        match = max(0.0, agreed * fair(place.size) / self._weight)
        cells = self._step / max(agreed, _TINY * self._weight)
        return match, [_clipped(cells * way, (-_REACH, _REACH)) for way in off]

    def _nearer(self, place: Place, off: list[float]) -> Place:
        across, down, turned, larger = off
        moved = place.moved(complex(across, down), turned / self._radius, math.exp(larger / self._radius))
        return self._bounds.within(moved)

    def _changes(self, field: Field) -> NDArray[np.complex64]:
        """(4, h * w): what a step each way changes."""
        return np.stack([(self._stepped(field, 1, *way) - self._stepped(field, -1, *way)).ravel() / 2 for way in _WAYS])

    def _stepped(self, field: Field, sign: int, by: complex, turned: float, larger: float) -> Field:
        """Moved, as the match counts it."""
        step = sign * self._step
        size = math.exp(step * larger / self._radius)
        place = Place(0.0, step * turned / self._radius, size, step * by)
        return np.asarray(lying(field, place, self._shape) * (fair(size) / size**2), np.complex64)


def _clipped(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])


def _blurred(field: Field, soft: float) -> Field:
    if not soft:
        return field
    return complex_of(np.ascontiguousarray(cv2.GaussianBlur(pair_of(field), (0, 0), soft)))


def _radius_of(field: Field) -> float:
    """Cells that edges usually lie from the middle."""
    middle = middle_of(field.shape)
    down, across = np.ogrid[: field.shape[0], : field.shape[1]]
    length = np.abs(field)
    squared = (length * ((across - middle.real) ** 2 + (down - middle.imag) ** 2)).sum() / (length.sum() + _TINY)
    return max(1.0, math.sqrt(float(squared)))
