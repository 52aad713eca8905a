"""A small data set for detectors: dark bars on a light ground, some with a bright mark, in MVTec AD's layout."""

from pathlib import Path

import cv2
import numpy as np

from models.prediction import Image
from tests import tiny

SIDE_PX = 128


def marked_set(root: Path, n_good: int = 12, n_bad: int = 8, n_test: int = 4, seed: int = 0) -> Path:
    """train/good, test/good, test/mark with masks in ground_truth/mark."""
    rng = np.random.default_rng(seed)
    for i in range(n_good):
        tiny.write_image(root / "train/good" / f"{i:03}.png", bar(rng)[0])
    for i in range(n_test):
        tiny.write_image(root / "test/good" / f"{i:03}.png", bar(rng)[0])
    for i in range(n_bad):
        image, mask = bar(rng, is_marked=True)
        tiny.write_image(root / "test/mark" / f"{i:03}.png", image)
        tiny.write_image(root / "ground_truth/mark" / f"{i:03}_mask.png", mask)
    return root


def bar(rng: np.random.Generator, *, is_marked: bool = False) -> tuple[Image, Image]:
    """The picture, and the mask of its mark."""
    image = (190 + rng.normal(0, 4, (SIDE_PX, SIDE_PX, 1))).repeat(3, axis=2).clip(0, 255).astype(np.uint8)
    mask = np.zeros_like(image)
    x, y = (int(v) for v in rng.integers(44, 84, 2))
    cv2.rectangle(image, (x - 38, y - 16), (x + 38, y + 16), (70, 70, 70), -1)
    if is_marked:
        left, top = x + int(rng.integers(-32, 10)), y + int(rng.integers(-12, -4))
        for picture, colour in ((image, (60, 60, 230)), (mask, (255, 255, 255))):
            cv2.rectangle(picture, (left, top), (left + 20, top + 14), colour, -1)
    return image, mask
