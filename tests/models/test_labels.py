"""What a classifier's probabilities say of a part."""

import math

import numpy as np
import pytest

from models.bundle import MODEL_XML, open_bundle
from models.decoding import decode, outputs_of
from models.errors import ModelError
from models.golden import check_golden
from models.labels import label_of, score_of
from models.regions import regions_of
from models.runner import Runner
from models.scoring import judge
from tests import tiny, tiny_supervised
from tests.tiny_supervised import LABELS, make_labels_bundle


def probabilities(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


@pytest.fixture(scope="module")
def runner(tmp_path_factory) -> Runner:
    return Runner.of(open_bundle(make_labels_bundle(tmp_path_factory.mktemp("labels") / "b", nan=True)))


@pytest.mark.parametrize("good", [0.0, 0.125, 0.5, 0.875, 1.0])
def test_the_score_is_how_sure_the_model_is_that_a_part_is_not_good(good):
    assert score_of(probabilities(good, 0.75 * (1 - good), 0.25 * (1 - good)), LABELS) == pytest.approx(1 - good)


def test_parts_that_are_surely_good_still_differ():
    """In float32, 1 - p(good) is 0 for both."""
    less, more = (score_of(probabilities(1, p, 0), LABELS) for p in (1e-9, 1e-8))
    assert 0 < less < more


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_probability_that_is_no_number_makes_the_part_unknown_and_not_good(odd, place):
    values = probabilities(1, 0, 0)
    values[0, place] = odd
    assert judge(score_of(values, LABELS), 0.5) == ("unknown", "not_finite")
    assert label_of(values, LABELS) is None


@pytest.mark.parametrize("values", [(0, 0, 0), (0.5, 0, 0), (1, 1, 1), (0.9, 0.04, 0.03)])
def test_probabilities_that_do_not_add_up_make_the_part_unknown(values):
    assert math.isnan(score_of(probabilities(*values), LABELS))


def test_the_rounding_of_a_coarse_device_does_not():
    assert score_of(probabilities(0.9883, 0.0078, 0.0078), LABELS) == pytest.approx(0.0156)


@pytest.mark.parametrize(("values", "label"), [((0.9, 0.06, 0.04), "scratch"), ((0.2, 0.3, 0.5), "spot")])
def test_the_label_is_the_most_probable_defect_and_never_good(values, label):
    assert label_of(probabilities(*values), LABELS) == label


@pytest.mark.parametrize("shape", [(1, 2), (1, 4), (3,), (2, 3), (1, 3, 1)])
def test_another_number_of_probabilities_than_labels_is_an_error_that_names_both(shape):
    with pytest.raises(ModelError, match=r"the manifest names 3; make the bundle again"):
        decode(LABELS, [np.zeros(shape, np.float32)], 64, 64)


@pytest.mark.parametrize("size", [(64, 64), (480, 640), (63, 65)])
def test_a_classifier_gives_a_score_and_a_label_and_no_place(runner, size):
    found = runner.predict(tiny.frame(tiny.NG, *size))
    assert found.score == pytest.approx(200 / 255, rel=1e-3)
    assert (found.label, found.heatmap, found.boxes) == ("spot", None, None)
    assert (found.frame_height_px, found.frame_width_px) == size
    assert regions_of(found, 0.5) == ()


def test_a_picture_that_gives_no_number_has_no_label(runner):
    found = runner.predict(tiny.frame(tiny.WHITE))
    assert math.isnan(found.score)
    assert found.label is None


def test_the_outputs_that_are_read_follow_from_the_decoder():
    assert outputs_of(LABELS) == ("probabilities",)
    assert outputs_of(tiny_supervised.HEATMAP) == ("heatmap",)


def test_a_bundle_of_a_classifier_opens_and_its_golden_images_agree(tmp_path):
    bundle = open_bundle(make_labels_bundle(tmp_path / "b"))
    assert check_golden(bundle, Runner.of(bundle)).n_images == 2
    assert [golden.outcome for golden in bundle.manifest.golden] == ["ok", "ng"]


def test_a_graph_without_probabilities_is_refused_when_it_is_read(bundle):
    with pytest.raises(ModelError, match="make the bundle again"):
        Runner(bundle / MODEL_XML, LABELS, "f32")
