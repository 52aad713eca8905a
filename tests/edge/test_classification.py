"""Models without boxes on the line: one that names a defect but no place, and one that marks pixels."""

import numpy as np
import pytest

from edge.pictures import overlay
from models.bundle import open_bundle
from models.runner import Runner
from tests import tiny, tiny_supervised

WAIT = "wait_for_subscriber_s = 20"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return tiny_supervised.make_labels_bundle(tmp_path_factory.mktemp("classifier") / "labels.bundle", nan=True)


def test_a_classifier_judges_every_image_of_a_folder_and_its_frames_are_kept(box, classifier):
    box.bundle = classifier
    box.images("line", [tiny.OK, tiny.NG, tiny.WHITE])
    box.write_folder("line", bus=WAIT)
    verdicts = box.judge()
    assert [(v["outcome"], v["reason"], v["regions"]) for v in verdicts] == [
        ("ok", None, []),
        ("ng", "defect", []),
        ("unknown", "not_finite", []),
    ]
    assert [v["score"] for v in verdicts][1:] == [pytest.approx(200 / 255, rel=1e-3), None]
    kept = sorted(box.folder.rglob("evidence/*/*.json"))
    assert len(kept) >= 2, "what is not ok is kept, also without a place"


def test_check_finds_a_classifier_in_order(box, classifier):
    box.bundle = classifier
    box.images("line", [tiny.OK])
    box.write_folder("line")
    out = box.check()
    assert "ok      model: classification/tiny compiled for CPU at f32" in out
    assert "ok      golden: 2 images as the manifest says" in out


def test_the_heatmap_of_a_classifier_is_the_picture_itself(box, classifier):
    box.bundle = classifier
    shown = box.heatmap(tiny.NG)
    assert np.abs(shown.astype(int) - tiny.frame(tiny.NG)).max() < 60
    assert np.abs(shown.astype(int) - tiny.frame(tiny.NG)).mean() < 3


def test_a_prediction_without_a_place_leaves_the_picture_as_it_is(classifier):
    image = tiny.frame(tiny.NG)
    prediction = Runner.of(open_bundle(classifier)).predict(image)
    assert prediction.label == "spot"
    np.testing.assert_array_equal(overlay(image, prediction, 0.5), image)


def test_the_pixels_of_a_segmenter_are_laid_over_the_picture(tmp_path):
    image = tiny.frame(tiny.NG)
    bundle = open_bundle(tiny_supervised.make_heatmap_bundle(tmp_path / "b"))
    shown = overlay(image, Runner.of(bundle).predict(image), 0.5).astype(int)
    assert shown[8, 8, 2] - shown[8, 8, 0] > 60, "red on the patch"
    np.testing.assert_allclose(shown[56, 56], image[56, 56], atol=3)
