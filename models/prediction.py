"""What a model found in a frame, before anybody judged it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3), BGR


@dataclass(frozen=True, slots=True)
class Prediction:
    """Raw model numbers of one frame."""

    score: float  # higher is worse; may be NaN, which `scoring.judge` turns into `unknown`
    heatmap: NDArray[np.float32]  # (h, w) at feature resolution, same unit as the score
    frame_height_px: int
    frame_width_px: int
    infer_s: float  # seconds in the device
    decode_s: float  # seconds in Python after it
