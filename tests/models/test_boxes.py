import math

import numpy as np
import pytest

from models.boxes import boxes_of, score_of
from models.errors import ModelError
from models.manifest import BoxesDecoder
from models.prediction import Boxes

HEIGHT_PX, WIDTH_PX = 100, 200
DECODER = BoxesDecoder(kind="boxes", labels=("dent", "scratch"), score_floor=0.25)
WHOLE = (10, 20, 30, 50)


def read(*rows: tuple[tuple[float, float, float, float], float, int]) -> tuple[Boxes, float]:
    """Boxes and score of rows of (edges, score, label index)."""
    dets = np.array([[*edges, score] for edges, score, _ in rows], np.float32).reshape(1, -1, 5)
    labels = np.array([label for *_, label in rows], np.int64).reshape(1, -1)
    found = boxes_of(dets, labels, DECODER, HEIGHT_PX, WIDTH_PX)
    assert (found.xyxy_px.dtype, found.scores.dtype) == (np.float32, np.float32)
    assert found.xyxy_px.shape == (len(found.labels), 4)
    assert found.scores.shape == (len(found.labels),)
    return found, score_of(dets, found)


def test_a_box_keeps_its_place_its_score_and_gets_the_name_of_its_label():
    found, score = read((WHOLE, 0.75, 1))
    assert found.xyxy_px.tolist() == [list(WHOLE)]
    assert (found.scores.tolist(), found.labels, score) == ([0.75], ("scratch",), 0.75)


def test_boxes_come_best_first_with_their_labels_and_the_best_one_is_the_score():
    found, score = read(((1, 1, 2, 2), 0.5, 0), ((2, 2, 3, 3), 0.875, 1), ((3, 3, 4, 4), 0.625, 0))
    assert found.scores.tolist() == [0.875, 0.625, 0.5]
    assert found.xyxy_px[:, 0].tolist() == [2, 3, 1]
    assert found.labels == ("scratch", "dent", "dent")
    assert score == 0.875


def test_boxes_of_equal_score_stay_in_the_order_of_the_network():
    found, _ = read(*(((i, 0, i + 1, 1), 0.5, i % 2) for i in range(40)))
    assert found.xyxy_px[:, 0].tolist() == list(range(40))


def test_a_box_over_the_edge_of_the_frame_is_clipped_to_it():
    found, _ = read(((-5, -7, 900, 900), 0.5, 0), ((150, 90, 250, 130), 0.4, 0))
    assert found.xyxy_px.tolist() == [[0, 0, WIDTH_PX, HEIGHT_PX], [150, 90, WIDTH_PX, HEIGHT_PX]]


@pytest.mark.parametrize(
    "edges",
    [
        (10, 20, 10, 50),  # no width
        (10, 20, 30, 20),  # no height
        (30, 20, 10, 50),  # right before left
        (-30, 20, -10, 50),  # left of the frame: empty when clipped
        (WIDTH_PX, 20, WIDTH_PX + 9, 50),
        (10, HEIGHT_PX, 30, HEIGHT_PX + 9),
        (0, 0, 0, 0),
    ],
)
def test_an_empty_box_and_one_outside_the_frame_is_none(edges):
    found, score = read((edges, 0.9, 0), (WHOLE, 0.5, 1))
    assert (found.labels, score) == (("scratch",), 0.5)


def test_what_scores_at_or_under_the_floor_is_no_box_and_what_is_just_above_is_one():
    found, score = read((WHOLE, 0.25, 0), (WHOLE, 0.1, 0), (WHOLE, float(np.nextafter(np.float32(0.25), 1)), 1))
    assert found.labels == ("scratch",)
    assert score > 0.25


def test_the_padding_of_the_network_is_no_box_whatever_it_scores():
    found, score = read((WHOLE, 0.9, -1), (WHOLE, 0.5, 0))
    assert (found.labels, score) == (("dent",), 0.5)


@pytest.mark.parametrize("rows", [[], [(WHOLE, 0.1, 0)], [((0, 0, 0, 0), 0.0, -1)]])
def test_without_a_box_the_score_is_0(rows):
    found, score = read(*rows)
    assert (found.xyxy_px.shape, found.labels, score) == ((0, 4), (), 0.0)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("column", range(5))
@pytest.mark.parametrize("label", [0, -1])
def test_one_value_that_is_no_number_makes_the_score_nan_wherever_it_is(odd, column, label):
    """Also in a row that would have been dropped, and beside a box that is whole."""
    row = [*map(float, WHOLE), 0.1]
    row[column] = odd
    found, score = read((WHOLE, 0.9, 1), (tuple(row[:4]), row[4], label))
    assert math.isnan(score)
    assert found.labels == ("scratch",), "and it is drawn nowhere"


@pytest.mark.parametrize("score", [0.9, 0.01])
def test_a_label_that_the_manifest_does_not_name_is_refused(score):
    with pytest.raises(ModelError, match="boxes: label 2, the manifest names 0 to 1; make the bundle again"):
        read((WHOLE, 0.9, 0), (WHOLE, score, 2))


@pytest.mark.parametrize(
    ("dets", "labels"),
    [((1, 3, 4), (1, 3)), ((3, 5), (3,)), ((1, 3, 5), (1, 2)), ((1, 3, 5), (3,)), ((2, 3, 5), (2, 3)), ((5,), (1,))],
)
def test_outputs_of_another_shape_are_refused_with_what_was_wanted(dets, labels):
    with pytest.raises(ModelError, match=r"boxes: dets .*, labels .*, wanted \(1, n, 5\) and \(1, n\); make"):
        boxes_of(np.zeros(dets, np.float32), np.zeros(labels, np.int64), DECODER, HEIGHT_PX, WIDTH_PX)


def test_what_the_graph_gave_is_not_written_to():
    dets = np.array([[[-5, -5, 900, 900, 0.5], [1, 1, 2, 2, 0.9]]], np.float32)
    before = dets.copy()
    boxes_of(dets, np.zeros((1, 2), np.int64), DECODER, HEIGHT_PX, WIDTH_PX)
    np.testing.assert_array_equal(dets, before)


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint8])
def test_labels_of_any_kind_of_integer_are_read(kind):
    dets = np.array([[[*WHOLE, 0.5]]], np.float32)
    assert boxes_of(dets, np.ones((1, 1), kind), DECODER, HEIGHT_PX, WIDTH_PX).labels == ("scratch",)
