"""What light, lens and sensor do to a picture. numpy and OpenCV only; nothing moves, so no truth changes.

`frame` draws what is new in each picture, `camera` what stays the same in all pictures of one camera: both are
generators. Strengths are above 0 and up to 1. Lengths are shares of the longer side.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import cv2
import numpy as np
from numpy.typing import NDArray

from models.prediction import Image

_OFFSET, _CONTRAST, _GAMMA = 50.0, 0.45, 0.25  # grey levels; logarithms of the gain about mid-grey, of the exponent
_MID_GREY = 128.0
_PATH = 0.03  # that a part moves while the shutter is open
_RADIUS = 0.008  # of the disc that a point becomes
_DIRECT_PX = 10.0  # what is smeared over more is slow to compute at once
_SHOT, _READ = 16.0, 5.0  # standard deviation of the noise in white, and in black, grey levels
_BEST, _WORST = 95, 10  # JPEG quality
_EXPOSURE, _BAND = 0.3, 0.2  # of the light, that frames and rows gain or lose


def brightness(image: Image, frame: np.random.Generator, strength: float) -> Image:
    """Brighter or darker, and with more or less contrast: gain about mid-grey, offset, and a little gamma."""
    size, sign = frame.uniform(0.4, 1, 2), frame.choice((-1, 1), 2)
    offset = strength * _OFFSET * size[0] * sign[0]
    gain = math.exp(strength * _CONTRAST * size[1] * sign[1])
    gamma = math.exp(strength * _GAMMA * float(frame.uniform(-1, 1)))
    levels = 255 * (np.arange(256) / 255) ** gamma
    levels = np.clip((levels - _MID_GREY) * gain + _MID_GREY + offset, 0, 255)
    return np.asarray(cv2.LUT(image, np.rint(levels).astype(np.uint8)), np.uint8)


def motion_blur(image: Image, camera: np.random.Generator, frame: np.random.Generator, strength: float) -> Image:
    """Smeared in the direction of the belt, which is the camera's; how far is the frame's."""
    angle = float(camera.uniform(0, math.pi))
    path_px = strength * _PATH * max(image.shape[:2]) * float(frame.uniform(0.7, 1))
    pieces = math.ceil(path_px / _DIRECT_PX)
    along = np.array([math.cos(angle), math.sin(angle)]) * path_px / pieces
    short = _spread(image, np.linspace(-0.5, 0.5, 64)[:, None] * along)
    if pieces == 1:
        return short
    # A long path is short ones in a row: its own kernel would take several times as long.
    steps = np.rint((np.arange(pieces) - (pieces - 1) / 2)[:, None] * along).astype(int)
    edge = int(np.abs(steps).max())
    height, width = image.shape[:2]
    wide = cv2.copyMakeBorder(short, edge, edge, edge, edge, cv2.BORDER_REFLECT_101)
    total = np.zeros(image.shape, np.float32)
    for x, y in steps.tolist():
        cv2.accumulate(wide[edge + y : edge + y + height, edge + x : edge + x + width], total)
    return np.asarray(cv2.convertScaleAbs(total, alpha=1 / pieces), np.uint8)


def defocus(image: Image, frame: np.random.Generator, strength: float) -> Image:
    """Every point becomes an even disc, as out of the plane of focus. Large discs are laid over a smaller picture."""
    height, width = image.shape[:2]
    radius_px = strength * _RADIUS * max(height, width) * float(frame.uniform(0.8, 1))
    shrink = math.ceil(radius_px * 2 / _DIRECT_PX)
    across = np.linspace(-1, 1, 48)
    disc = np.stack(np.meshgrid(across, across), axis=-1).reshape(-1, 2)
    disc = disc[np.hypot(*disc.T) <= 1] * radius_px / shrink
    if shrink == 1:
        return _spread(image, disc)
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(_spread(small, disc), (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def flicker(image: Image, camera: np.random.Generator, frame: np.random.Generator, strength: float) -> Image:
    """Lamps on mains: each frame is exposed differently, and a band runs over rows that are read one by one."""
    bands = float(camera.uniform(0.7, 2.5))  # over the height: mains against the time that reading takes
    phase = float(frame.uniform(0, 2 * math.pi))
    exposure = 1 + strength * _EXPOSURE * float(frame.uniform(-1, 1))
    rows = np.arange(image.shape[0]) / image.shape[0]
    gain = exposure * (1 + strength * _BAND * np.sin(2 * math.pi * bands * rows + phase))
    lit = image * gain.astype(np.float32)[:, None, None]
    return np.asarray(cv2.convertScaleAbs(lit), np.uint8)


def noise(image: Image, frame: np.random.Generator, strength: float) -> Image:
    """Of photons, which grows with the root of the light, and of reading: sigma^2 = read^2 + shot^2 * level / 255.

    The linear model of EMVA standard 1288, without quantization. The channels of a grey picture share it: they are one.
    """
    variance = _READ**2 + _SHOT**2 * np.arange(256) / 255
    sigma = (strength * np.sqrt(variance)).astype(np.float32)
    grey = _is_grey(image)
    layer = np.ascontiguousarray(image[:, :, 0]) if grey else image
    drawn = _normal()[frame.integers(0, 2**16, layer.shape, np.uint16)]
    noisy = cv2.add(layer, cv2.multiply(cv2.LUT(layer, sigma), drawn), dtype=cv2.CV_8U)
    return np.asarray(cv2.merge([noisy] * 3) if grey else noisy, np.uint8)


def jpeg(image: Image, strength: float) -> Image:
    """Compressed and read again."""
    quality = round(_BEST + strength * (_WORST - _BEST))
    packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)


def _spread(image: Image, points: NDArray[np.float64]) -> Image:
    """Every pixel's light goes in equal parts to `points` (n, 2), x and y px away, shared by four pixels."""
    reach = math.ceil(np.abs(points).max())
    kernel = np.zeros((2 * reach + 2, 2 * reach + 2), np.float32)  # one more than is used: neighbours that get nothing
    left, top = np.floor(points).astype(int).T
    right, down = (points - np.floor(points)).T
    for x, along in ((0, 1 - right), (1, right)):
        for y, across in ((0, 1 - down), (1, down)):
            np.add.at(kernel, (top + reach + y, left + reach + x), along * across / len(points))
    return np.asarray(cv2.filter2D(image, -1, kernel[:-1, :-1], borderType=cv2.BORDER_REFLECT_101), np.uint8)


def _is_grey(image: Image) -> bool:
    blue, green, red = cv2.split(image)
    return np.array_equal(blue, green) and np.array_equal(green, red)


@lru_cache(maxsize=1)
def _normal() -> NDArray[np.float32]:
    """Values of the normal distribution at 2^16 places of equal chance: drawn by index, they cost a fifth."""
    inverse = NormalDist().inv_cdf
    values = np.array([inverse((place + 0.5) / 2**16) for place in range(2**16)], np.float32)
    values.flags.writeable = False
    return values
