"""Good pictures with painted defects: what a fit without photographs of defects can ask how well it decides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.prediction import Image
from models.upright import Mask
from trainer.anomaly.defects import Painter
from trainer.synth.arrays import f32

_TRIES = 12
_LEAST_PX = 12  # of a defect that must lie on the part


def painted(images: Sequence[Image], mask: Mask | None, seed: int) -> list[Image]:
    """Each of them with one defect, of which a bit at least lies on the part where `mask` (H, W) says what that is."""
    painter = Painter(seed)
    return [_painted(image, mask, painter, np.random.default_rng((seed, key))) for key, image in enumerate(images)]


def _painted(image: Image, mask: Mask | None, painter: Painter, rng: np.random.Generator) -> Image:
    made = image
    for _ in range(_TRIES):
        rgb = f32(image[:, :, ::-1].transpose(2, 0, 1) / np.float32(255))
        where = np.zeros(image.shape[:2], np.float32)
        painter.blemish(rgb, where, rng)
        made = np.ascontiguousarray(np.round(255 * rgb).transpose(1, 2, 0)[:, :, ::-1], np.uint8)
        if mask is not None:
            made[mask == 0], where = image[mask == 0], where * mask
        if where.sum() >= _LEAST_PX:
            break
    return made
