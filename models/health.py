"""Whether a picture is fit to be judged: what is measured on it (models/measure.py) against what the model was trained
on. Rules without I/O.

A picture that is unfit is `unknown`: the model never saw its like, and a score that it gives means nothing.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Final, Self

from pydantic import Field, model_validator

from models.base import Frozen
from models.drift import Usual, usual_of
from models.verdict import Reason

MIN_IMAGES: Final = 5  # fewer show no scatter: the interval below would be wider than any fault
COVERAGE, CONFIDENCE = 0.99, 0.95  # as trainer/threshold.py


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
