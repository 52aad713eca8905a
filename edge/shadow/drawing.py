"""The pictures of a frame of which a candidate says otherwise.

Its process makes them, of what nobody else wants of the processor: in the daemon they would cost the next part time.
"""

import io
from typing import NamedTuple

import numpy as np

from edge.evidence import png
from edge.pictures import jpeg
from models.prediction import Boxes, Image, Prediction


class Pictures(NamedTuple):
    """As they are kept."""

    frame: bytes  # PNG
    active: bytes  # JPEG of what each of the two found; empty where there is nothing to show
    candidate: bytes


class Found(NamedTuple):
    """What a model found, and its threshold."""

    prediction: Prediction | None
    ng_at_or_above: float | None


def draw(image: Image, active: Found, candidate: Found) -> Pictures:
    """Of a frame, uint8 (H, W, 3) BGR."""
    return Pictures(png(image), jpeg(image, *active), jpeg(image, *candidate))


def packed(prediction: Prediction | None) -> bytes:
    """What there is to draw of it; empty without any."""
    arrays: dict[str, np.ndarray] = {}
    if prediction is not None and prediction.heatmap is not None:
        arrays["heatmap"] = prediction.heatmap
    if prediction is not None and (boxes := prediction.boxes) is not None:
        arrays |= {"xyxy_px": boxes.xyxy_px, "scores": boxes.scores, "labels": np.array(boxes.labels, np.str_)}
    if not arrays:
        return b""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def unpacked(content: bytes, image: Image) -> Prediction | None:
    """As much of it as `packed` took, for that frame."""
    if not content:
        return None
    arrays = np.load(io.BytesIO(content), allow_pickle=False)
    boxes = None
    if "scores" in arrays:
        boxes = Boxes(arrays["xyxy_px"], arrays["scores"], tuple(arrays["labels"].tolist()))
    height_px, width_px = image.shape[:2]
    return Prediction(np.nan, arrays.get("heatmap"), height_px, width_px, infer_s=0.0, decode_s=0.0, boxes=boxes)
