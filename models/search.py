"""Finds a part in a frame, however it lies.

It is found by the directions of its edges: the sum, over the edges of a template, of how far the frame's edges
there point the same way. Light changes no direction, what covers a part of it takes only that part away, and what lies
around it has edges elsewhere (C. Steger, Similarity measures for occlusion, clutter, and illumination invariant object
recognition, DAGM 2001, equation 5; here as one complex correlation, with edges weighted by their strength). The search
goes from coarse to fine: every turn and size at once on a small frame, from the best few of these up the slope of the
match, then the same on a larger frame.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from models.edges import Field, complex_of, kernel_of, pair_of, planes_of, spectrum_of, sums_of
from models.match import Match, Place, fair, lying
from models.slope import Bounds, Slope
from models.warp import middle_of

_COARSE = 2  # a cell of the first search is so many of the second
_CANVAS = 112  # cells of the first search: frame and template must not meet around the edge
_FARTHEST: Final = _CANVAS // 2 - 1  # cells of the first search that a part's middle may lie from the frame's
_TURN_STEP_DEG, _SIZE_STEP = 10.0, 1.12
_BEST, _FEW = 6, 3  # places of the first search that are looked at nearer on the small frame, then on the large one
_LOOKS, _FEW_LOOKS, _LAST_LOOKS = 5, 3, 8
_STEP, _SOFT, _FINE_STEP = 1.5, 1.0, 0.5  # cells of the frame that is looked at
_BEYOND, _BEYOND_DEG = 1.15, 5.0  # a part may be so many times larger or smaller than was looked for, or turned on
# A thread fits itself one turn farther on too, and a little smaller, and so may a part that is a little larger.
_FARTHER = (((0.0,), (0.9, 1.0, 1.1), 7),)
# Where little of a part is seen, the match may have another top so many cells away.
_AROUND, _APART = (((0.0,), (1.0,), 3),), 0.6


class Search:
    """Where a template of edges lies in frames. Made once; then it only reads."""

    def __init__(
        self,
        template: Field,
        sizes: tuple[float, float] = (1.0, 1.0),
        turns_deg: tuple[float, float] = (-180.0, 180.0),
    ) -> None:
        """Sizes and turns from the first to the second are looked for, and a little beyond."""
        self.template = template
        small = _halved(template)
        bounds = _bounds(sizes, turns_deg)
        self._coarse, self._fine = Slope(small, bounds, _STEP, _SOFT), Slope(template, bounds, _FINE_STEP)
        self._farther, self._around = Match(small), Match(template)
        self._tries = [(turn, size) for size in _sizes(*sizes) for turn in _turns(*turns_deg)]
        turned = np.stack([lying(small, Place(0.0, *one, 0j), (_CANVAS, _CANVAS)) for one in self._tries])
        self._fair = np.array([fair(size) for _, size in self._tries]) / (np.abs(turned).sum(axis=(1, 2)) + 1e-6)
        # Rolled so that shifts either way lie side by side.
        rolled = np.roll(turned, (-_FARTHEST, -_FARTHEST), axis=(1, 2))
        even = np.concatenate([rolled, np.zeros_like(rolled[: len(rolled) % 2])])
        self._twos = [_two(even[index : index + 2]) for index in range(0, len(even), 2)]

    def find(self, field: Field) -> Place:
        """The best place in a frame's field; there is always one, and its `match` says how good it is."""
        small, planes = _halved(field), planes_of(field)
        near = max(self.starts(field), key=_match)
        farther = self._farther.settled(small, _coarsely(near), _FARTHER)
        places = [near]
        if farther.size != near.size or abs(_finely(farther).shift - near.shift) > _COARSE:
            places.append(_finely(self._coarse.climbed(planes_of(small), farther, _LOOKS)))
        found = max((self._fine.climbed(planes, place, _LAST_LOOKS) for place in places), key=_match)
        around = self._around.settled(field, found, _AROUND)
        if abs(around.shift - found.shift) < _APART:
            return found
        return max(found, self._fine.climbed(planes, around, _LAST_LOOKS), key=_match)

    def starts(self, field: Field) -> Iterator[Place]:
        """The best few of every turn and size, each followed to where it matches best."""
        small = _halved(field)
        planes = planes_of(small)
        near = [self._coarse.climbed(planes, place, _LOOKS) for place in self._anywhere(small)]
        planes = planes_of(field)
        for place in sorted(near, key=_match, reverse=True)[:_FEW]:
            yield self._fine.climbed(planes, _finely(place), _FEW_LOOKS)

    def _anywhere(self, small: Field) -> list[Place]:
        """Of every turn and size the best shift; the best of these. In cells of the small frame."""
        down, right = (min(side // 2, _FARTHEST) for side in small.shape)  # the part's middle lies in the frame
        # The small frame may not lie in the very middle of the canvas, nor its cells in the middle of two.
        top, left = _corner(small.shape)
        off = middle_of(small.shape) + complex(left, top) - middle_of((_CANVAS, _CANVAS))
        agreeing = zip(self._agreeing(small, down, right), self._fair, self._tries, strict=False)
        found = [Place(agreed * weight, *one, shift - off) for (agreed, shift), weight, one in agreeing]
        return sorted(found, key=_match, reverse=True)[:_BEST]

    def _agreeing(self, small: Field, down: int, right: int) -> Iterator[tuple[float, complex]]:
        """Of each try, how far directions agree at its best shift, so far either way, and that shift.

        A real sum for each shift of each try: so two tries are one complex transform.
        """
        canvas = np.zeros((_CANVAS, _CANVAS), np.complex64)
        top, left = _corner(small.shape)
        canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
        across, along = (spectrum_of(plane.astype(np.complex64)) for plane in planes_of(canvas))
        rows, columns = (slice(_FARTHEST - far, _FARTHEST + far + 1) for far in (down, right))
        for first, second in self._twos:
            both = across * first
            both += along * second
            for sums in planes_of(complex_of(sums_of(both)[rows, columns])):
                row, column = divmod(int(sums.argmax()), 2 * right + 1)
                yield float(sums[row, column]), complex(column - right, row - down)


def _match(place: Place) -> float:
    return place.match


def _coarsely(place: Place) -> Place:
    """In cells of the first search."""
    return replace(place, shift=place.shift / _COARSE)


def _finely(place: Place) -> Place:
    return replace(place, shift=place.shift * _COARSE)


def _two(turned: NDArray[np.complex64]) -> tuple[Field, Field]:
    """Kernels of both planes, (h, w) each, of two tries, (2, h, w): sums of the second come out imaginary."""
    planes = (plane[0] - 1j * plane[1] for plane in (turned.real, turned.imag))
    across, along = (kernel_of(np.asarray(plane, np.complex64)) for plane in planes)
    return across, along


def _corner(shape: tuple[int, ...]) -> tuple[int, int]:
    """Top and left of a small frame about the middle of the canvas."""
    return (_CANVAS - shape[0]) // 2, (_CANVAS - shape[1]) // 2


def _sizes(low: float, high: float) -> list[float]:
    """Steps that lie no farther apart than a finer look reaches."""
    count = 1 + int(np.ceil(np.log(high / low) / np.log(_SIZE_STEP)))
    return [float(size) for size in np.geomspace(low, high, count)] if count > 1 else [(low * high) ** 0.5]


def _turns(low_deg: float, high_deg: float) -> list[float]:
    count = int(np.ceil((high_deg - low_deg) / _TURN_STEP_DEG)) + 1
    turns = np.linspace(low_deg, high_deg, count)
    return [float(turn) for turn in np.deg2rad(turns[:-1] if _is_circle(low_deg, high_deg) else turns)]


def _is_circle(low_deg: float, high_deg: float) -> bool:
    return high_deg - low_deg >= 360


def _bounds(sizes: tuple[float, float], turns_deg: tuple[float, float]) -> Bounds:
    """A little beyond what is looked for."""
    low_deg, high_deg = turns_deg
    turns = (math.radians(low_deg - _BEYOND_DEG), math.radians(high_deg + _BEYOND_DEG))
    anyhow = (-math.inf, math.inf)
    return Bounds((sizes[0] / _BEYOND, sizes[1] * _BEYOND), anyhow if _is_circle(*turns_deg) else turns)


def _halved(field: Field) -> Field:
    height, width = (max(1, side // _COARSE) for side in field.shape)
    pair = pair_of(np.ascontiguousarray(field))
    return complex_of(np.ascontiguousarray(cv2.resize(pair, (width, height), interpolation=cv2.INTER_AREA)))
