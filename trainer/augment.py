"""Makes the views of a good image that go into the bank."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from models.manifest import Augmentation
from models.prediction import Image


def views_of(image: Image, plan: Augmentation, rng: np.random.Generator) -> Iterator[Image]:
    """The image once per planned angle, each shifted and lit a little differently.

    The plain image comes first whenever 0 degrees is planned: it is the best evidence there is.
    """
    for angle in plan.angles_deg:
        if angle == 0:
            yield image
        else:
            move = rng.uniform(-plan.shift, plan.shift, 2)
            yield turned(
                image, angle, (float(move[0]), float(move[1])), 1 + float(rng.uniform(-1, 1)) * plan.brightness
            )


def turned(image: Image, angle_deg: float, shift: tuple[float, float] = (0, 0), gain: float = 1.0) -> Image:
    """The image turned about its middle, moved by shares of its sides, and multiplied by `gain`.

    What comes into the picture is mirrored at the edge: a flat fill would look like a defect.
    """
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle_deg, 1)
    matrix[:, 2] += (shift[0] * width, shift[1] * height)
    moved = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(cv2.convertScaleAbs(moved, alpha=gain), np.uint8)
