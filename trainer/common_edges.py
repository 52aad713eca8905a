"""What the edges of several parts have in common, once the parts lie over each other.

Edges that point another way in each part, as those of a thread that begins anywhere, tell nothing of where a part
lies, and still fit each other a turn farther on. They count little: by how far the parts agree on them, and where a
part repeats itself along a line, by fading along that line what comes and goes with the repetition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from models.upright import Field
from models.warp import warp

POWER: Final = 3.0  # of how far parts agree on an edge: it counts so much
_QUIET = 0.05  # of a sure edge: weaker ones agree by chance
_NEAR, _FAR = 3, 14  # cells between which something may come again
_WAY = (0.3, 0.4, 0.5, 0.6, 0.7)  # of the way there
_AGAIN, _RISE = 0.25, 0.05  # how like itself a part must be there, and how much more than on the way
_STRAIGHT, _REPEATS = 0.1, 0.3  # by how much more it is like itself there than half way: not at all, wholly
_WINDOW = 4.0  # cells, a standard deviation: around a cell
_FADE = 0.35  # of a repetition: standard deviation of what it is faded by


@dataclass(frozen=True, slots=True)
class Repetition:
    """How parts that lie over each other repeat themselves."""

    by: complex  # cells across + i down, after which they look the same again
    where: NDArray[np.float32]  # (h, w), 1 where they do, 0 where they do not or are straight


def common_edges(seen: NDArray[np.complex64], again: Repetition | None, power: float = POWER) -> Field:
    """Of parts (n, h, w) that lie over each other, each edge as long as it is common to them: (h, w)."""
    mean = seen.mean(axis=0)
    agreed = np.abs(mean) / (np.abs(seen).mean(axis=0) + _QUIET)
    common = np.asarray(mean * agreed**power, np.complex64)
    if again is None:
        return common
    return np.asarray(again.where * _faded(common, again.by) + (1 - again.where) * common, np.complex64)


def repetition(seen: NDArray[np.complex64]) -> Repetition | None:
    """Of parts (n, h, w), each by itself; None where they do not repeat themselves.

    A straight edge looks the same all the way to where it does again, a thread does not.
    """
    likeness = np.mean([_likeness(field) for field in seen], axis=0)
    down, across = np.mgrid[-_FAR : _FAR + 1, -_FAR : _FAR + 1]
    way = [
        likeness[_FAR + np.rint(share * down).astype(int), _FAR + np.rint(share * across).astype(int)] for share in _WAY
    ]
    rise = likeness - np.min(way, axis=0)
    rise[(np.hypot(down, across) < _NEAR) | (down < 0) | (likeness < _AGAIN)] = 0
    row, column = np.unravel_index(int(rise.argmax()), rise.shape)
    if rise[row, column] < _RISE:
        return None
    by = complex(across[row, column], down[row, column])
    return Repetition(by, _where(seen, by))


def _likeness(field: Field) -> NDArray[np.float64]:
    """Of a field with itself, moved by up to _FAR cells either way; 1 in the middle."""
    shape = [side + _FAR for side in field.shape]
    own = np.fft.ifft2(np.abs(np.fft.fft2(field, shape)) ** 2).real
    near = np.arange(-_FAR, _FAR + 1)
    return np.asarray(own[near][:, near] / max(float(own[0, 0]), 1e-6))


def _where(seen: NDArray[np.complex64], by: complex) -> NDArray[np.float32]:
    """(h, w), 1 where the parts repeat themselves after `by` cells, 0 where they do not or are straight."""
    found = np.mean([np.maximum(_rise(field, by), _rise(field, -by)) for field in seen], axis=0)
    return np.asarray(np.clip((found - _STRAIGHT) / _REPEATS, 0, 1), np.float32)


def _rise(field: Field, by: complex) -> NDArray[np.float32]:
    """How much more like itself a field is that far on than half way there, around each cell."""
    there, half = (_moved(field, by * share) for share in (1, 0.5))
    return _alike(field, there) - _alike(field, half)


def _alike(one: Field, other: Field) -> NDArray[np.float32]:
    agreed, own, its = (_around(np.real(a * np.conj(b))) for a, b in ((one, other), (one, one), (other, other)))
    return np.asarray(agreed / np.sqrt(own * its + 1e-6), np.float32)


def _around(values: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(np.asarray(values, np.float32), (0, 0), _WINDOW), np.float32)


def _moved(field: Field, by: complex) -> Field:
    """What lies so far on."""
    matrix = np.array([[1, 0, by.real], [0, 1, by.imag]])
    pair = np.ascontiguousarray(field).view(np.float32).reshape(*field.shape, 2)
    return np.ascontiguousarray(warp(pair, matrix, field.shape, 0), np.float32).view(np.complex64)[..., 0]


def _faded(field: Field, by: complex) -> Field:
    """Under a Gaussian along that line."""
    down, across = (2 * side for side in field.shape)
    rows, columns = np.fft.fftfreq(down)[:, None], np.fft.fftfreq(across)[None]
    kept = np.exp(-2 * (np.pi * _FADE * (columns * by.real + rows * by.imag)) ** 2)
    found = np.fft.ifft2(np.fft.fft2(field, (down, across)) * kept)
    return np.asarray(found[: field.shape[0], : field.shape[1]], np.complex64)
