"""Finds a part in a frame, however it lies.

It is found by the directions of its edges: the sum, over the edges of a template, of how far the frame's edges
there point the same way. Light changes no direction, what covers a part of it takes only that part away, and what lies
around it has edges elsewhere (C. Steger, Similarity measures for occlusion, clutter, and illumination invariant object
recognition, DAGM 2001, equation 5; here as one complex correlation, with edges weighted by their strength). The search
goes from coarse to fine: every turn and size at once on a small frame, then the best few on a larger one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from models.prediction import Image
from models.warp import matrix_of, middle_of, warp

SIDE: Final = 128  # cells of the longer side of a frame, on which edges are looked at
Step = tuple[
    tuple[float, ...], tuple[float, ...], int
]  # turns in degrees and factors of the size that are tried, and cells to move
Field = NDArray[np.complex64]  # (h, w): x + iy is the direction of an edge's rise, its length how sure it is, 0 to 1/2
_COARSE = 2  # a cell of the first search is so many of the second
_CANVAS = 112  # cells of the first search: frame and template must not meet around the edge
_TURN_STEP_DEG, _SIZE_STEP = 10.0, 1.12
_BEST = 6
# Turns in degrees and factors of the size that are tried around the best so far, and how many cells it may move then.
_FIRST = ((-3.3, 0.0, 3.3), (1.0,), 3)
_FINER = (
    ((0.0,), (0.94, 1.0, 1.06), 14),  # a thread fits itself one turn farther on too, and a little smaller
    ((-1.0, 0.0, 1.0), (0.97, 1.0, 1.03), 3),
    ((-0.5, 0.0, 0.5), (0.985, 1.0, 1.015), 3),
)
_WEAK = 0.35  # of a strong edge: what is as steep as this counts half
_STRONG_PERCENT = 97


@dataclass(frozen=True, slots=True)
class Place:
    """Where a template lies in a frame: p_frame = middle + shift + size * exp(i turn) * p_template, in cells."""

    match: float  # 1 where every edge of the template is there; what is seen of noise is about a tenth of a part's
    turn_rad: float
    size: float
    shift: complex

    def moved(self, by: complex, turn_rad: float = 0.0, size: float = 1.0) -> "Place":
        """The same frame, for a template of which a place `by` of this one is the middle, turned and sized."""
        arm = self.size * np.exp(1j * self.turn_rad)
        return Place(self.match, self.turn_rad + turn_rad, self.size * size, complex(self.shift + arm * by))


def edges_of(image: Image) -> Field:
    """The field of a frame, whose longer side has SIDE cells."""
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), size, interpolation=cv2.INTER_AREA).astype(np.float32)
    soft = cv2.GaussianBlur(grey, (0, 0), 1.0)
    across, down = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    steep = np.hypot(across, down)
    half = _WEAK * np.percentile(steep, _STRONG_PERCENT) + 1e-3
    field = (across + 1j * down) * (steep / (steep**2 + half**2))
    field[:2], field[-2:], field[:, :2], field[:, -2:] = 0, 0, 0, 0  # a frame's border is no edge
    return np.asarray(field, np.complex64)


def seen_at(field: Field, place: Place, shape: tuple[int, int]) -> Field:
    """What of a frame's field lies under a template of that shape (h, w), in the template's own directions."""
    arm = place.size * np.exp(1j * place.turn_rad)
    start = middle_of(field.shape) + place.shift - arm * middle_of(shape)
    return np.asarray(_warped(field, matrix_of(arm, start), shape) * np.exp(-1j * place.turn_rad), np.complex64)


class Match:
    """How well a template of edges fits those of frames near places that are known already."""

    def __init__(self, template: Field) -> None:
        self.template = template
        self._weight = float(np.abs(template).sum()) + 1e-6

    def settled(self, field: Field, start: Place, steps: Sequence[Step]) -> Place:
        """The best place around `start`, then around that one, and so on."""
        for step in steps:
            start = max(self._around(field, start, *step), key=lambda place: place.match)
        return start

    def _around(
        self, field: Field, start: Place, turns_deg: Sequence[float], sizes: Sequence[float], reach: int
    ) -> Iterator[Place]:
        height, width = self.template.shape
        wider = (height + 2 * reach, width + 2 * reach)
        for turn in turns_deg:
            for size in sizes:
                place = Place(0.0, start.turn_rad + float(np.deg2rad(turn)), start.size * size, start.shift)
                agreed = self._agreed(seen_at(field, place, wider))
                row, column = divmod(int(np.argmax(agreed)), agreed.shape[1])
                by = complex(column + _between(agreed[row], column), row + _between(agreed[:, column], row))
                moved = place.moved(by - complex(reach, reach))
                yield replace(moved, match=float(agreed[row, column]) * _fair(place.size) / self._weight)

    def _agreed(self, seen: Field) -> NDArray[np.float32]:
        """How far the directions agree with the template's, for each shift of it in a field that is a little larger."""
        planes = ((seen.real, self.template.real), (seen.imag, self.template.imag))
        across, down = (
            cv2.matchTemplate(np.ascontiguousarray(one), np.ascontiguousarray(other), cv2.TM_CCORR)
            for one, other in planes
        )
        return np.asarray(across + down, np.float32)


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
        spectra = np.stack([_turned_on_canvas(small, turn, size) for turn, size in self._tries])
        self._fair = np.array([_fair(size) for _, size in self._tries]) / (np.abs(spectra).sum(axis=(1, 2)) + 1e-6)
        self._spectra = np.conj(np.fft.fft2(spectra)).astype(np.complex64)

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
        canvas = np.zeros((_CANVAS, _CANVAS), np.complex64)
        top, left = ((_CANVAS - side) // 2 for side in small.shape)
        canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
        found = np.fft.ifft2(np.fft.fft2(canvas)[None] * self._spectra).real
        rows, columns = (_near(side) for side in small.shape)  # the part's middle lies in the frame
        inside = found[:, rows][:, :, columns] * self._fair[:, None, None]
        peaks = inside.reshape(len(inside), -1)
        for index in np.argsort(-peaks.max(axis=1))[:_BEST]:
            row, column = divmod(int(peaks[index].argmax()), len(columns))
            # The small frame may not lie in the very middle of the canvas, nor its cells in the middle of two.
            off = (middle_of(small.shape) + left + 1j * top) - middle_of(canvas.shape)
            shift = _COARSE * (_signed(columns[column]) + 1j * _signed(rows[row]) - off)
            turn, size = self._tries[index]
            start = Place(float(peaks[index].max()), turn, size, complex(shift))
            yield self.settled(field, start, (_FIRST,))


def _fair(size: float) -> float:
    """What makes matches of different sizes comparable.

    Edges are lines of one width w in every frame, so those of a part of that size are w / size wide for the template's
    w: two Gaussian profiles of one height overlap by w / sqrt(1 + size^2), and small sizes would win.
    """
    return float(np.sqrt((1 + size**2) / 2))


def _between(values: NDArray[np.float32], highest: int) -> float:
    """How far the top of the parabola through the highest value and its neighbours lies beside it, -1/2 to 1/2."""
    if not 0 < highest < len(values) - 1:
        return 0.0
    before, here, after = (float(value) for value in values[highest - 1 : highest + 2])
    return (after - before) / max(2 * (2 * here - before - after), 1e-9)


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
    return np.asarray(
        _warped(template, matrix_of(back, start), (_CANVAS, _CANVAS)) * np.exp(1j * turn_rad), np.complex64
    )


def _warped(field: Field, matrix: NDArray[np.float64], shape: tuple[int, ...]) -> Field:
    pair = np.ascontiguousarray(field).view(np.float32).reshape(*field.shape, 2)
    return np.ascontiguousarray(warp(pair, matrix, shape, 0), np.float32).view(np.complex64)[..., 0]


def _halved(field: Field) -> Field:
    height, width = (max(1, side // _COARSE) for side in field.shape)
    pair = np.ascontiguousarray(field).view(np.float32).reshape(*field.shape, 2)
    small = np.ascontiguousarray(cv2.resize(pair, (width, height), interpolation=cv2.INTER_AREA))
    return small.view(np.complex64)[..., 0]


def _near(side: int) -> NDArray[np.intp]:
    """Places of the canvas at most half a side from 0, either way."""
    half = side // 2
    return np.concatenate([np.arange(half + 1), np.arange(_CANVAS - half, _CANVAS)])


def _signed(place: np.intp) -> int:
    return int(place) if place <= _CANVAS // 2 else int(place) - _CANVAS
