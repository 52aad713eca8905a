"""Small parts to learn from: a brushed plate with a bright disc, which a hole makes bad."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from models.prediction import Image
from tests.tiny import write_image

SIDE_PX = 128
N_TRAIN, N_TEST, N_HOLES = 8, 4, 4


@dataclass(frozen=True)
class Plates:
    """A data set in MVTec AD's layout, with masks."""

    root: Path

    @property
    def train(self) -> list[Path]:
        return sorted((self.root / "train/good").iterdir())

    @property
    def good(self) -> list[Path]:
        return sorted((self.root / "test/good").iterdir())

    @property
    def holes(self) -> list[Path]:
        return sorted((self.root / "test/hole").iterdir())


def plate(seed: int, *, hole: bool = False, height_px: int = SIDE_PX, width_px: int = SIDE_PX) -> Image:
    """A good plate; with `hole`, a bad one. Same seed, same plate."""
    rng = np.random.default_rng(seed)
    brushed = cv2.GaussianBlur(rng.normal(0, 40, (height_px, width_px)).astype(np.float32), (9, 1), 0)
    grey = 90 + brushed + np.float32(rng.uniform(-3, 3))
    middle = (width_px // 2 + int(rng.integers(-2, 3)), height_px // 2 + int(rng.integers(-2, 3)))
    cv2.circle(grey, middle, min(height_px, width_px) // 4, 200, -1, cv2.LINE_AA)
    if hole:
        cv2.circle(grey, hole_of(seed, height_px, width_px), min(height_px, width_px) // 14, 5, -1, cv2.LINE_AA)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def hole_of(seed: int, height_px: int = SIDE_PX, width_px: int = SIDE_PX) -> tuple[int, int]:
    """Where (x, y) the hole of this seed is: on the disc."""
    angle = np.random.default_rng((seed, 1)).uniform(0, 2 * np.pi)
    away = min(height_px, width_px) / 8
    return int(width_px / 2 + away * np.cos(angle)), int(height_px / 2 + away * np.sin(angle))


def mask_of(seed: int) -> Image:
    mask = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    cv2.circle(mask, hole_of(seed), SIDE_PX // 14, (255, 255, 255), -1)
    return mask


def make_plates(root: Path) -> Plates:
    for i in range(N_TRAIN):
        write_image(root / f"train/good/{i:03}.png", plate(i))
    for i in range(N_TEST):
        write_image(root / f"test/good/{i:03}.png", plate(100 + i))
    for i in range(N_HOLES):
        write_image(root / f"test/hole/{i:03}.png", plate(200 + i, hole=True))
        write_image(root / f"ground_truth/hole/{i:03}_mask.png", mask_of(200 + i))
    return Plates(root)


def make_good(folder: Path, count: int) -> Path:
    """`count` good plates as plain images in `folder`."""
    for i in range(count):
        write_image(folder / f"{i:03}.png", plate(i))
    return folder
