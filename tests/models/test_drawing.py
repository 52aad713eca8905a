import numpy as np
import pytest

from models.drawing import draw_boxes
from models.prediction import Boxes


def drawn(*found: tuple[tuple[float, float, float, float], float], threshold: float = 0.5, scale: float = 1.0):
    """What differs from the picture, and the picture."""
    image = np.full((240, 320, 3), 100, np.uint8)
    edges = np.array([edges for edges, _ in found], np.float32).reshape(-1, 4)
    boxes = Boxes(edges, np.array([score for _, score in found], np.float32), ("spot",) * len(found))
    draw_boxes(image, boxes, threshold, scale)
    return (image != 100).any(axis=2), image


def is_red(pixel: np.ndarray) -> bool:
    return bool(pixel[2] > 200 and pixel[1] < 100)


WHOLE = (80, 100, 200, 180)


def test_a_box_at_the_threshold_is_thick_and_red_and_one_below_it_thin_and_not():
    thick, red = drawn((WHOLE, 0.5))
    thin, amber = drawn((WHOLE, 0.4))
    assert 2 * thin[140].sum() <= thick[140].sum()
    assert thin[140].sum() == 2, "a pixel on either side"
    assert is_red(red[140, 80])
    assert not is_red(amber[140, 80])


def test_a_box_below_a_fifth_of_the_threshold_is_not_drawn():
    assert not drawn((WHOLE, 0.09))[0].any()
    assert drawn((WHOLE, 0.11))[0].any()
    assert not drawn()[0].any()


def test_label_and_score_stand_above_the_box():
    changed, _ = drawn((WHOLE, 0.9))
    assert changed[80:96, 80:140].any()
    assert not changed[110:170, 90:190].any(), "what is inside can be seen"


@pytest.mark.parametrize("edges", [(0, 0, 320, 240), (0, 0, 3, 3), (310, 0, 320, 10), (317, 237, 320, 240)])
def test_label_and_score_are_to_be_read_also_at_the_edges_of_the_picture(edges):
    usual = drawn((WHOLE, 0.9))[0].sum() - drawn_frame(WHOLE)
    assert drawn((edges, 0.9))[0].sum() - drawn_frame(edges) > 0.6 * usual


def drawn_frame(edges: tuple[int, int, int, int]) -> int:
    """Pixels of the rectangle alone."""
    import cv2

    image = np.zeros((240, 320), np.uint8)
    cv2.rectangle(image, edges[:2], edges[2:], 255, 2)
    return int((image > 0).sum())


def test_boxes_lie_where_they_are_in_a_picture_of_another_size():
    changed, _ = drawn((tuple(2 * edge for edge in WHOLE), 0.4), scale=0.5)
    assert changed[140, [80, 200]].all()
    assert changed[[100, 180], 140].all()


def test_the_best_box_lies_on_top():
    _, image = drawn((WHOLE, 0.9), (WHOLE, 0.3))
    assert is_red(image[140, 80])
