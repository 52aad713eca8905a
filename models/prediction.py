"""What a model found in a frame, before anybody judged it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3), BGR


@dataclass(frozen=True, slots=True)
class Boxes:
    """What a detector found, best first."""

    xyxy_px: NDArray[np.float32]  # (n, 4) left, top, right, bottom in frame pixels, inside the frame
    scores: NDArray[np.float32]  # (n,)
    labels: tuple[str, ...]  # (n,)


@dataclass(frozen=True, slots=True)
class Prediction:
    """Raw model numbers of one frame."""

    score: float  # higher is worse; may be NaN, which `scoring.judge` turns into `unknown`
    heatmap: (
        NDArray[np.float32] | None
    )  # (h, w) at feature resolution, same unit as the score; None for boxes and labels
    frame_height_px: int
    frame_width_px: int
    infer_s: float  # seconds in the device
    decode_s: float  # seconds in Python after it
    boxes: Boxes | None = None  # None for heatmaps and labels
    label: str | None = None  # of a classifier: the most probable kind of defect, whatever the score
    find_s: float = 0.0  # seconds in Python before the device: the part was found and laid upright
    lost: str | None = None  # why no part was found; then the score is NaN
