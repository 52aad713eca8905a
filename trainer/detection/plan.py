"""How large the network sees a part, and how long it is trained, where nobody says."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np

from models.precision import cpu_has_bf16
from trainer.annotations import Picture
from trainer.detection.config import STRIDE_PX, Plan
from trainer.options import DetectionOptions
from trainer.pose import Pose

SMALLEST_PX, LARGEST_PX = 320, 640
_BOX_PX = 16  # two cells of the finest features: what a small box should fill
_SMALL = 10  # percentile of the boxes
_STILL_DEG = 8.0  # parts are turned so far at least, for the sake of variety
_VALIDATIONS = 20
_PATIENCE = 10  # half of them: while the learning rate is high, one is much like the other
_CPU, _GPU = (1500, 4), (2000, 16)  # steps, pictures each
_MMDET = (4e-3, 8 * 32)  # learning rate, and pictures each


def side_for(pictures: Sequence[Picture]) -> int:
    """The side of the square that the network sees, in px: so large that all but the smallest boxes fill two cells."""
    shares = [
        (picture.boxes[:, 2:] - picture.boxes[:, :2]).max(axis=1) / max(picture.height_px, picture.width_px)
        for picture in pictures
    ]
    side = _BOX_PX / float(np.percentile(np.concatenate(shares), _SMALL))
    return whole_cells(float(np.clip(side, SMALLEST_PX, LARGEST_PX)))


def whole_cells(side_px: float) -> int:
    """The next side, in px, that the coarsest features divide."""
    return STRIDE_PX * math.ceil(side_px / STRIDE_PX)


def rate_for(batch: int) -> float:
    """mmdet's own learning rate for steps of `batch` pictures.

    Adam's steps are as noisy as before when it falls with the root of the batch (Malladi et al., arXiv 2205.10287).
    Four times as much, and half of the trainings on twenty screws did not begin to see in 1,000 steps.
    """
    rate, pictures = _MMDET
    return rate * math.sqrt(batch / pictures)


def plan_training(options: DetectionOptions, pose: Pose) -> Plan:
    """Steps and batch for the machine at hand, unless they were given."""
    import torch

    has_gpu = torch.cuda.is_available()
    steps, batch = _GPU if has_gpu else _CPU
    steps, batch = options.steps or steps, options.batch or batch
    return Plan(
        steps=steps,
        batch=batch,
        learning_rate=rate_for(batch),
        seed=options.seed,
        rotation_deg=max(_STILL_DEG, pose.rotation_deg),
        patience=_PATIENCE,
        validate_every=max(1, steps // _VALIDATIONS),
        workers=min(4, os.cpu_count() or 1) if has_gpu else 0,  # on a CPU they would take the cores from the network
        bf16=not has_gpu and cpu_has_bf16(),
    )
