import math

import numpy as np
import pytest

from models.manifest import PatchcoreDecoder
from models.patchcore import score_of


def score(heat: np.ndarray, top_patches: int) -> float:
    return score_of(heat.astype(np.float32), PatchcoreDecoder(kind="patchcore", top_patches=top_patches))


@pytest.mark.parametrize("top", [1, 2, 10, 63, 64])
def test_the_score_is_the_mean_of_the_largest_as_a_sort_gives_them(top):
    heat = np.random.default_rng(top).gamma(2, 1, (8, 8)).astype(np.float32)
    assert score(heat, top) == pytest.approx(np.sort(heat.ravel())[-top:].astype(np.float64).mean(), rel=1e-12)


def test_one_patch_is_the_maximum():
    heat = np.random.default_rng(0).random((5, 9), np.float32)
    assert score(heat, 1) == float(heat.max())


def test_more_patches_than_the_map_has_is_the_mean_of_the_map():
    assert score(np.array([[1.0, 2.0], [3.0, 6.0]]), 10_000) == 3.0


def test_where_patches_lie_does_not_matter():
    heat = np.random.default_rng(0).random((16, 16), np.float32)
    shuffled = np.random.default_rng(1).permutation(heat.ravel()).reshape(16, 16)
    assert score(heat, 10) == pytest.approx(score(shuffled, 10), rel=1e-15)


def test_equal_distances_give_that_distance():
    assert score(np.full((4, 4), 0.25), 3) == 0.25


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [(0, 0), (3, 2), (7, 7)])
@pytest.mark.parametrize("top", [1, 10, 64])
def test_one_value_that_is_no_number_makes_the_score_nan_wherever_it_is(odd, place, top):
    heat = np.random.default_rng(0).random((8, 8), np.float32)
    heat[place] = odd
    assert math.isnan(score(heat, top))


def test_the_heatmap_is_not_reordered_by_scoring_it():
    heat = np.random.default_rng(0).random((8, 8), np.float32)
    before = heat.copy()
    score(heat, 5)
    np.testing.assert_array_equal(heat, before)


def test_a_map_that_is_not_contiguous_scores_as_its_copy():
    heat = np.random.default_rng(0).random((8, 8), np.float32)
    assert score(heat[::2, ::-1], 3) == score(heat[::2, ::-1].copy(), 3)
