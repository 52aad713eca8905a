"""Where on the frame a defect lies: connected parts of the heatmap at or above the threshold."""

import cv2
import numpy as np

from models.prediction import Prediction
from models.verdict import Region

MAX_REGIONS = 16  # a verdict is a message, not a picture


def regions_of(prediction: Prediction, ng_at_or_above: float) -> tuple[Region, ...]:
    """Boxes in frame pixels around what reaches the threshold, worst first, at most 16.

    The score may be a mean over several patches while none of them alone reaches the threshold;
    then the box around the single worst patch is given, so that an `ng` always points somewhere.
    """
    heat = prediction.heatmap
    hot = (heat >= min(ng_at_or_above, float(heat.max()))).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(hot, connectivity=8)
    regions = [_region(prediction, *(int(v) for v in stats[i, :4])) for i in range(1, count)]
    return tuple(sorted(regions, key=lambda region: -region.score)[:MAX_REGIONS])


def _region(prediction: Prediction, x: int, y: int, w: int, h: int) -> Region:
    rows, columns = prediction.heatmap.shape
    width_px, height_px = prediction.frame_width_px, prediction.frame_height_px
    x0, y0 = x * width_px // columns, y * height_px // rows
    return Region(
        x_px=x0,
        y_px=y0,
        width_px=max(1, (x + w) * width_px // columns - x0),
        height_px=max(1, (y + h) * height_px // rows - y0),
        score=float(prediction.heatmap[y : y + h, x : x + w].max()),
    )
