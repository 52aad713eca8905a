import math

import numpy as np
import pytest

from models.prediction import Boxes, Prediction
from models.regions import MAX_REGIONS, regions_of
from models.scoring import judge


def seen(heat, height_px: int = 80, width_px: int = 160) -> Prediction:
    heatmap = np.asarray(heat, np.float32)
    return Prediction(float(heatmap.max()), heatmap, height_px, width_px, infer_s=0, decode_s=0)


def spots(*places: tuple[int, int, float], rows: int = 8, columns: int = 8) -> np.ndarray:
    heat = np.zeros((rows, columns), np.float32)
    for row, column, value in places:
        heat[row, column] = value
    return heat


def box(region) -> tuple[int, int, int, int]:
    return region.x_px, region.y_px, region.width_px, region.height_px


def test_a_patch_becomes_its_box_in_frame_pixels():
    (region,) = regions_of(seen(spots((2, 3, 0.75))), 0.5)
    assert box(region) == (60, 20, 20, 10)
    assert region.score == 0.75


def test_patches_that_touch_at_a_corner_are_one_region_with_the_highest_score():
    (region,) = regions_of(seen(spots((2, 3, 0.5), (3, 4, 0.75))), 0.5)
    assert box(region) == (60, 20, 40, 20)
    assert region.score == 0.75


def test_regions_come_worst_first():
    regions = regions_of(seen(spots((0, 0, 0.5), (4, 4, 0.875), (7, 7, 0.625))), 0.5)
    assert [region.score for region in regions] == [0.875, 0.625, 0.5]


def test_of_many_regions_the_worst_are_given():
    heat = np.zeros((16, 16), np.float32)
    heat[::2, ::2] = np.linspace(1, 2, 64).reshape(8, 8)
    regions = regions_of(seen(heat), 0.5)
    assert len(regions) == MAX_REGIONS
    assert min(region.score for region in regions) == np.sort(heat[::2, ::2].ravel())[-MAX_REGIONS]


def test_equal_to_the_threshold_belongs_to_a_region():
    assert len(regions_of(seen(spots((1, 1, 0.5))), 0.5)) == 1


def test_where_nothing_reaches_the_threshold_the_worst_patch_is_given():
    (region,) = regions_of(seen(spots((5, 6, 0.25), (0, 0, 0.125))), 0.5)
    assert box(region) == (120, 50, 20, 10)
    assert region.score == 0.25


@pytest.mark.parametrize("grid", [1, 7, 28, 32, 48, 49, 56, 64])
@pytest.mark.parametrize(("height_px", "width_px"), [(1, 1), (3, 5), (49, 98), (480, 640), (1023, 1025), (3000, 4096)])
def test_a_heatmap_that_is_hot_all_over_gives_the_whole_frame(grid, height_px, width_px):
    """49 * (1 / 49) is not 1: the last pixel must not be lost to rounding."""
    (region,) = regions_of(seen(np.ones((grid, grid)), height_px, width_px), 0.5)
    assert box(region) == (0, 0, width_px, height_px)


@pytest.mark.parametrize(("height_px", "width_px"), [(1, 1), (2, 3), (5, 7), (31, 33), (1080, 1920)])
def test_every_box_lies_in_the_frame_and_is_not_empty(height_px, width_px):
    """Also where the frame is smaller than the heatmap."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        for region in regions_of(seen(rng.random((32, 24)), height_px, width_px), 0.9):
            x, y, width, height = box(region)
            assert width >= 1
            assert height >= 1
            assert 0 <= x < x + width <= width_px
            assert 0 <= y < y + height <= height_px


def detected(*found: tuple[tuple[float, float, float, float], float], height_px: int = 80, width_px: int = 160):
    """A prediction of boxes, given best first."""
    edges = np.array([edges for edges, _ in found], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score in found], np.float32)
    boxes = Boxes(edges, scores, tuple(f"kind {i}" for i in range(len(found))))
    best = float(scores[0]) if found else 0.0
    return Prediction(best, None, height_px, width_px, infer_s=0, decode_s=0, boxes=boxes)


def test_boxes_at_or_above_the_threshold_are_regions_with_their_label_worst_first():
    prediction = detected(((10, 20, 30, 50), 0.875), ((0, 0, 4, 4), 0.5), ((5, 5, 9, 9), 0.25))
    regions = regions_of(prediction, 0.5)
    assert [(*box(region), region.score, region.label) for region in regions] == [
        (10, 20, 20, 30, 0.875, "kind 0"),
        (0, 0, 4, 4, 0.5, "kind 1"),
    ]


def test_where_no_box_reaches_the_threshold_there_is_no_region():
    assert regions_of(detected(((0, 0, 4, 4), 0.25)), 0.5) == ()
    assert regions_of(detected(), 0.5) == ()


def test_of_many_boxes_the_worst_are_given():
    many = detected(*(((i, 0, i + 1, 1), 0.9 - i / 100) for i in range(40)))
    assert [region.x_px for region in regions_of(many, 0.1)] == list(range(MAX_REGIONS))


def test_a_box_is_compared_with_the_threshold_as_the_score_is():
    """In double precision: rounded to the precision of the boxes, this threshold would be met."""
    prediction = detected(((0, 0, 4, 4), 0.7))
    just_above = math.nextafter(prediction.score, 1)
    assert judge(prediction.score, just_above)[0] == "ok"
    assert regions_of(prediction, just_above) == ()
    assert judge(prediction.score, prediction.score)[0] == "ng"
    assert len(regions_of(prediction, prediction.score)) == 1


def test_a_box_grows_to_the_whole_pixels_that_it_touches():
    (region,) = regions_of(detected(((10.2, 20.9, 29.1, 49.5), 0.9)), 0.5)
    assert box(region) == (10, 20, 20, 30)


@pytest.mark.parametrize(("height_px", "width_px"), [(1, 1), (2, 3), (31, 33), (1080, 1920)])
def test_every_region_of_a_box_lies_in_the_frame_and_is_not_empty(height_px, width_px):
    rng = np.random.default_rng(0)
    for _ in range(100):
        x0, x1 = sorted(rng.random(2) * width_px)
        y0, y1 = sorted(rng.choice([0, 1, rng.random()], 2) * height_px)
        edges = (x0, y0, x1, y1)
        (region,) = regions_of(detected((edges, 0.9), height_px=height_px, width_px=width_px), 0.5)
        x, y, width, height = box(region)
        assert width >= 1
        assert height >= 1
        assert 0 <= x < x + width <= width_px
        assert 0 <= y < y + height <= height_px
