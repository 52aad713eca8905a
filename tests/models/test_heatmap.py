"""What a heatmap says of a part, whatever model made it."""

import math

import numpy as np
import pytest

from models.bundle import open_bundle
from models.decoding import decode
from models.errors import ModelError
from models.heatmap import score_of
from models.manifest import HeatmapDecoder, PatchcoreDecoder
from models.patchcore import score_of as patchcore_score
from models.regions import regions_of
from models.runner import Runner
from models.scoring import judge
from tests import tiny
from tests.tiny_supervised import make_heatmap_bundle


def decoder(top_cells: int) -> HeatmapDecoder:
    return HeatmapDecoder(kind="heatmap", top_cells=top_cells)


@pytest.mark.parametrize("top", [1, 2, 10, 63, 64])
def test_the_score_is_the_mean_of_the_highest_as_a_sort_gives_them(top):
    heat = np.random.default_rng(top).random((8, 8), np.float32)
    assert score_of(heat, decoder(top)) == pytest.approx(np.sort(heat.ravel())[-top:].astype(np.float64).mean())


def test_a_heatmap_scores_as_the_distances_of_patchcore_do():
    heat = np.random.default_rng(0).random((9, 5), np.float32)
    assert score_of(heat, decoder(4)) == patchcore_score(heat, PatchcoreDecoder(kind="patchcore", top_patches=4))


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [(0, 0), (3, 2), (7, 7)])
def test_one_cell_that_is_no_number_makes_the_score_nan_wherever_it_is(odd, place):
    heat = np.random.default_rng(0).random((8, 8), np.float32)
    heat[place] = odd
    assert math.isnan(score_of(heat, decoder(3)))


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (1, 2, 8, 8), (2, 1, 8, 8), (1, 1, 0, 8)])
def test_an_output_that_is_no_single_map_is_an_error_that_names_its_shape(shape):
    with pytest.raises(ModelError, match=r"heatmap: .*, wanted \(1, 1, h, w\); make the bundle again"):
        decode(decoder(1), [np.zeros(shape, np.float32)], 64, 64)


def test_a_segmenter_says_where_the_defect_is_and_a_picture_without_numbers_is_unknown(tmp_path):
    runner = Runner.of(open_bundle(make_heatmap_bundle(tmp_path / "b", nan=True)))
    found = runner.predict(tiny.frame(tiny.NG, 128, 128))
    assert (found.boxes, found.label, found.heatmap.shape) == (None, None, (8, 8))
    (region,) = regions_of(found, 0.5)
    assert (region.x_px, region.y_px, region.label) == (0, 0, None)
    assert 64 <= region.width_px <= 80
    assert judge(runner.predict(tiny.frame(tiny.OK)).score, 0.5)[0] == "ok"
    assert judge(runner.predict(tiny.frame(tiny.WHITE)).score, 0.5) == ("unknown", "not_finite")
