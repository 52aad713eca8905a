"""How much of a picture's fine contrast is left when a network looks at fewer pixels of it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.prediction import Image

_BLOCK_PX = 16
_MOST_NOISE = 6.0  # grey levels


def detail_kept(image: Image, size_px: int) -> float:
    """Share of the fine contrast (below 1/32 of the picture) that survives scaling to `size_px`, 0 to 1.

    The sensor's noise is estimated and taken out, else a noisy camera would ask for more pixels.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    longest = max(grey.shape)
    if size_px >= longest:
        return 1.0
    scale = size_px / longest
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    back = cv2.resize(small, (grey.shape[1], grey.shape[0]), interpolation=cv2.INTER_LINEAR)
    coarse = cv2.GaussianBlur(grey, (0, 0), longest / 64)
    missing, fine = grey - np.asarray(back, np.float32), grey - np.asarray(coarse, np.float32)
    lost, all_detail = _power(missing, _noise(missing)), _power(fine, _noise(missing))
    return float(np.clip(1 - lost / max(all_detail, 1e-6), 0, 1))


def _power(residual: NDArray[np.float32], noise: float) -> float:
    return max(float((residual**2).mean()) - noise**2, 0.0)


def _noise(residual: NDArray[np.float32]) -> float:
    """The sensor's, from the quietest tenth of 16 px blocks, and never above what cameras show.

    On a part that is texture all over no block is quiet; its contrast must not pass for noise.
    """
    rows, columns = (side // _BLOCK_PX for side in residual.shape)
    if not rows or not columns:
        return 0.0
    blocks = residual[: rows * _BLOCK_PX, : columns * _BLOCK_PX].reshape(rows, _BLOCK_PX, columns, _BLOCK_PX)
    return min(float(np.quantile(blocks.std(axis=(1, 3)), 0.1)), _MOST_NOISE)
