"""Measures a picture: its light, its focus, and where the part lies.

Runs in the camera's process, once per frame, and looks at a part of the pixels only: about 0.35 ms for 1280 x 1024.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from models.health import Health
from models.prediction import Image

_SPAN_PX = 6  # an edge in focus rises within less
_BANDS, _ACROSS = 16, 5  # bands of 7 rows; every 5th of these rows is looked along
_GRID = 64  # rows and columns in which the part is looked for
_EDGE_SHARE, _CALM_SHARE = 0.02, 0.5  # of the places looked at
_MAX_PLACES = 1000
_CALM_STEP, _SAMPLE_STEP = 16, 11
_PART_FROM = 0.998  # of the cells of the grid: what differs in fewer is a speck and no part
_PART_SHARE = 0.4  # of the part's contrast: what differs so much from the background is part
_TRIM = 0.03  # of the part's area on each side: chips and dust do not move the part
_DRAWN = np.random.default_rng(0).random(_MAX_PLACES)  # the same in every frame; every n-th would beat with a pattern
_OFFSETS = np.arange(_SPAN_PX + 1)[:, None]
_ANGLES = np.arange(8) * np.pi / 8
_DIRECTIONS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)]).astype(np.float32)  # (2, 8)

Grey = NDArray[np.uint8]  # (h, w)


def measure(image: Image) -> Health:
    """Measures a frame, uint8 (H, W, 3) BGR of at least 1 x 1 pixel. The same frame gives the same numbers."""
    rows = _grey(image[:: max(1, image.shape[0] // _GRID)])
    sharpness_x, sharpness_y = _sharpness(image)
    brightness = float(cv2.mean(rows)[0])
    contrast, centre_x, centre_y, extent = _part(rows, image.shape[0], image.shape[1])
    return Health(brightness, contrast / max(brightness, 1.0), sharpness_x, sharpness_y, centre_x, centre_y, extent)


def _grey(image: Image) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def _sharpness(image: Image) -> tuple[float, float]:
    """Along rows and along columns, from bands of adjacent rows at full resolution."""
    height, width = image.shape[:2]
    if height <= _SPAN_PX or width <= _SPAN_PX:
        return 0.0, 0.0
    deep = _SPAN_PX + 1
    count = min(_BANDS, height // deep)
    step = height // count
    bands = image[: count * step].reshape(count, step * width, 3)[:, : deep * width]  # no copy of a whole frame
    grey = _grey(bands).reshape(-1, width)
    across = grey[::_ACROSS]
    rows = _apart(across[:, _SPAN_PX:], across[:, :-_SPAN_PX])
    columns = _apart(grey[_SPAN_PX::deep], grey[::deep])
    return _rise(grey.ravel(), rows, _ACROSS * width, 1), _rise(grey.ravel(), columns, deep * width, width)


def _apart(one: Grey, other: Grey) -> Grey:
    return np.asarray(cv2.absdiff(one, other), np.uint8)


def _rise(flat: NDArray[np.uint8], span: Grey, row_step: int, step: int) -> float:
    """How steeply edges rise: energy of the inner differences of neighbours over that of the whole span.

    4/36 where edges rise evenly over the span, up to 4/6 where they rise from one pixel to the next. It is
    measured only where the span differs most, so that the share of empty background does not matter, and
    is a ratio, so that light does not. What the calmer half of the places shows is noise, and is taken off
    both: noise differs from neighbour to neighbour as a sharp edge does. The outermost differences are
    left out, because a place is chosen by its two ends and so by the noise in them.

    The span at (y, x) begins in `flat` at y * row_step + x and goes on in steps of `step`.
    """
    sample = np.sort(span.ravel()[::_SAMPLE_STEP])
    edge, calm = (int(sample[int(share * (len(sample) - 1))]) for share in (1 - _EDGE_SHARE, _CALM_SHARE))
    if edge == 0:
        return 0.0  # nothing differs from anything
    edge_y, edge_x = _where(span >= edge)
    calm_y, calm_x = _where(span[:, ::_CALM_STEP] <= calm)
    inner, whole = _energies(flat, edge_y * row_step + edge_x, step)
    noise, _ = _energies(flat, calm_y * row_step + calm_x * _CALM_STEP, step)
    return (_SPAN_PX - 2) * max(0.0, inner - noise) / max(whole - noise, 1.0)


def _where(places: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the places, or of 1000 among them; many times as fast as np.nonzero."""
    flat = np.flatnonzero(places)
    if len(flat) > _MAX_PLACES:
        flat = flat[(_DRAWN * len(flat)).astype(np.intp)]
    rows, columns = np.divmod(flat, places.shape[1])
    return rows, columns


def _energies(flat: NDArray[np.uint8], starts: NDArray[np.intp], step: int) -> tuple[float, float]:
    """Mean squared difference of inner neighbours, and of the two ends."""
    values = flat[_OFFSETS * step + starts].astype(np.float32)
    inner, ends = (values[2:-1] - values[1:-2]).ravel(), values[-1] - values[0]
    return float(inner @ inner) / inner.size, float(ends @ ends) / ends.size


def _part(rows: Grey, height: int, width: int) -> tuple[float, float, float, float]:
    """Contrast in grey values, centre as shares of width and height, extent as share of the diagonal.

    The background is what most of the border shows. The centre is that of a shape of constant width
    around the part, the same however the part is turned: from the middle of its reach in 8 directions.
    """
    size = (min(width, _GRID), min(rows.shape[0], _GRID))
    grid = np.asarray(cv2.resize(rows, size, interpolation=cv2.INTER_AREA), np.uint8)
    border = np.sort(np.concatenate([grid[0], grid[-1], grid[:, 0], grid[:, -1]]))
    differs = _apart(grid, np.full_like(grid, border[len(border) // 2]))
    contrast = float(np.partition(differs.ravel(), at := int(_PART_FROM * (differs.size - 1)))[at])
    y, x = _where(differs > _PART_SHARE * contrast)
    if len(x) == 0:
        return contrast, 0.5, 0.5, 0.0
    places = np.stack([(x + 0.5) * (width / size[0]), (y + 0.5) * (height / size[1])]).astype(np.float32)
    reach = np.sort(_DIRECTIONS.T @ places)
    trimmed = int(_TRIM * (len(x) - 1))
    first, last = reach[:, trimmed], reach[:, -1 - trimmed]
    centre = _DIRECTIONS @ (first + last) / len(_ANGLES)  # least squares: middle of the reach = direction . centre
    extent = float(np.mean(last - first)) / math.hypot(width, height)
    return contrast, float(centre[0]) / width, float(centre[1]) / height, extent
