"""Which pixels are the part, once its images have been laid over each other: what nearly all of them agree on.

`find_part` takes a coloured sheet behind a part for a piece of it; in the next image the sheet lies elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.prediction import Image
from models.upright import SIDE, Mask, Place
from models.warp import matrix_of, middle_of
from trainer.conditions import find_part

_AGREED = 0.85  # of the images say of a pixel that it is part
_SEEN = 0.3  # of the images show a pixel at all
_VOTERS = 0.25  # of the images show their part at all
_MARGIN = 0.04  # of the part's length
_LEAST_SHARE, _MOST_SHARE = 0.15, 0.97  # of the view is part


@dataclass(frozen=True, slots=True)
class Outline:
    """A part in a frame of its own, its longer side across."""

    mask: Mask  # (H, W), 1 on the part; some room around it
    middle: complex  # of that frame, from the template's middle, px
    turn_rad: float  # of that frame against the template


def outline_of(images: Sequence[Image], places: Sequence[Place], shape: tuple[int, ...]) -> Outline | None:
    """Of images laid over a template (h, w) of cells as `places` say; None where they agree on no part."""
    part = _largest(_votes(images, places, shape))
    if part is None:
        return None
    hull = cv2.convexHull(np.argwhere(part)[:, ::-1].astype(np.float32))
    (x, y), (width, height), turn_deg = cv2.minAreaRect(hull)
    if width < height:
        width, height, turn_deg = height, width, turn_deg + 90
    margin = 2 * _MARGIN * width
    size_px = (round(width + margin), round(height + margin))
    matrix = cv2.getRotationMatrix2D((x, y), turn_deg, 1.0)
    matrix[:, 2] += np.array([(size_px[0] - 1) / 2 - x, (size_px[1] - 1) / 2 - y])
    mask = np.asarray(cv2.warpAffine(part, matrix, size_px, flags=cv2.INTER_LINEAR), np.uint8)
    if not _LEAST_SHARE <= float(mask.mean()) <= _MOST_SHARE:
        return None
    middle = complex(x - (part.shape[1] - 1) / 2, y - (part.shape[0] - 1) / 2)
    return Outline(mask, middle, float(np.deg2rad(turn_deg)))


def _largest(votes: Mask | None) -> Mask | None:
    """The largest piece alone."""
    if votes is None or not votes.any():
        return None
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(votes)
    return np.asarray(pieces == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()), np.uint8)


def _votes(images: Sequence[Image], places: Sequence[Place], shape: tuple[int, ...]) -> Mask | None:
    """The part's pixels where most images that show them agree, on the template's grid at the images' scale."""
    cell_px = max(images[0].shape[:2]) / SIDE
    size = (round(shape[0] * cell_px), round(shape[1] * cell_px))
    agreed, seen, voters = np.zeros(size, np.float32), np.zeros(size, np.float32), 0
    for image, place in zip(images, places, strict=True):
        if (part := find_part(image)) is None:
            continue
        voters += 1
        matrix = _to_image(place, size, image.shape[:2], cell_px)
        for total, plane in ((agreed, part), (seen, np.full_like(part, 255))):
            laid = cv2.warpAffine(plane, matrix, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
            np.add(total, laid > 127, out=total)
    if voters < max(2, _VOTERS * len(images)):
        return None
    votes = ((agreed >= _AGREED * seen) & (seen >= max(1.0, _SEEN * voters))).astype(np.uint8)
    reach = 2 * round(max(size) / 256) + 1
    return np.asarray(cv2.morphologyEx(votes, cv2.MORPH_OPEN, np.ones((reach, reach), np.uint8)), np.uint8)


def _to_image(place: Place, size: tuple[int, int], image_shape: tuple[int, ...], cell_px: float) -> NDArray[np.float64]:
    """(2, 3): pixels of the template's grid to pixels of the image."""
    arm = place.size * np.exp(1j * place.turn_rad)
    return matrix_of(arm, middle_of(image_shape) + cell_px * place.shift - arm * middle_of(size))
