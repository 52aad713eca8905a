"""`mekiki-train fit --family classification` and `--family segmentation`, from a folder of pictures to a bundle."""

import csv
import errno
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import pytest

from models.bundle import open_bundle
from models.errors import ModelError
from models.files import sha256_of
from models.golden import check_golden
from models.health import limits_of
from models.images import read_image
from models.measure import measure
from models.regions import regions_of
from models.runner import Runner
from tests import tiny
from tests.trainer.conftest import Left, refusal_of, said_by
from tests.trainer.plates import SIDE_PX, mask_of, plate

TINY, SIZE_PX = "test_resnet", 64
STEPS = {"classification": 60, "segmentation": 30}
each_family = pytest.mark.parametrize("family", STEPS)


@dataclass(frozen=True)
class Made(Left):
    """Of plates with holes."""

    data: Path


def arguments_of(family: str, data: Path, out: Path, *more: object) -> list[str]:
    always = ["--family", family, "--image-size", SIZE_PX, "--backbone", TINY]
    return [str(argument) for argument in ["fit", "--data", data, "--out", out, *always, *more]]


def plates_and_holes(root: Path, first: int, n_good: int, n_bad: int, prefix: str = "") -> Path:
    """Plain folders good/ and hole/, with masks."""
    for i in range(first, first + n_good):
        tiny.write_image(root / f"good/{prefix}{i:03}.png", plate(i))
    for i in range(first, first + n_bad):
        tiny.write_image(root / f"hole/{prefix}{i:03}.png", plate(i, hole=True))
        tiny.write_image(root / f"ground_truth/hole/{prefix}{i:03}_mask.png", mask_of(i))
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return plates_and_holes(tmp_path_factory.mktemp("holes"), 0, 15, 10)


@pytest.fixture(scope="module")
def fits(torch, data, tmp_path_factory) -> dict[str, Made]:
    made = {}
    for family, steps in STEPS.items():
        out = tmp_path_factory.mktemp(family) / "plates.bundle"
        choices = ["--steps", steps, "--seed", 3, "--also", "int8,f16"]
        made[family] = Made(out, said_by(arguments_of(family, data, out, *choices)), data)
    return made


@each_family
def test_the_bundle_opens_and_its_golden_images_agree(fits, family):
    bundle = fits[family].bundle
    assert check_golden(bundle, Runner.of(bundle)).n_images == 2
    golden = {golden.file: golden.outcome for golden in bundle.manifest.golden}
    assert golden == {"golden/good.png": "ok", "golden/defect.png": "ng"}


@each_family
def test_the_manifest_says_what_it_is_and_how_to_make_it_again(fits, family):
    manifest = fits[family].bundle.manifest
    training = manifest.training
    assert (manifest.family, manifest.precision) == (family, "f32")
    assert manifest.model == {"classification": "timm", "segmentation": "unet"}[family]
    assert (training.classes, training.backbone, training.n_defect) == (("hole",), TINY, 8)
    assert (training.steps, training.batch, training.seed) == (STEPS[family], 8, 3)
    assert (training.weights.source, training.image_sizes_px) == ("untrained", ((SIDE_PX, SIDE_PX),))
    assert len(training.images) == 20
    assert set(training.images) < {sha256_of(path) for path in fits[family].data.rglob("*.png")}
    assert {"timm", "torch", "openvino"} <= training.versions.keys()
    assert ("segmentation-models-pytorch" in training.versions) == (family == "segmentation")
    spec = manifest.preprocess
    assert (spec.height_px, spec.width_px, spec.fit, spec.channels) == (SIZE_PX, SIZE_PX, "stretch", "rgb")


@each_family
def test_further_precisions_judge_as_their_part_of_the_manifest_says_each_with_a_threshold_of_its_own(fits, family):
    bundle = fits[family].bundle
    left_out = "int8: WARNING: int8 is left out" in fits[family].said
    assert bundle.precisions == (("f32", "f16") if left_out else ("f32", "int8", "f16"))
    for precision in bundle.precisions[1:]:
        one = bundle.at(precision)
        assert check_golden(one, Runner.of(one)).n_images == 2
        assert one.manifest.threshold.seen == bundle.manifest.threshold.seen
    if not left_out:
        record = bundle.at("int8").manifest.quantization
        assert set(record.images) == set(bundle.manifest.training.images)
        assert record.after.auc >= record.before.auc - 0.005


@each_family
def test_the_threshold_stands_on_images_that_were_not_learned_from(fits, family):
    manifest = fits[family].bundle.manifest
    assert (manifest.threshold.policy, manifest.threshold.n_good, manifest.threshold.n_defect) == ("recall_1", 3, 2)
    assert not set(manifest.threshold.seen) & set(manifest.training.images)
    assert (manifest.parity.n_images, manifest.parity.label_flips) == (5, 0)
    assert manifest.parity.max_relative <= 1e-3


@each_family
def test_the_limits_of_health_are_those_of_the_good_images_learned_from(fits, family):
    bundle, learned = fits[family].bundle, fits[family].data / "good"
    images = set(bundle.manifest.training.images)
    good = [read_image(path) for path in sorted(learned.iterdir()) if sha256_of(path) in images]
    assert len(good) == 12
    assert bundle.manifest.health == limits_of([measure(image) for image in good])


@each_family
def test_unseen_plates_are_judged_right(fits, family):
    bundle = fits[family].bundle
    runner, limit = Runner.of(bundle), bundle.manifest.threshold.ng_at_or_above
    assert sum(runner.predict(plate(500 + i)).score < limit for i in range(20)) >= 18
    assert sum(runner.predict(plate(500 + i, hole=True)).score >= limit for i in range(20)) >= 18


def test_a_classifier_names_the_defect_and_gives_no_place(fits):
    prediction = Runner.of(fits["classification"].bundle).predict(plate(500, hole=True))
    assert (prediction.label, prediction.heatmap, prediction.boxes) == ("hole", None, None)
    assert regions_of(prediction, 0.0) == ()


def test_a_segmenter_finds_the_hole_where_it_is_also_in_a_larger_frame(fits):
    runner = Runner.of(fits["segmentation"].bundle)
    limit, right = fits["segmentation"].bundle.manifest.threshold.ng_at_or_above, 0
    for seed in range(500, 520):
        large = cv2.resize(plate(seed, hole=True), (300, 300), interpolation=cv2.INTER_LINEAR)
        mask = cv2.resize(mask_of(seed)[:, :, 0], (300, 300)) > 127
        if regions := regions_of(runner.predict(large), limit):
            best = regions[0]
            inside = mask[best.y_px : best.y_px + best.height_px, best.x_px : best.x_px + best.width_px]
            right += inside.sum() / mask.sum() > 0.5 and inside.mean() > 1 / 4
    assert right >= 16


@each_family
def test_evaluate_measures_on_what_was_not_learned(fits, family, tmp_path):
    new = plates_and_holes(tmp_path / "new", 700, 8, 6, "n")
    shutil.copytree(fits[family].data / "hole", new / "hole", dirs_exist_ok=True)
    found = json.loads(said_by(["evaluate", str(fits[family].out), "--data", str(new), "--json"]))
    assert (found["n_good"], found["n_defect"], found["n_left_out"], found["n_seen_by_threshold"]) == (8, 8, 8, 2)
    assert found["roc_auc"] > 0.95
    assert found["by_defect"].keys() == {"hole"}
    assert found.get("n_named_right") == {"classification": 8}.get(family)
    said = said_by(["evaluate", str(fits[family].out), "--data", str(new)])
    assert ("kinds named right     8 of 8\n" in said) == (family == "classification")


@each_family
def test_a_fit_says_what_it_did_and_where_it_is(fits, family):
    made = fits[family]
    said = made.said
    assert said.startswith("data: 12 good, 8 hole to learn from; 3 good, 2 hole held out; 128x128 px\n")
    assert "weights: untrained\nWARNING: no trained weights were found." in said
    assert f"training: {TINY} at 64x64 px, {STEPS[family]} steps of 8; parts are turned" in said
    assert "parity: torch and IR agree within" in said
    assert said.endswith(f"bundle: {made.out}\npictures: {made.report}\n")


@each_family
def test_the_report_has_pictures_the_weights_and_the_curve(fits, family):
    report = fits[family].report
    names = {path.name for path in report.iterdir()}
    assert {"sheet.jpg", "histogram.png", "weights.pth", "training.csv"} < names
    assert sum(name.startswith("good_") for name in names) == 3
    assert sum(name.startswith("hole_") for name in names) == 2
    with (report / "training.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses) == STEPS[family]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


@each_family
def test_another_fit_may_begin_with_the_weights_of_the_report_and_the_same_seed_gives_the_same_bundle(
    fits, family, tmp_path
):
    weights = fits[family].report / "weights.pth"
    more = ["--steps", 2, "--batch", 4, "--weights", weights]
    for name in ("a", "b"):
        said = said_by(arguments_of(family, fits[family].data, tmp_path / name, *more))
        assert "weights: path, weights.pth\n" in said
    one, other = (open_bundle(tmp_path / name).manifest for name in ("a", "b"))
    assert (one.training.weights.source, one.training.weights.sha256) == ("path", sha256_of(weights))
    assert one.threshold == other.threshold
    assert one.files["model.bin"].sha256 == other.files["model.bin"].sha256


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("trainer.supervised.fit.check_parity", ModelError("parity: torch and the IR differ")),
        ("trainer.supervised.fit.draw_report", OSError(errno.ENOSPC, "No space left on device", "a.jpg")),
        ("trainer.supervised.fit.write_bundle", KeyboardInterrupt()),
        ("trainer.export.check_golden", ModelError("golden: another score")),
        ("trainer.supervised.fit.learn", KeyboardInterrupt()),
    ],
)
def test_a_failure_leaves_neither_bundle_nor_pictures(fits, data, tmp_path, monkeypatch, place, error):  # noqa: PLR0917
    monkeypatch.setattr(place, Mock(side_effect=error))
    refusal_of(arguments_of("classification", data, tmp_path / "a.bundle", "--steps", 1), 1)
    assert list(tmp_path.iterdir()) == []


def test_boxes_are_refused_for_segmentation_as_masks_are_wanted(refused, tmp_path):
    for i in range(4):
        tiny.write_image(tmp_path / f"data/images/{i}.png", plate(i))
    images = [{"id": i, "file_name": f"{i}.png", "width": SIDE_PX, "height": SIDE_PX} for i in range(4)]
    boxes = [{"id": i + 1, "image_id": i, "category_id": 1, "bbox": [9, 9, 20, 20], "area": 400} for i in range(2)]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "hole"}]}
    (tmp_path / "data/annotations.json").write_text(json.dumps(content))
    line = refused(arguments_of("segmentation", tmp_path / "data", tmp_path / "a.bundle"), 1)
    assert "no masks, and segmentation learns from nothing else; add ground_truth/<defect>/<image>_mask.png" in line


@each_family
def test_good_images_alone_are_refused_with_the_family_that_takes_them(refused, tmp_path, family):
    for i in range(3):
        tiny.write_image(tmp_path / f"data/good/{i}.png", plate(i))
    line = refused(arguments_of(family, tmp_path / "data", tmp_path / "a.bundle"), 1)
    assert "good images only, defects were wanted to learn from" in line
    assert "--family anomaly" in line


@pytest.mark.parametrize(
    ("family", "option", "complaint"),
    [
        ("classification", ("--bank", 5), "--bank: belongs to --family anomaly; remove it"),
        ("segmentation", ("--merge", 5), "--merge: belongs to --family detection; remove it"),
        ("segmentation", ("--model", "timm"), "--model timm: not of family segmentation, which has unet"),
        ("classification", ("--model", "unet"), "--model unet: not of family classification, which has timm"),
    ],
)
def test_what_belongs_to_another_family_is_refused(refused, tmp_path, family, option, complaint):
    arguments = ["fit", "--family", family, "--data", tmp_path / "none", "--out", tmp_path / "a.bundle", *option]
    assert complaint in refused(arguments, 2)


@each_family
def test_a_backbone_that_timm_does_not_know_is_refused_and_nothing_is_left(refused, data, tmp_path, family):
    arguments = arguments_of(family, data, tmp_path / "a.bundle")
    arguments[arguments.index(TINY)] = "nonsense"
    assert "--backbone nonsense: timm has no such model" in refused(arguments, 2)


@pytest.mark.parametrize("there", ["a.bundle", "a.bundle.report"])
def test_a_bundle_or_a_report_that_exists_is_refused_before_any_work(refused, tmp_path, there):
    (tmp_path / there).mkdir()
    line = refused(arguments_of("classification", tmp_path / "none", tmp_path / "a.bundle"), 2)
    assert f"{there}: exists already; choose another --out or remove it first" in line
