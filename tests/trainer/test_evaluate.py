"""The numbers: by hand, by scikit-learn, and through the command on a real bundle."""

import json
import shutil

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from models.bundle import MANIFEST, open_bundle
from models.errors import ConfigError, DatasetError, ModelError
from models.files import sha256_of
from models.images import read_image
from models.runner import Runner
from tests import tiny
from tests.trainer.conftest import said_by
from tests.trainer.plates import plate
from trainer.dataset import scan
from trainer.evaluate import evaluate, figures, in_words, outcomes, score_images
from trainer.pictures import draw_overlays

PROMISED = {
    "roc_auc",
    "precision_at_recall_1",
    "threshold_at_recall_1",
    "threshold",
    "f1",
    "recall",
    "recall_lower_95",
    "n_good",
    "n_defect",
}
TOP = {"n_left_out", "n_seen_by_threshold", "by_defect", "latency_s"}


def test_figures_by_hand():
    found = figures([1, 2, 3, 6], [4, 7, 8, 9, 10], 5)
    assert found["roc_auc"] == pytest.approx(19 / 20)
    assert found["threshold_at_recall_1"] == 4
    assert found["precision_at_recall_1"] == pytest.approx(5 / 6)
    assert (found["recall"], found["precision"]) == (pytest.approx(4 / 5), pytest.approx(4 / 5))
    assert found["f1"] == pytest.approx(4 / 5)
    assert found["recall_lower_95"] == pytest.approx(0.3426, abs=1e-4)
    assert (found["false_rejects"], found["n_good"], found["n_defect"], found["threshold"]) == (1, 4, 5, 5)


@pytest.mark.parametrize("seed", range(10))
def test_figures_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    good, defect = rng.normal(0, 1, 30).round(1), rng.normal(1.5, 1, 20).round(1)  # rounded: there are ties
    labels, scores = [0] * 30 + [1] * 20, np.concatenate([good, defect])
    found = figures(good.tolist(), defect.tolist(), 0.7)
    called = scores >= 0.7
    assert found["roc_auc"] == pytest.approx(roc_auc_score(labels, scores))
    assert found["f1"] == pytest.approx(f1_score(labels, called))
    assert found["recall"] == pytest.approx(recall_score(labels, called))
    assert found["precision"] == pytest.approx(precision_score(labels, called))
    assert found["precision_at_recall_1"] == pytest.approx(precision_score(labels, scores >= defect.min()))


def test_a_score_on_the_threshold_is_ng():
    found = figures([5], [5], 5)
    assert (found["recall"], found["false_rejects"], found["precision_at_recall_1"]) == (1, 1, 0.5)


def test_where_nothing_is_called_ng_precision_is_null_and_the_rest_is_zero():
    found = figures([1, 2], [3], 10)
    assert (found["precision"], found["f1"], found["recall"], found["recall_lower_95"]) == (None, 0, 0, 0)


@pytest.mark.parametrize(
    ("review", "n_good_review", "n_defect_review", "n_defect_ok"), [(None, 0, 0, 3), (3.0, 2, 2, 1), (-9.0, 4, 3, 0)]
)
def test_outcomes_say_who_goes_to_a_person_and_which_defects_pass(review, n_good_review, n_defect_review, n_defect_ok):
    """ng from 5: one good part and two defects, which review takes nothing of."""
    threshold = tiny.threshold_at(5, review)
    assert outcomes([1, 2, 3, 4, 6], [2.9, 3, 4.9, 5, 7], threshold) == {
        "review_at_or_above": review,
        "n_good_review": n_good_review,
        "n_defect_review": n_defect_review,
        "n_defect_ok": n_defect_ok,
    }


@pytest.mark.parametrize("make", [tiny.make_bundle, tiny.make_boxes_bundle])
def test_a_person_is_told_how_many_would_go_to_review_and_recall_does_not_count_them(tmp_path, make):
    for grey in (tiny.OK, 120, 140):
        tiny.write_image(tmp_path / f"data/good/{grey}.png", tiny.frame(grey))
    for grey in (100, 150, 160, 200):
        tiny.write_image(tmp_path / f"data/spot/{grey}.png", tiny.frame(grey))
    bundle = open_bundle(make(tmp_path / "b", threshold=0.7, review=0.5))
    found = evaluate(bundle, scan(tmp_path / "data"))
    assert (found["recall"], found["false_rejects"]) == (1 / 4, 0)
    assert "\n  review from 0.5: 1 good and 2 defects go to a person, 1 defects pass\n" in in_words(found)


def test_where_nothing_is_left_to_a_person_review_is_not_spoken_of(found):
    assert (found["review_at_or_above"], found["n_good_review"], found["n_defect_review"]) == (None, 0, 0)
    assert "review" not in in_words(found)


@pytest.fixture(scope="module")
def found(fitted):
    return json.loads(said_by(["evaluate", str(fitted.out), "--data", str(fitted.plates.root), "--json"]))


def test_the_command_prints_one_json_object_with_every_promised_key(found):
    assert found.keys() >= PROMISED | TOP
    assert found["by_defect"]["hole"].keys() >= PROMISED
    assert (found["n_good"], found["n_defect"]) == (4, 4)
    assert found["roc_auc"] == 1


def test_the_command_names_the_bundle_the_device_and_the_threshold_that_ships(found, fitted):
    bundle = fitted.bundle
    assert found["bundle"] == bundle.digest
    assert found["threshold"] == bundle.manifest.threshold.ng_at_or_above
    assert (found["device"], found["precision_hint"], found["threshold_policy"]) == ("CPU", "f32", "recall_1")


def test_the_scores_are_those_of_the_runner_that_the_edge_has(found, fitted):
    runner = Runner.of(fitted.bundle)
    good = [runner.predict(read_image(path)).score for path in fitted.plates.good]
    holes = [runner.predict(read_image(path)).score for path in fitted.plates.holes]
    want = figures(good, holes, fitted.bundle.manifest.threshold.ng_at_or_above)
    assert {name: found[name] for name in want} == want


def test_images_that_the_threshold_was_chosen_on_are_counted_and_a_person_is_told(found, fitted):
    assert found["n_seen_by_threshold"] == 8
    words = said_by(["evaluate", str(fitted.out), "--data", str(fitted.plates.root)])
    assert "note: the threshold was chosen on 8 of these images; recall and F1 flatter, AUC does not" in words


def test_fresh_images_bring_no_such_note(fitted, tmp_path):
    for i in range(3):
        tiny.write_image(tmp_path / f"good/{i}.png", plate(300 + i))
        tiny.write_image(tmp_path / f"hole/{i}.png", plate(400 + i, hole=True))
    words = said_by(["evaluate", str(fitted.out), "--data", str(tmp_path)])
    assert "note:" not in words
    assert "left out" not in words
    assert "ROC AUC               1.000   (3 good, 3 defects)" in words


def test_good_images_that_were_learned_from_are_left_out_under_whatever_name(fitted, tmp_path):
    (tmp_path / "good").mkdir()
    for i, path in enumerate([*fitted.plates.train, *fitted.plates.good]):
        (tmp_path / f"good/{i:03}.png").write_bytes(path.read_bytes())
    shutil.copytree(fitted.plates.root / "test/hole", tmp_path / "hole")
    found = evaluate(fitted.bundle, scan(tmp_path))
    assert (found["n_good"], found["n_left_out"]) == (4, len(fitted.plates.train))
    assert f"note: {len(fitted.plates.train)} image(s) left out, as the bundle learned from them" in in_words(found)


def test_only_images_that_were_learned_from_are_nothing_to_measure_on(fitted, tmp_path):
    shutil.copytree(fitted.plates.root / "train/good", tmp_path / "good")
    shutil.copytree(fitted.plates.root / "test/hole", tmp_path / "hole")
    with pytest.raises(
        DatasetError, match=r"learned from there are 0 good images and 1 kinds of defect; both are needed"
    ):
        evaluate(fitted.bundle, scan(tmp_path))


def test_without_defects_there_is_nothing_to_measure(fitted, tmp_path):
    shutil.copytree(fitted.plates.root / "test/good", tmp_path / "good")
    with pytest.raises(
        DatasetError, match=r"without the 0 images .* there are 4 good images and 0 kinds of defect; both"
    ):
        evaluate(fitted.bundle, scan(tmp_path))


def test_only_the_named_kinds_of_defect_are_measured(fitted, tmp_path):
    shutil.copytree(fitted.plates.root / "test", tmp_path / "test")
    shutil.copytree(tmp_path / "test/hole", tmp_path / "test/more")
    bundle, dataset = fitted.bundle, scan(tmp_path)
    assert evaluate(bundle, dataset)["n_defect"] == 8
    assert list(evaluate(bundle, dataset, ["more"])["by_defect"]) == ["more"]
    with pytest.raises(ConfigError, match="no defect 'cut'; it has hole, more"):
        evaluate(bundle, dataset, ["hole", "cut"])


def test_a_score_that_is_no_number_stops_the_measurement(tmp_path):
    bundle = tiny.make_bundle(tmp_path / "nan.bundle", nan=True)
    white = tiny.write_image(tmp_path / "white.png", tiny.frame(tiny.WHITE))
    runner = Runner(bundle / "model.xml", tiny.DECODER, "f32")
    with pytest.raises(ModelError, match=r"white\.png: score nan; the model is broken: make the bundle again"):
        score_images(runner, [("good", white)], "score")


@pytest.fixture
def spots(tmp_path):
    """A detector that learned from one good image and one of two defects, and the data."""
    for i, grey in enumerate((tiny.OK, 100)):  # the second one has a box below the threshold
        tiny.write_image(tmp_path / f"data/good/{i}.png", tiny.frame(grey))
    for i, grey in enumerate((tiny.NG, tiny.NG + 20)):
        tiny.write_image(tmp_path / f"data/spot/{i}.png", tiny.frame(grey))
    bundle = tiny.make_boxes_bundle(tmp_path / "spots.bundle")
    raw = json.loads((bundle / MANIFEST).read_text())
    raw["training"]["images"] = [sha256_of(tmp_path / f"data/{name}/0.png") for name in ("good", "spot")]
    (bundle / MANIFEST).write_text(json.dumps(raw))
    return open_bundle(bundle), scan(tmp_path / "data")


def test_defects_that_a_detector_learned_from_are_left_out_as_good_images_are(spots):
    found = evaluate(*spots)
    assert (found["n_good"], found["n_defect"], found["n_left_out"]) == (1, 1, 2)
    assert found["by_defect"]["spot"]["n_defect"] == 1
    assert (found["roc_auc"], found["f1"], found["false_rejects"]) == (1, 1, 0)
    assert "note: 2 image(s) left out, as the bundle learned from them" in in_words(found)


def test_where_all_defects_were_learned_from_there_is_nothing_to_measure(spots):
    bundle, dataset = spots
    (dataset.root / "spot/1.png").unlink()
    with pytest.raises(DatasetError, match=r"without the 2 images .* there are 1 good images and 0 kinds of defect"):
        evaluate(bundle, scan(dataset.root))


def test_the_picture_of_what_a_detector_found_has_its_boxes(spots, tmp_path):
    bundle, dataset = spots
    labelled = [("good", dataset.train_good[0]), ("spot", dataset.defects["spot"][0])]
    (tmp_path / "drawn").mkdir()
    dark, bright = draw_overlays(tmp_path / "drawn", score_images(Runner.of(bundle), labelled, "score"), 0.5, {})
    assert redness(read_image(bright)[200:340, 310:330]) > 60, "the right edge of the bright quarter"
    assert redness(read_image(bright)[400:]) < 60
    assert redness(read_image(dark)[34:]) < 60


def redness(image: np.ndarray) -> int:
    return int((image[:, :, 2].astype(int) - image[:, :, 0]).max())
