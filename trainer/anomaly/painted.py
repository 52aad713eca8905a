"""Good pictures with painted defects: what a fit without photographs of defects can ask how well it decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.manifest import Preprocess
from models.prediction import Image
from models.upright import Mask
from trainer.anomaly.defects import Painter
from trainer.quantize import shrunk
from trainer.synth.arrays import f32

_TRIES = 12
_LEAST_PX = 12  # of a defect that must lie on the part
_EACH = 4  # defects for each picture


@dataclass(frozen=True, slots=True)
class Painted:
    """Good pictures no larger than the network sees them, and the same with a defect each, a few times over."""

    good: list[Image]
    bad: list[list[Image]]


def painted(images: Sequence[Image], mask: Mask | None, spec: Preprocess, seed: int) -> Painted:
    """A bit of each defect at least lies on the part, where `mask` (H, W) of the images says what that is.

    They are painted at the network's size, as what is fainter or finer nobody finds at any precision.
    """
    good, painter = [shrunk(image, spec) for image in images], Painter(seed)
    bad = [
        [_painted(image, mask, painter, np.random.default_rng((seed, more, key))) for key, image in enumerate(good)]
        for more in range(_EACH)
    ]
    return Painted(good, bad)


def _painted(image: Image, mask: Mask | None, painter: Painter, rng: np.random.Generator) -> Image:
    made, part = image, _on_part(mask, image)
    for _ in range(_TRIES):
        rgb = f32(image[:, :, ::-1].transpose(2, 0, 1) / np.float32(255))
        where = np.zeros(image.shape[:2], np.float32)
        painter.blemish(rgb, where, rng)
        made = np.ascontiguousarray(np.round(255 * rgb).transpose(1, 2, 0)[:, :, ::-1], np.uint8)
        made[~part] = image[~part]
        if where[part].sum() >= _LEAST_PX:
            break
    return made


def _on_part(mask: Mask | None, image: Image) -> NDArray[np.bool_]:
    """(H, W) of the image."""
    height, width = image.shape[:2]
    if mask is None:
        return np.ones((height, width), bool)
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) > 0)
