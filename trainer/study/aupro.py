"""How well heatmaps cover what is wrong."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.images import read_image
from trainer.evaluate import Scored, found_in

LIMIT = 0.3  # of the background's pixels
_SIDE_PX = 256  # of what is compared: regions stay; 46 frames take 1.2 s there and 5.9 s at 512 px
_ABOVE = 127


def aupro_of(scored: Iterable[tuple[Scored, Path | None]]) -> float | None:
    """Area under the per-region overlap up to 30 % false positive pixels, scaled to 0..1, by anomalib.

    P. Bergmann et al., Uninformed Students, CVPR 2020 (arXiv 1911.02357). Good pictures and those with a mask are
    counted, heatmaps resized to the frame, which is scaled down to 256 px, and pictures in which no part was found are
    not: what their heatmaps show is nothing. None where there is no heatmap or no mask.
    """
    heats, truths = [], []
    for item, mask in scored:
        if not found_in([item]):
            continue
        if item.prediction.heatmap is None:
            return None
        truth = _truth(item, mask)
        if truth is not None:
            heats.append(cv2.resize(item.prediction.heatmap, truth.shape[::-1], interpolation=cv2.INTER_LINEAR))
            truths.append(truth)
    if not any(truth.any() for truth in truths):
        return None
    return _aupro(heats, truths)


def _truth(item: Scored, mask: Path | None) -> NDArray[np.uint8] | None:
    """(h, w), 1 on defects; None where it is not known."""
    height, width = item.prediction.frame_height_px, item.prediction.frame_width_px
    scale = min(1.0, _SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if item.label == "good":
        return np.zeros(size[::-1], np.uint8)
    if mask is None:
        return None
    full = (read_image(mask)[:, :, 0] > _ABOVE).astype(np.float32)
    truth = np.asarray(cv2.resize(full, size, interpolation=cv2.INTER_AREA) > 0.25, np.uint8)
    return truth if truth.any() else None


def _aupro(heats: Sequence[NDArray[Any]], truths: Sequence[NDArray[np.uint8]]) -> float:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anomalib's imports deprecate each other at length
        from anomalib.metrics.aupro import _AUPRO

        metric = _AUPRO(fpr_limit=LIMIT)
        height, width = (max(truth.shape[axis] for truth in truths) for axis in (0, 1))
        lowest = min(float(heat.min()) for heat in heats)
        for heat, truth in zip(heats, truths, strict=True):  # frames of several sizes: the rest is background
            room = ((0, height - truth.shape[0]), (0, width - truth.shape[1]))
            metric.update(
                torch.from_numpy(np.pad(heat, room, constant_values=lowest))[None],
                torch.from_numpy(np.pad(truth, room))[None],
            )
        return float(metric.compute())
