"""A graph that gives a heatmap, read as it is."""

import math

import numpy as np
import pytest

from models.bundle import MODEL_XML
from models.decoding import decode, outputs_of
from models.errors import ModelError
from models.heatmap import mean_of_highest
from models.manifest import HeatmapDecoder
from models.runner import Runner
from models.scoring import judge
from tests import tiny


def decoder(top_cells: int = 1) -> HeatmapDecoder:
    return HeatmapDecoder(kind="heatmap", top_cells=top_cells)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The tiny IR with the output of a heatmap: the brightness of 8 x 8 patches, NaN for a white frame."""
    path = tiny.make_bundle(tmp_path_factory.mktemp("heatmap") / "b", nan=True) / MODEL_XML
    path.write_text(path.read_text().replace('"distances"', '"heatmap"'))
    return path


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


def test_a_heatmap_is_decoded_without_a_copy_and_left_in_order():
    cells = np.random.default_rng(0).random((1, 1, 8, 9), np.float32)
    before = cells.copy()
    score, heatmap, boxes = decode(decoder(3), [cells], 64, 64)
    assert score == pytest.approx(np.sort(cells.ravel())[-3:].astype(np.float64).mean(), rel=1e-12)
    assert np.shares_memory(heatmap, cells)
    np.testing.assert_array_equal(cells, before)
    assert boxes is None


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_one_cell_that_is_no_number_makes_the_mean_nan_even_where_it_is_not_among_the_highest(odd):
    cells = np.random.default_rng(0).random((8, 8)).astype(np.float32)
    cells[2, 3] = odd
    assert math.isnan(mean_of_highest(cells, 1))


def test_the_mean_of_more_cells_than_there_are_is_that_of_all():
    assert mean_of_highest(np.array([[1, 2], [3, 6]], np.float32), 1000) == 3.0
