"""What a heatmap says of a part, whatever model made it."""

import math

import numpy as np
import pytest

from models.bundle import MODEL_XML, open_bundle
from models.decoding import decode, outputs_of
from models.errors import ModelError
from models.heatmap import mean_of_highest, score_of
from models.manifest import HeatmapDecoder, PatchcoreDecoder
from models.patchcore import score_of as patchcore_score
from models.regions import regions_of
from models.runner import Runner
from models.scoring import judge
from tests import tiny
from tests.tiny_supervised import make_heatmap_bundle


def decoder(top_cells: int = 1) -> HeatmapDecoder:
    return HeatmapDecoder(kind="heatmap", top_cells=top_cells)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The tiny IR with the output of a heatmap: the brightness of 8 x 8 patches, NaN for a white frame."""
    return make_heatmap_bundle(tmp_path_factory.mktemp("heatmap") / "b", nan=True) / MODEL_XML


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


def test_the_mean_of_more_cells_than_there_are_is_that_of_all():
    assert mean_of_highest(np.array([[1, 2], [3, 6]], np.float32), 1000) == 3.0


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (1, 2, 8, 8), (2, 1, 8, 8), (1, 1, 0, 8)])
def test_an_output_that_is_no_single_map_is_an_error_that_names_its_shape(shape):
    with pytest.raises(ModelError, match=r"heatmap: .*, wanted \(1, 1, h, w\); make the bundle again"):
        decode(decoder(1), [np.zeros(shape, np.float32)], 64, 64)


def test_a_heatmap_is_decoded_without_a_copy_and_left_in_order():
    cells = np.random.default_rng(0).random((1, 1, 8, 9), np.float32)
    before = cells.copy()
    found = decode(decoder(3), [cells], 64, 64)
    assert found.score == pytest.approx(np.sort(cells.ravel())[-3:].astype(np.float64).mean(), rel=1e-12)
    assert np.shares_memory(found.heatmap, cells)
    np.testing.assert_array_equal(cells, before)
    assert (found.boxes, found.label) == (None, None)


def test_a_runner_reads_the_heatmap_and_scores_its_highest_cells(file):
    image = tiny.frame(tiny.NG)
    one, four, all_of_them = (Runner(file, decoder(top), "f32").predict(image) for top in (1, 16, 64))
    assert one.heatmap.shape == (8, 8)
    assert one.score == float(one.heatmap.max()) == pytest.approx(200 / 255, rel=1e-3)
    assert four.score == pytest.approx(np.sort(one.heatmap.ravel())[-16:].mean(), rel=1e-6)
    assert all_of_them.score == pytest.approx(one.heatmap.mean(), rel=1e-6)
    assert (one.boxes, one.frame_height_px, one.frame_width_px) == (None, 64, 64)


def test_a_heatmap_that_is_no_number_makes_the_frame_unknown(file):
    found = Runner(file, decoder(), "f32").predict(tiny.frame(tiny.WHITE))
    assert math.isnan(found.score)
    assert judge(found.score, 0.5) == ("unknown", "not_finite")


def test_a_graph_that_gives_distances_is_not_read_as_a_heatmap(bundle):
    assert outputs_of(decoder()) == ("heatmap",)
    with pytest.raises(ModelError, match="make the bundle again"):
        Runner(bundle / MODEL_XML, decoder(), "f32")


def test_a_segmenter_says_where_the_defect_is_and_a_picture_without_numbers_is_unknown(file):
    runner = Runner.of(open_bundle(file.parent))
    found = runner.predict(tiny.frame(tiny.NG, 128, 128))
    assert (found.boxes, found.label, found.heatmap.shape) == (None, None, (8, 8))
    (region,) = regions_of(found, 0.5)
    assert (region.x_px, region.y_px, region.label) == (0, 0, None)
    assert 64 <= region.width_px <= 80
    assert judge(runner.predict(tiny.frame(tiny.OK)).score, 0.5)[0] == "ok"
    assert judge(runner.predict(tiny.frame(tiny.WHITE)).score, 0.5) == ("unknown", "not_finite")
