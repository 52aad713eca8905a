"""Boxes drawn over a picture: what people look at where another model has a heatmap."""

from typing import Final

import cv2

from models.prediction import Boxes, Image

_SHOWN_FROM: Final = 0.2  # of the threshold: below it there is mostly noise
_RED, _AMBER = (60, 60, 230), (60, 180, 240)


def draw_boxes(image: Image, boxes: Boxes, ng_at_or_above: float, scale: float = 1.0) -> None:
    """Draws into `image`, uint8 (H, W, 3) BGR, which is `scale` times the size of the frame that was judged.

    Boxes at or above the threshold are red, those above a fifth of it thin and amber; each with its label
    and score. The best ones lie on top.
    """
    found = zip(boxes.xyxy_px.tolist(), boxes.scores.tolist(), boxes.labels, strict=True)
    for edges, score, label in reversed([one for one in found if one[1] > _SHOWN_FROM * ng_at_or_above]):
        is_ng = score >= ng_at_or_above
        _draw(image, [round(edge * scale) for edge in edges], f"{label} {score:.2f}", is_ng=is_ng)


def _draw(image: Image, edges: list[int], text: str, *, is_ng: bool) -> None:
    unit = max(image.shape[:2]) / 640
    colour, thickness = (_RED, max(2, round(2 * unit))) if is_ng else (_AMBER, 1)
    left, top, right, bottom = edges
    cv2.rectangle(image, (left, top), (right, bottom), colour, thickness)
    size, letter = max(0.3, 0.45 * unit), cv2.FONT_HERSHEY_SIMPLEX
    (width, height), below = cv2.getTextSize(text, letter, size, 1)
    # Above the box, or inside it at the picture's upper edge; never past the picture's right one.
    x, y = max(0, min(left, image.shape[1] - width)), (top - below if top - below >= height else top + height + below)
    cv2.putText(image, text, (x, y), letter, size, colour, max(1, round(unit)), cv2.LINE_AA)
