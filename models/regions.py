"""Where on the frame a defect lies: connected parts of the heatmap, or boxes, at or above the threshold."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from models.prediction import Boxes, Prediction
from models.verdict import Region

MAX_REGIONS = 16  # a verdict is a message, not a picture


def regions_of(prediction: Prediction, ng_at_or_above: float) -> tuple[Region, ...]:
    """Boxes in frame pixels around what reaches the threshold, worst first, at most 16.

    A heatmap's score may be a mean over several patches while none of them alone reaches the threshold;
    then the box around the single worst patch is given, so that an `ng` always points somewhere.
    """
    if prediction.boxes is not None:
        return _of_boxes(prediction.boxes, prediction.frame_height_px, prediction.frame_width_px, ng_at_or_above)
    return () if prediction.heatmap is None else _of_heatmap(prediction, prediction.heatmap, ng_at_or_above)


def _of_boxes(boxes: Boxes, height_px: int, width_px: int, ng_at_or_above: float) -> tuple[Region, ...]:
    """As they come, which is worst first; each grows to whole pixels."""
    regions: list[Region] = []
    for edges, score, label in zip(boxes.xyxy_px.tolist(), boxes.scores.tolist(), boxes.labels, strict=True):
        if score < ng_at_or_above or len(regions) == MAX_REGIONS:  # in full precision, as `judge` compares
            break
        x, width = _whole(edges[0], edges[2], width_px)
        y, height = _whole(edges[1], edges[3], height_px)
        regions.append(Region(x_px=x, y_px=y, width_px=width, height_px=height, score=score, label=label))
    return tuple(regions)


def _whole(low_px: float, high_px: float, side_px: int) -> tuple[int, int]:
    """First pixel and count of those that an interval touches, at least one, within the side."""
    first = min(max(math.floor(low_px), 0), side_px - 1)
    return first, max(1, min(math.ceil(high_px), side_px) - first)


def _of_heatmap(prediction: Prediction, heat: NDArray[np.float32], ng_at_or_above: float) -> tuple[Region, ...]:
    hot = (heat >= min(ng_at_or_above, float(heat.max()))).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(hot, connectivity=8)
    regions = [_region(prediction, heat, stats[i, :4].tolist()) for i in range(1, count)]
    return tuple(sorted(regions, key=lambda region: -region.score)[:MAX_REGIONS])


def _region(prediction: Prediction, heat: NDArray[np.float32], cells: list[int]) -> Region:
    x, y, w, h = cells
    rows, columns = heat.shape
    width_px, height_px = prediction.frame_width_px, prediction.frame_height_px
    x0, y0 = x * width_px // columns, y * height_px // rows
    return Region(
        x_px=x0,
        y_px=y0,
        width_px=max(1, (x + w) * width_px // columns - x0),
        height_px=max(1, (y + h) * height_px // rows - y0),
        score=float(heat[y : y + h, x : x + w].max()),
    )
