"""Finds a part in a frame, however it lies.

It is found by the directions of its edges: the sum, over the edges of a template, of how far the frame's edges
there point the same way. Light changes no direction, what covers a part of it takes only that part away, and what lies
around it has edges elsewhere (C. Steger, Similarity measures for occlusion, clutter, and illumination invariant object
recognition, DAGM 2001, equation 5; here as one complex correlation, with edges weighted by their strength). The search
goes from coarse to fine: every turn and size at once on a small frame, then the best few on a larger one.
"""

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from models.edges import Field, complex_of, kernel_of, laid, pair_of, planes_of, spectrum_of, sums_of
from models.match import Match, Place, fair
from models.warp import matrix_of, middle_of

_COARSE = 2  # a cell of the first search is so many of the second
_CANVAS = 112  # cells of the first search: frame and template must not meet around the edge
_FARTHEST: Final = _CANVAS // 2 - 1  # cells of the first search that a part's middle may lie from the frame's
_TURN_STEP_DEG, _SIZE_STEP = 10.0, 1.12
_BEST = 6
# Turns in degrees and factors of the size that are tried around the best so far, and how many cells it may move then.
_FIRST = ((-3.3, 0.0, 3.3), (1.0,), 3)
_FINER = (
    ((0.0,), (0.94, 1.0, 1.06), 14),  # a thread fits itself one turn farther on too, and a little smaller
    ((-1.0, 0.0, 1.0), (0.97, 1.0, 1.03), 3),
    ((-0.5, 0.0, 0.5), (0.985, 1.0, 1.015), 3),
)


class Search(Match):
    """Where a template of edges lies in frames. Made once; then it only reads."""

    def __init__(
        self,
        template: Field,
        sizes: tuple[float, float] = (1.0, 1.0),
        turns_deg: tuple[float, float] = (-180.0, 180.0),
    ) -> None:
        """Sizes and turns from the first to the second are looked for, and a little beyond."""
        super().__init__(template)
        small = _halved(template)
        self._tries = [(turn, size) for size in _sizes(*sizes) for turn in _turns(*turns_deg)]
        turned = np.stack([_turned_on_canvas(small, turn, size) for turn, size in self._tries])
        self._fair = np.array([fair(size) for _, size in self._tries]) / (np.abs(turned).sum(axis=(1, 2)) + 1e-6)
        # Rolled so that shifts either way lie side by side.
        rolled = np.roll(turned, (-_FARTHEST, -_FARTHEST), axis=(1, 2))
        even = np.concatenate([rolled, np.zeros_like(rolled[: len(rolled) % 2])])
        self._twos = [_two(even[index : index + 2]) for index in range(0, len(even), 2)]

    def find(self, field: Field, enough: float = 0.0) -> Place:
        """The best place in a frame's field; there is always one, and its `match` says how good it is.

        Where it matches less than `enough`, it is looked for from the next best starts too, which takes longer.
        """
        found = Place(-1.0, 0.0, 1.0, 0j)
        for start in sorted(self.starts(field), key=lambda place: -place.match):
            found = max(found, self.settled(field, start, _FINER), key=lambda place: place.match)
            if found.match >= enough:
                break
        return found

    def starts(self, field: Field) -> Iterator[Place]:
        """The best few of every turn and size, each looked at on the larger frame."""
        small = _halved(field)
        down, right = (min(side // 2, _FARTHEST) for side in small.shape)  # the part's middle lies in the frame
        found = self._agreeing(small, down, right)
        best = found.reshape(len(found), -1).max(axis=1)[: len(self._tries)] * self._fair
        # The small frame may not lie in the very middle of the canvas, nor its cells in the middle of two.
        top, left = _corner(small.shape)
        off = middle_of(small.shape) + complex(left, top) - middle_of((_CANVAS, _CANVAS))
        for index in np.argsort(-best)[:_BEST]:
            row, column = divmod(int(found[index].argmax()), 2 * right + 1)
            shift = _COARSE * (complex(column - right, row - down) - off)
            turn, size = self._tries[index]
            yield self.settled(field, Place(float(best[index]), turn, size, shift), (_FIRST,))

    def _agreeing(self, small: Field, down: int, right: int) -> NDArray[np.float32]:
        """(tries, 2 down + 1, 2 right + 1): how far directions agree, for each shift so far either way.

        A real sum for each shift of each try: so two tries are one complex transform.
        """
        canvas = np.zeros((_CANVAS, _CANVAS), np.complex64)
        top, left = _corner(small.shape)
        canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
        across, along = (spectrum_of(plane.astype(np.complex64)) for plane in planes_of(canvas))
        rows, columns = (slice(_FARTHEST - far, _FARTHEST + far + 1) for far in (down, right))
        found = np.empty((len(self._twos), 2, 2 * down + 1, 2 * right + 1), np.float32)
        for place, (first, second) in zip(found, self._twos, strict=True):
            both = across * first
            both += along * second
            place[:] = np.moveaxis(sums_of(both)[rows, columns], 2, 0)
        return found.reshape(-1, *found.shape[2:])


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
    return [float(turn) for turn in np.deg2rad(turns[:-1] if high_deg - low_deg >= 360 else turns)]


def _turned_on_canvas(template: Field, turn_rad: float, size: float) -> Field:
    """The template about the middle of the canvas."""
    back = np.exp(-1j * turn_rad) / size
    start = middle_of(template.shape) - back * middle_of((_CANVAS, _CANVAS))
    turned = laid(planes_of(template), matrix_of(back, start), (_CANVAS, _CANVAS))
    return np.asarray(turned * np.exp(1j * turn_rad), np.complex64)


def _halved(field: Field) -> Field:
    height, width = (max(1, side // _COARSE) for side in field.shape)
    pair = pair_of(np.ascontiguousarray(field))
    return complex_of(np.ascontiguousarray(cv2.resize(pair, (width, height), interpolation=cv2.INTER_AREA)))
