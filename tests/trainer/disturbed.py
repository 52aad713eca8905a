"""Pictures for the tests of conditions: a part on a card, with a red defect that is found again by its colour."""

import cv2
import numpy as np

from models.prediction import Image
from trainer.conditions import Labelled

CARD, PART = (186, 190, 194), (70, 74, 78)
RED = (20, 20, 250)


def card(height_px: int = 240, width_px: int = 240, seed: int = 0, colour: tuple[int, ...] = CARD) -> Image:
    """Plain, a little noisy, and lit from the left."""
    noise = np.random.default_rng(seed).normal(0, 2, (height_px, width_px, 3))
    slope = np.linspace(6, -6, width_px)[None, :, None]
    return (np.array(colour) + slope + noise).clip(0, 255).astype(np.uint8)


def with_part(image: Image, middle=(100, 120), sides=(110, 44), turn_deg=25.0) -> tuple[Image, np.ndarray]:
    """The picture with a dark part on it, and where that is, (h, w) bool."""
    where = np.zeros(image.shape[:2], np.uint8)
    corners = cv2.boxPoints((middle, sides, turn_deg))
    cv2.fillConvexPoly(where, np.rint(corners).astype(np.int32), 1)
    grain = np.random.default_rng(1).normal(0, 5, image.shape)
    part = (np.array(PART) + grain).clip(0, 255).astype(np.uint8)
    return np.where(where[:, :, None] > 0, part, image), where > 0


def marked(*, is_disc: bool = False, at=(96, 112), half: int = 9) -> Labelled:
    """A part with a red square or disc, its box of class 3 and its mask."""
    image, _ = with_part(card())
    mask = np.zeros(image.shape[:2], np.uint8)
    for picture, colour in ((image, RED), (mask, 255)):
        if is_disc:
            cv2.circle(picture, at, half, colour, -1)
        else:
            cv2.rectangle(picture, (at[0] - half, at[1] - half), (at[0] + half, at[1] + half), colour, -1)
    image.flags.writeable = mask.flags.writeable = False  # nobody may write into a picture that was given
    return Labelled.of(image, np.array([box_of(mask > 0)]), np.array([3]), mask)


def is_red(image: Image) -> np.ndarray:
    return image[:, :, 2].astype(int) - image[:, :, 1] > 90


def box_of(where: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(where)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union."""
    return float((one & other).sum() / (one | other).sum())


def grown(where: np.ndarray, reach_px: int) -> np.ndarray:
    side = 2 * reach_px + 1
    return cv2.dilate(where.astype(np.uint8), np.ones((side, side), np.uint8)) > 0


def agree(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two areas differ by a pixel at their edges, at most."""
    return bool((grown(one, 1) | ~other).all() and (grown(other, 1) | ~one).all())
