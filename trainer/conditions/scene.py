"""What lies under the camera changes: the background, the part's place, its turn. numpy and OpenCV only.

Each takes a generator that is the picture's own, and a strength above 0 and up to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from models.prediction import Image
from trainer.conditions.labelled import Labelled
from trainer.conditions.part import Mask

_SHEETS = 8  # rectangles at full strength
_SHEET_SIDES = (0.1, 0.5)  # of the picture's
_COLOUR = 1.6  # times the strength: how far the background goes towards the drawn colours
_SHINE = (0.3, 1.5)  # how much of the background's own light and shade a sheet shows
_SOFT = 0.004  # of the longer side: the edge between part and new background
_CROP = (0.25, 0.5)  # of the sides, at full strength: what a crop takes away
_OFF = 0.5  # of the way from the centre to the farthest place, at least
_CUT = 0.1  # of the part, at full strength: what a crop may cut off
_TURN_DEG = 45.0
Span = tuple[float, float]  # from, to, px


def background(image: Image, part: Mask | None, rng: np.random.Generator, strength: float) -> Image:
    """Coloured rectangles behind the part: sheets with the light, shade and grain of what they lie on.

    Not a pixel of `part` changes. Where there is none, the picture stays as it is.
    """
    if part is None:
        return image
    ground = _ground(image)
    changed = image.copy()
    for _ in range(int(np.ceil(_SHEETS * strength))):
        _lay_sheet(changed, image, ground, rng, min(1.0, _COLOUR * strength))
    reach = 2 * max(1, round(_SOFT * max(image.shape[:2]))) + 1
    keep = np.minimum(cv2.blur(part, (reach, reach)).astype(np.float32) * np.float32(2 / 255), 1)
    result = cv2.blendLinear(image, changed, keep, 1 - keep)
    return np.asarray(cv2.copyTo(image, part, result), np.uint8)


def position(picture: Labelled, part: Mask | None, rng: np.random.Generator, strength: float) -> Labelled:
    """A crop off the centre, enlarged to the size of the picture.

    The part stays whole where the crop has room for it; else at most a tenth of it, times the strength, is cut off, and
    the crop is as large as that takes. Where no part can be told from its background, the crop lies anywhere.
    """
    height, width = picture.image.shape[:2]
    share = 1 - strength * float(rng.uniform(*_CROP))
    off = rng.uniform(_OFF, 1, 2) * rng.choice((-1, 1), 2)
    reaches = [_Reach.of(part, axis, _CUT * strength, side) for axis, side in ((1, width), (0, height))]
    share = max(share, *(reach.least_px / reach.side_px for reach in reaches))
    starts = [reach.start(share, float(where)) for reach, where in zip(reaches, off, strict=True)]
    matrix = np.array([[1 / share, 0, 0], [0, 1 / share, 0]])
    # Edges go to edges; the matrix moves the middles of pixels, which are half a pixel away from them.
    matrix[:, 2] = (0.5 - np.array(starts)) / share - 0.5
    return picture.moved(matrix)


def rotation(picture: Labelled, rng: np.random.Generator, strength: float) -> Labelled:
    """Turned about the middle, either way."""
    height, width = picture.image.shape[:2]
    angle = strength * _TURN_DEG * float(rng.uniform(0.3, 1) * rng.choice((-1, 1)))
    middle = ((width - 1) / 2, (height - 1) / 2)
    return picture.moved(np.asarray(cv2.getRotationMatrix2D(middle, angle, 1), np.float64))


def _ground(image: Image) -> NDArray[np.float32]:
    """The border's median colour, (3,)."""
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return np.asarray(np.median(border, axis=0), np.float32)


def _lay_sheet(onto: Image, image: Image, ground: NDArray[np.float32], rng: np.random.Generator, reach: float) -> None:
    """Draws one into `onto`. Its colour is `reach` of the way from the background's to one that is drawn."""
    height, width = image.shape[:2]
    sides = rng.uniform(*_SHEET_SIDES, 2) * max(height, width)
    middle, turn = rng.uniform(0, 1, 2) * (width, height), float(rng.uniform(-45, 45))
    colour = ground + reach * (rng.uniform(0, 255, 3) - ground)
    corners = cv2.boxPoints(((float(middle[0]), float(middle[1])), (float(sides[0]), float(sides[1])), turn))
    left, top = np.maximum(np.floor(corners.min(axis=0)) - 1, 0).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 2
    place = np.s_[top:bottom, left:right]
    levels = np.arange(256)[:, None] - ground
    shades = np.clip(colour + levels * np.clip(colour / np.maximum(ground, 1), *_SHINE), 0, 255)
    sheet = cv2.LUT(image[place], np.rint(shades).astype(np.uint8)[None])
    cover = np.zeros(sheet.shape[:2], np.uint8)
    fixed = np.rint((corners - (left, top)) * 16).astype(np.int32)  # sixteenths of a pixel
    cv2.fillConvexPoly(cover, fixed, 255, cv2.LINE_AA, 4)
    share = cover.astype(np.float32) * np.float32(1 / 255)
    onto[place] = cv2.blendLinear(sheet, onto[place], share, 1 - share)


@dataclass(frozen=True, slots=True)
class _Reach:
    """From where to where a part reaches along one side of its picture, px."""

    side_px: int
    whole: Span | None  # None: there is no part to keep
    least: Span  # what must not be cut off

    @property
    def least_px(self) -> float:
        return self.least[1] - self.least[0]

    @classmethod
    def of(cls, part: Mask | None, axis: int, cut: float, side_px: int) -> Self:
        """A quarter of `cut`, a share of the part, may be cut off at each of its four ends."""
        if part is None:
            return cls(side_px, None, (0.0, 0.0))
        share = np.cumsum((part > 0).sum(axis=1 - axis)) / np.count_nonzero(part)
        at = np.searchsorted(share, (1e-9, 1 - 1e-9, cut / 4, 1 - cut / 4)).astype(float)
        return cls(side_px, (at[0], at[1] + 1), (at[2], at[3] + 1))

    def start(self, share: float, off: float) -> float:
        """Where a window of `share` of the side begins, px: `off` of the way from the middle of where it may."""
        window_px = share * self.side_px
        low, high = 0.0, self.side_px - window_px
        if self.whole is not None:
            begin, end = self.whole if self.whole[1] - self.whole[0] <= window_px else self.least
            low, high = max(low, end - window_px), min(high, begin)
        return (low + high) / 2 + off * (high - low) / 2
