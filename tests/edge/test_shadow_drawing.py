"""What a candidate's process draws, of what the daemon sends it."""

import cv2
import numpy as np
import pytest

from edge.pictures import jpeg
from edge.shadow.drawing import Found, draw, packed, unpacked
from models.prediction import Boxes, Prediction
from tests import tiny

IMAGE = tiny.frame(tiny.NG)
SIDE = tiny.SIDE_PX
HEATMAP = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
BOXES = Boxes(np.float32([[1, 2, 20, 30], [3, 4, 9, 9]]), np.float32([0.9, 0.4]), ("scratch", "傷"))


def found(heatmap: np.ndarray | None = None, boxes: Boxes | None = None) -> Prediction:
    return Prediction(0.9, heatmap, SIDE, SIDE, infer_s=0.01, decode_s=0.001, boxes=boxes)


@pytest.mark.parametrize("prediction", [found(HEATMAP), found(boxes=BOXES)])
def test_what_the_active_model_found_is_drawn_there_as_it_would_be_here(prediction):
    sent = unpacked(packed(prediction), IMAGE)
    assert sent is not None
    assert jpeg(IMAGE, sent, 0.5) == jpeg(IMAGE, prediction, 0.5) != jpeg(IMAGE, found(), 0.5)


@pytest.mark.parametrize("prediction", [None, found()])
def test_where_there_is_nothing_to_draw_nothing_is_sent(prediction):
    assert packed(prediction) == b""
    assert unpacked(b"", IMAGE) is None


def test_the_frame_is_kept_to_the_last_bit_and_each_ones_find_beside_it():
    pictures = draw(IMAGE, Found(found(HEATMAP), 0.5), Found(None, None))
    assert (cv2.imdecode(np.frombuffer(pictures.frame, np.uint8), cv2.IMREAD_COLOR) == IMAGE).all()
    assert pictures.active == jpeg(IMAGE, found(HEATMAP), 0.5)
    assert pictures.candidate == b""
