"""Whether a picture is fit to be judged: measured on the frame, compared with what the model was trained on.

`measure` runs in the camera's process, once per frame, and looks at a part of the pixels only: about
0.35 ms for 1280 x 1024. `unfit` runs on the `inspect` thread. A picture that is unfit is `unknown`: the
model never saw its like, and a score that it gives means nothing.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from models.base import Frozen
from models.drift import Usual, usual_of
from models.prediction import Image
from models.verdict import Reason

MIN_IMAGES: Final = 5  # fewer show no scatter: the interval below would be wider than any fault
COVERAGE, CONFIDENCE = 0.99, 0.95  # as trainer/threshold.py
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


@dataclass(frozen=True, slots=True)
class Health:
    """What one picture measures. Plain numbers: they cross from the camera's process as JSON."""

    brightness: float  # mean grey value, 0 to 255
    contrast: float  # of part and background, as a share of the brightness
    sharpness_x: float  # along the rows: 1/9 where edges rise over 6 px or more, up to 2/3 where within one
    sharpness_y: float  # along the columns: a belt that moved blurs one direction only
    centre_x: float  # of the part, as a share of the frame's width
    centre_y: float  # as a share of its height
    extent: float  # mean width of the part over all directions, as a share of the frame's diagonal


class Range(Frozen):
    """What is fit, both ends included."""

    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} above high {self.high}: nothing would be fit")
        return self


class HealthLimits(Frozen):
    """What a model was trained on, widened by what so few images cannot have shown. Made by `limits_of`."""

    n_images: int = Field(ge=MIN_IMAGES)
    brightness: Range
    contrast_low: float  # more contrast, or a sharper picture, is no fault
    sharpness_x_low: float
    sharpness_y_low: float
    centre_x: Range
    centre_y: Range
    extent: Range
    # By name of the measure, where it scatters: what drift is measured against.
    usual: dict[str, Usual] = Field(default_factory=dict)


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


def limits_of(measures: Sequence[Health]) -> HealthLimits | None:
    """The limits that fit the pictures measured; None for fewer than 5, which say nothing of scatter.

    Light, focus and size scatter by many small causes: the two-sided normal tolerance interval, mean
    +- k s, holds 99 % of them with 95 % confidence. A session of pictures does not show a lamp that
    ages, so it is never narrower than a share of the mean: 20 % for the brightness, 30 % for the
    contrast, 15 % for the sharpness, 10 % for the extent. Where a part lies is bounded by what holds it
    and not normal: the range seen, wider on each side by 5 / n of itself (with 95 % confidence n places
    evenly spread leave less than that in all; David and Nagaraja, Order Statistics, 2003, section 2.3)
    and at least by 5 % of the frame. Every picture
    measured is fit; nothing half as bright, as rich in contrast or as sharp as the least of them is.
    """
    if len(measures) < MIN_IMAGES:
        return None
    brightness, contrast, sharpness_x, sharpness_y, centre_x, centre_y, extent = zip(
        *map(astuple, measures), strict=True
    )
    light = _scattered(brightness, 0.2)
    white = (max(brightness) + 255) / 2
    return HealthLimits(
        n_images=len(measures),
        brightness=Range(low=light.low, high=min(light.high, white)),
        contrast_low=_scattered(contrast, 0.3).low,
        sharpness_x_low=_scattered(sharpness_x, 0.15).low,
        sharpness_y_low=_scattered(sharpness_y, 0.15).low,
        centre_x=_placed(centre_x),
        centre_y=_placed(centre_y),
        extent=_scattered(extent, 0.1),
        usual=_usual(measures),
    )


def _usual(measures: Sequence[Health]) -> dict[str, Usual]:
    found = {name: usual_of([getattr(one, name) for one in measures]) for name in Health.__slots__}
    return {name: usual for name, usual in found.items() if usual is not None}


def _scattered(values: Sequence[float], least: float) -> Range:
    mean, lowest, highest = statistics.fmean(values), min(values), max(values)
    reach = max(tolerance_factor(len(values)) * statistics.stdev(values), least * mean)
    return Range(low=min(lowest, max(mean - reach, lowest / 2)), high=max(highest, mean + reach))


def _placed(values: Sequence[float]) -> Range:
    lowest, highest = min(values), max(values)
    wider = max(0.05, (highest - lowest) * 5 / len(values))
    return Range(low=lowest - wider, high=highest + wider)


def tolerance_factor(n: int) -> float:
    """k of the two-sided normal tolerance interval, mean +- k s, from `n` values: 3.6 for 20.

    Howe's approximation (Journal of the American Statistical Association 64, 1969) with the chi-square
    quantile of Wilson and Hilferty (PNAS 17, 1931); within 3 % of the exact one from n = 5.
    """
    normal, free = statistics.NormalDist(), n - 1
    chi_square = free * (1 - 2 / (9 * free) + normal.inv_cdf(1 - CONFIDENCE) * math.sqrt(2 / (9 * free))) ** 3
    return normal.inv_cdf((1 + COVERAGE) / 2) * math.sqrt(free * (1 + 1 / n) / chi_square)


def unfit(health: Health, limits: HealthLimits) -> tuple[Reason, str] | None:
    """Why a picture is not to be judged: a reason and one line for people; None when it is fit.

    What is no number is not fit.
    """
    if not health.brightness >= limits.brightness.low:
        return "too_dark", _light_words(health, limits)
    if not health.brightness <= limits.brightness.high:
        return "too_bright", _light_words(health, limits)
    place = _misplaced(health, limits)
    if not health.contrast >= limits.contrast_low:
        reason: Reason = "blurred" if place is None else "shifted"
        got = f"contrast {health.contrast:.2f} of the brightness, trained on {limits.contrast_low:.2f} or more"
        return reason, f"{got}; check that a part lies there, the lens for dirt, and the air for mist"
    for name, sharpness, low in (
        ("across", health.sharpness_x, limits.sharpness_x_low),
        ("down", health.sharpness_y, limits.sharpness_y_low),
    ):
        if not sharpness >= low:
            got = f"sharpness {sharpness:.3f} {name} the picture, trained on {low:.3f} or more"
            return "blurred", f"{got}; check the focus, the lens for dirt, and the exposure time of a moving part"
    return None if place is None else ("shifted", place)


def _light_words(health: Health, limits: HealthLimits) -> str:
    wanted = f"trained on {limits.brightness.low:.0f} to {limits.brightness.high:.0f}"
    return f"brightness {health.brightness:.0f} of 255, {wanted}; check the lamp and the exposure"


def _misplaced(health: Health, limits: HealthLimits) -> str | None:
    for got, wanted, where in (
        (health.centre_x, limits.centre_x, "the part's middle lies at {} of the width"),
        (health.centre_y, limits.centre_y, "the part's middle lies at {} of the height"),
        (health.extent, limits.extent, "the part reaches over {} of the frame"),
    ):
        if not wanted.low <= got <= wanted.high:
            seen = f"trained on {wanted.low:.0%} to {wanted.high:.0%}"
            return f"{where.format(f'{got:.0%}')}, {seen}; check the trigger, the fixture and where the camera looks"
    return None
