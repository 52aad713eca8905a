"""`mekiki-train fit --family detection` from a folder of pictures to a bundle that the edge runs."""

import csv
import errno
import json
import shutil
from unittest.mock import Mock

import cv2
import numpy as np
import openvino as ov
import pytest

from models.errors import ModelError
from models.files import sha256_of
from models.golden import check_golden
from models.health import limits_of
from models.images import read_image
from models.measure import measure
from models.regions import regions_of
from models.runner import Runner
from tests import tiny
from tests.trainer.conftest import STEPS, detection_arguments, refusal_of, said_by
from tests.trainer.marked import SIDE_PX, bar, marked_set
from trainer.annotations.types import Picture
from trainer.detection.fit import _label
from trainer.proof import health_words
from trainer.quantize import last_layers


def test_the_bundle_opens_and_its_golden_images_agree(marked):
    bundle = marked.bundle
    agreement = check_golden(bundle, Runner.of(bundle))
    assert agreement.n_images == 2
    assert {golden.file: golden.outcome for golden in bundle.manifest.golden} == {
        "golden/good.png": "ok",
        "golden/defect.png": "ng",
    }


def test_the_manifest_says_what_it_is_and_how_to_make_it_again(marked):
    manifest, training = marked.bundle.manifest, marked.bundle.manifest.training
    assert (manifest.family, manifest.model, manifest.precision) == ("detection", "rtmdet-tiny", "f32")
    assert (manifest.decoder.kind, manifest.decoder.labels) == ("boxes", ("mark",))
    assert training.classes == ("mark",)
    assert (training.steps, training.batch, training.seed, training.bf16) == (STEPS, 4, 0, False)
    assert (training.weights.source, training.weights.sha256) == ("untrained", None)
    assert training.image_sizes_px == ((SIDE_PX, SIDE_PX),)
    assert training.n_boxes == 12
    learned = {sha256_of(path) for path in marked.data.glob("*/*/*.png") if "ground_truth" not in path.parts}
    assert set(training.images) < learned
    assert len(training.images) == 24
    assert {"mmdet", "mmdeploy", "mmengine", "mmcv-lite", "onnx", "torch", "openvino"} <= training.versions.keys()
    assert "anomalib" not in training.versions


def test_the_manifest_says_what_the_graph_does_to_a_frame(marked):
    spec = marked.bundle.manifest.preprocess
    assert (spec.height_px, spec.width_px, spec.fit, spec.channels) == (96, 96, "letterbox", "bgr")


def test_the_manifest_says_what_stands_behind_the_threshold_and_that_torch_and_ir_agree(marked):
    manifest = marked.bundle.manifest
    assert (manifest.threshold.policy, manifest.threshold.n_good, manifest.threshold.n_defect) == ("recall_1", 4, 3)
    assert not set(manifest.threshold.seen) & set(manifest.training.images)
    assert (manifest.parity.n_images, manifest.parity.count_differences, manifest.parity.label_flips) == (7, 0, 0)
    assert manifest.parity.n_boxes >= 2
    assert manifest.parity.max_box_px <= 0.01


def test_a_further_precision_judges_as_its_part_of_the_manifest_says(marked):
    half = marked.bundle.at("f16")
    assert check_golden(half, Runner.of(half)).n_images == 2
    assert half.manifest.threshold.seen == marked.bundle.manifest.threshold.seen
    assert half.manifest.parity.n_boxes >= 2
    assert "f16: parity: torch and IR find the same" in marked.said


def test_at_int8_all_is_quantised_but_what_gives_classes_and_edges(marked):
    eighth = marked.bundle.at("int8")
    assert check_golden(eighth, Runner.of(eighth)).n_images == 2
    record = eighth.manifest.quantization
    assert record.kept == tuple(last_layers(ov.Core().read_model(marked.bundle.model_xml)))
    assert len(record.kept) == 6, "two for each of three scales"
    assert set(record.images) <= set(marked.bundle.manifest.training.images)
    assert "int8: AUC 1.000 -> 1.000" in marked.said


def test_the_limits_of_health_are_those_of_the_good_images_learned_from(marked):
    limits = marked.bundle.manifest.health
    assert limits == limits_of([measure(read_image(path)) for path in (marked.data / "train/good").iterdir()])
    assert health_words(limits) in marked.said


def test_unseen_bars_are_judged_right_and_boxes_lie_on_marks(marked):
    """Not each of them: so few steps teach the one or the other badly, and not the same on every processor."""
    runner, limit = Runner.of(marked.bundle), marked.bundle.manifest.threshold.ng_at_or_above
    rng = np.random.default_rng(4711)
    assert sum(runner.predict(bar(rng)[0]).score < limit for _ in range(20)) >= 18
    found = [(runner.predict(image), mask) for image, mask in (bar(rng, is_marked=True) for _ in range(20))]
    assert sum(prediction.score >= limit for prediction, _ in found) >= 18
    assert sum(lies_on(regions_of(prediction, 0)[0], mask) for prediction, mask in found) >= 14


def lies_on(region, mask) -> bool:
    """Whether half of the mark is in the region, and a third of the region is mark."""
    is_mark = mask[:, :, 0] > 0
    inside = is_mark[region.y_px : region.y_px + region.height_px, region.x_px : region.x_px + region.width_px]
    assert region.label == "mark"
    return inside.sum() / is_mark.sum() > 0.5 and inside.mean() > 1 / 3


def test_a_frame_of_another_size_is_judged_and_its_region_lies_inside_it(marked):
    runner = Runner.of(marked.bundle)
    bad, _ = bar(np.random.default_rng(4711), is_marked=True)
    wide = cv2.copyMakeBorder(cv2.resize(bad, None, fx=3, fy=3), 0, 0, 0, 150, cv2.BORDER_REPLICATE)
    for region in regions_of(runner.predict(wide), 0.001):
        assert region.x_px + region.width_px <= wide.shape[1]
        assert region.y_px + region.height_px <= wide.shape[0]


def test_evaluate_measures_on_what_was_not_learned_and_says_what_it_left_out(marked, tmp_path):
    data = marked_set(tmp_path / "data", n_good=1, n_bad=6, n_test=6, seed=99)
    shutil.copytree(marked.data / "test/mark", data / "test/mark", dirs_exist_ok=True, copy_function=_renamed)
    found = json.loads(said_by(["evaluate", str(marked.out), "--data", str(data), "--json"]))
    assert (found["n_good"], found["n_defect"], found["n_left_out"]) == (6, 9, 12)
    assert found["n_seen_by_threshold"] == 3
    assert found["roc_auc"] == 1.0
    assert found["by_defect"]["mark"]["recall"] == 1.0


def _renamed(source, target):
    shutil.copy(source, target.replace(".png", "_again.png"))


def test_a_fit_says_what_it_did_and_where_it_is(marked):
    said = marked.said
    assert said.startswith(
        "data: masks, 15 boxes of mark; 12 good and 12 with defects to learn from, 4 and 3 held out\n"
    )
    assert "weights: untrained\nWARNING: no trained weights were found." in said
    assert f"training: rtmdet-tiny at 96 px, up to {STEPS} steps of 4; parts are turned" in said
    assert "threshold: " in said
    assert "parity: torch and IR find the same " in said
    assert said.endswith(f"bundle: {marked.out}\npictures: {marked.report}\n")


def test_with_one_class_all_boxes_are_a_defect_whatever_they_are_called(marked, tmp_path, monkeypatch):
    def learn(_options, annotated, parts, _say):
        raise ModelError(f"{annotated.classes} {sorted({label for p in parts.learn for label in p.labels})}")

    monkeypatch.setattr("trainer.detection.fit._learn", learn)
    arguments = detection_arguments(marked.data, tmp_path / "one.bundle")
    assert "('mark',) ['mark']" in refusal_of(arguments, 1)
    assert "('defect',) ['defect']" in refusal_of([*arguments, "--one-class"], 1)


def test_the_report_has_a_picture_of_each_held_out_image_and_how_the_scores_lie(marked):
    names = {path.name for path in marked.report.iterdir()}
    assert {"sheet.jpg", "histogram.png"} < names
    assert sum(name.startswith("good_") for name in names) == 4
    assert sum(name.startswith("mark_") for name in names) == 3
    pictures = names - {"weights.pth", "training.csv"}
    assert all(min(cv2.imread(str(marked.report / name)).shape[:2]) >= 320 for name in pictures)


def test_the_report_has_the_curve_of_the_training(marked):
    with (marked.report / "training.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "loss", "fitness", "auc"]
    assert len(rows) == 3, "of four validations the second one was interrupted"
    assert all(0 < float(row["loss"]) < 10 and 0 <= float(row["auc"]) <= 1 for row in rows)
    assert float(rows[-1]["auc"]) > 0.5


def test_ctrl_c_leaves_the_training_and_says_how_to_go_on(marked):
    assert marked.left == ["bars.bundle.training"]
    assert "interrupted; the same command goes on, unless you remove " in marked.interrupted
    assert "bars.bundle.training: goes on where it stopped\n" in marked.said


def test_another_option_after_ctrl_c_is_refused(marked):
    assert "a training of other data or with other options stopped here; give its options again, or" in marked.other


def test_nothing_but_the_bundle_and_its_pictures_is_left(marked):
    assert {path.name for path in marked.out.parent.iterdir()} == {marked.out.name, marked.report.name}


@pytest.fixture
def learned(marked, monkeypatch):
    """A fit that need not train and export again."""
    import openvino as ov

    xml = marked.bundle.model_xml
    monkeypatch.setattr("trainer.detection.fit.train", lambda *_: marked.learned)
    monkeypatch.setattr("trainer.detection.fit.export", lambda *_: ov.Core().read_model(xml))
    return marked


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("trainer.detection.fit.check_boxes", ModelError("parity: torch and the IR differ")),
        ("trainer.detection.fit.draw_report", OSError(errno.ENOSPC, "No space left on device", "a.jpg")),
        ("trainer.detection.fit.write_bundle", OSError(errno.ENOSPC, "No space left on device", "model.bin")),
        ("trainer.detection.fit.write_bundle", KeyboardInterrupt()),
        ("trainer.export.check_golden", ModelError("golden: another score")),
    ],
)
def test_a_failure_after_the_training_leaves_neither_bundle_nor_pictures(learned, tmp_path, monkeypatch, place, error):
    monkeypatch.setattr(place, Mock(side_effect=error))
    refusal_of(detection_arguments(learned.data, tmp_path / "a.bundle", "--steps", STEPS), 1)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bundle.training"], "what took long is kept"


def test_after_such_a_failure_the_same_command_ends_well_and_makes_the_same_model(learned, tmp_path):
    said_by(detection_arguments(learned.data, tmp_path / "a.bundle", "--steps", STEPS))
    assert {path.name for path in tmp_path.iterdir()} == {"a.bundle", "a.bundle.report"}
    threshold = json.loads((tmp_path / "a.bundle/manifest.json").read_text())["threshold"]["ng_at_or_above"]
    assert threshold == pytest.approx(learned.bundle.manifest.threshold.ng_at_or_above, rel=1e-6)


@pytest.mark.parametrize(("given", "side_px"), [(100, 128), (96, 96), (1, 32)])
def test_an_image_size_becomes_the_next_that_the_network_can_see(mmdet, marked, tmp_path, monkeypatch, given, side_px):  # noqa: PLR0917
    seen = []

    def stop(_learn, _held_out, _classes, side_px, _folder):
        seen.append(side_px)
        raise ModelError("enough")

    monkeypatch.setattr("trainer.detection.fit.prepare", stop)
    refusal_of(detection_arguments(marked.data, tmp_path / "a.bundle", "--image-size", given), 1)
    assert seen == [side_px]


def test_weights_of_another_network_are_refused_before_anything_is_written(mmdet, torch, tmp_path):
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "resnet.pth")
    data = marked_set(tmp_path / "data", n_good=3, n_bad=2, n_test=1)
    arguments = detection_arguments(data, tmp_path / "a.bundle", "--weights", tmp_path / "resnet.pth")
    assert "resnet.pth: lacks backbone." in refusal_of(arguments, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "resnet.pth"]


@pytest.mark.parametrize(
    ("family", "option", "complaint"),
    [
        ("detection", ("--bank", 5), "--bank: belongs to --family anomaly; remove it"),
        (
            "detection",
            ("--backbone", "resnet18"),
            "--backbone: belongs to --family anomaly or classification or segmentation; remove it",
        ),
        ("detection", ("--cycle-time", 1), "--cycle-time: belongs to --family anomaly; remove it"),
        ("detection", ("--augment", "on"), "--augment: belongs to --family anomaly; remove it"),
        ("anomaly", ("--steps", 5), "--steps: --model patchcore has none, stfpm, supersimplenet, draem do; remove it"),
        ("anomaly", ("--batch", 5), "--batch: --model patchcore has none, stfpm, supersimplenet, draem do; remove it"),
        ("anomaly", ("--merge", 5), "--merge: belongs to --family detection; remove it"),
        (
            "detection",
            ("--model", "patchcore"),
            "--model patchcore: not of family detection, which has rtmdet-tiny, rtmdet-s, rtmdet-m",
        ),
        ("anomaly", ("--model", "rtmdet-s"), "--model rtmdet-s: not of family anomaly, which has patchcore"),
    ],
)
def test_what_belongs_to_the_other_family_is_refused(refused, tmp_path, family, option, complaint):
    arguments = ["fit", "--family", family, "--data", tmp_path / "none", "--out", tmp_path / "a.bundle", *option]
    assert complaint in refused(arguments, 2)


def coco(root, boxes):
    """A picture for each entry of `boxes`, with a box or without."""
    rng, images, annotations = np.random.default_rng(0), [], []
    for i, has_box in enumerate(boxes):
        tiny.write_image(root / f"images/{i}.png", bar(rng)[0])
        images.append({"id": i, "file_name": f"{i}.png", "width": SIDE_PX, "height": SIDE_PX})
        if has_box:
            annotations.append({"id": i + 1, "image_id": i, "category_id": 1, "bbox": [10, 10, 20, 20], "area": 400})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "mark"}]}
    (root / "annotations.json").write_text(json.dumps(content))
    return root


def test_data_without_a_box_says_what_to_do(refused, tmp_path):
    arguments = detection_arguments(coco(tmp_path / "data", [False] * 3), tmp_path / "a.bundle")
    assert "3 pictures and no box; draw boxes on the defects" in refused(arguments, 1)


def test_data_without_good_pictures_says_what_to_do(refused, tmp_path):
    arguments = detection_arguments(coco(tmp_path / "data", [True] * 3), tmp_path / "a.bundle")
    assert "no negatives: all 3 pictures have boxes; add pictures of good parts" in refused(arguments, 1)


def test_one_example_of_a_defect_says_what_to_do(refused, tmp_path):
    data = marked_set(tmp_path / "data", n_good=3, n_bad=1, n_test=1)
    line = refused(detection_arguments(data, tmp_path / "a.bundle"), 1)
    assert "class 'mark' is on 1 picture(s), at least 2 were wanted; annotate more, or leave out the class" in line


def test_one_good_picture_says_what_to_do(refused, tmp_path):
    arguments = detection_arguments(coco(tmp_path / "data", [True, True, False]), tmp_path / "a.bundle")
    assert "1 good picture, at least 2 are needed" in refused(arguments, 1)


@pytest.mark.parametrize("there", ["a.bundle", "a.bundle.report"])
def test_a_bundle_or_a_report_that_exists_is_refused_before_any_work(refused, tmp_path, there):
    (tmp_path / there).mkdir()
    line = refused(detection_arguments(tmp_path / "none", tmp_path / "a.bundle"), 2)
    assert f"{there}: exists already; choose another --out or remove it first" in line


@pytest.mark.parametrize(
    ("labels", "name"), [((), "good"), (("dent", "stain", "stain"), "stain"), (("metal/dent",), "metal_dent")]
)
def test_a_picture_is_sorted_by_its_most_frequent_class_under_a_name_that_a_file_can_have(tmp_path, labels, name):
    boxes = np.zeros((len(labels), 4), np.float32)
    assert _label(Picture(tmp_path / "a.png", 10, 10, boxes, labels)) == name
