"""What a fit leaves behind."""

import shutil

import cv2
import numpy as np
import pytest

from models.bundle import MODEL_BIN, open_bundle
from models.errors import DatasetError
from models.files import sha256_of
from models.golden import check_golden
from models.health import limits_of, unfit
from models.images import read_image
from models.measure import measure
from models.precision import cpu_has_bf16
from models.runner import Runner
from tests.trainer.conftest import BANK, SIZE_PX, fit_arguments, refusal_of, said_by
from tests.trainer.plates import hole_of, plate
from trainer.cli import main
from trainer.dataset import scan
from trainer.evaluate import Scored
from trainer.export import defaced
from trainer.pictures import draw_histogram, draw_report
from trainer.proof import put_threshold


@pytest.fixture(scope="module")
def good_only(plates, tmp_path_factory):
    """Two fits on good images alone, untrained, with the same seed: what they left and what they said."""
    folder = tmp_path_factory.mktemp("good_only")
    shutil.copytree(plates.root / "train/good", folder / "data/good")
    choices = ["--seed", 5, "--augment", "on", "--image-size", 64, "--compatible", "m5-screw"]
    outs = [folder / "first.bundle", folder / "again.bundle"]
    return outs, [said_by(fit_arguments(folder / "data", out, *choices)) for out in outs]


@pytest.mark.parametrize("is_starter", [True, False])
def test_only_weights_that_saw_no_photograph_take_their_statistics_from_the_good_parts(
    is_starter, fitted, torch, tmp_path, monkeypatch
):
    state = torch.load(fitted.weights, weights_only=True)
    scores = []
    for name, factor in (("as_it_was", 1), ("spoilt", 9)):
        file = tmp_path / name / "resnet18.pth"
        file.parent.mkdir()
        torch.save({k: v * factor if k.endswith("running_var") else v for k, v in state.items()}, file)
        monkeypatch.setattr("trainer.backbone.STARTER", file.parent)
        more = [] if is_starter else ["--weights", file]
        out = tmp_path / f"{name}.bundle"
        said_by(fit_arguments(fitted.plates.root, out, "--image-size", 64, "--augment", "off", *more))
        scores.append([golden.score for golden in open_bundle(out).manifest.golden])
    assert (scores[0] == pytest.approx(scores[1], rel=1e-5)) == is_starter


def test_a_bundle_says_for_which_product_it_is_and_none_where_nobody_said(good_only, fitted):
    assert open_bundle(good_only[0][0]).manifest.compatible == "m5-screw"
    assert fitted.bundle.manifest.compatible is None


def test_the_bundle_opens_and_its_golden_images_agree(fitted):
    bundle = fitted.bundle
    agreement = check_golden(bundle, Runner.of(bundle))
    assert agreement.n_images == len(bundle.manifest.golden) == 3
    assert agreement.max_relative < 1e-6


def test_the_manifest_says_how_to_make_this_model_again(fitted):
    training = fitted.bundle.manifest.training
    assert training.images == tuple(sha256_of(path) for path in fitted.plates.train)
    assert training.image_sizes_px == ((128, 128),)
    assert (training.backbone, training.layers) == ("resnet18", ("layer2", "layer3"))
    assert (training.weights.source, training.weights.name) == ("path", "settled.pth")
    assert training.weights.sha256 == sha256_of(fitted.weights)
    assert (training.bank_vectors, training.seed) == (BANK, 3)
    assert training.augmentation.angles_deg == (0,)
    assert {"torch", "openvino", "timm", "anomalib"} <= training.versions.keys()


def test_the_manifest_says_what_the_graph_does_to_a_frame(fitted):
    manifest = fitted.bundle.manifest
    assert (manifest.preprocess.height_px, manifest.preprocess.width_px) == (SIZE_PX, SIZE_PX)
    assert (manifest.family, manifest.model, manifest.precision) == ("anomaly", "patchcore", "f32")
    assert manifest.parity.n_images == 4
    assert manifest.parity.max_relative <= 1e-3


def test_the_manifest_says_what_stands_behind_the_threshold(fitted):
    threshold = fitted.bundle.manifest.threshold
    assert (threshold.policy, threshold.n_good, threshold.n_defect) == ("recall_1", 12, 4)
    assert threshold.recall_lower_95 == pytest.approx(0.05 ** (1 / 4))
    assert set(threshold.seen) == {sha256_of(path) for path in fitted.plates.good + fitted.plates.holes}


def test_among_the_golden_images_are_good_ones_and_bad_ones(fitted):
    outcomes = {golden.file: golden.outcome for golden in fitted.bundle.manifest.golden}
    assert outcomes == {"golden/good.png": "ok", "golden/defect.png": "ng", "golden/defaced.png": "ng"}


def test_the_limits_of_health_are_those_of_the_images_learned_from_as_the_camera_gives_them(fitted):
    limits = fitted.bundle.manifest.health
    assert limits == limits_of([measure(read_image(path)) for path in fitted.plates.train])
    assert limits.n_images == 8
    shown = (
        f"unknown unless its brightness is {limits.brightness.low:.0f} to {limits.brightness.high:.0f}, its sharpness"
    )
    assert shown in fitted.said


def test_unseen_plates_good_and_bad_are_fit_to_be_judged_and_dark_or_blurred_ones_are_not(fitted):
    limits = fitted.bundle.manifest.health
    for seed in range(1000, 1020):
        image = plate(seed, hole=seed % 2 == 0)
        assert unfit(measure(image), limits) is None
        assert unfit(measure(cv2.convertScaleAbs(image, alpha=0.4)), limits)[0] == "too_dark"
        assert unfit(measure(cv2.GaussianBlur(image, (0, 0), 4)), limits)[0] == "blurred"


def test_light_that_was_varied_in_training_is_fit(fitted):
    augmentation, limits = fitted.bundle.manifest.training.augmentation, fitted.bundle.manifest.health
    brightness = [measure(read_image(path)).brightness for path in fitted.plates.train]
    assert limits.brightness.low <= min(brightness) * (1 - augmentation.brightness) * 1.05
    assert limits.brightness.high >= max(brightness) * (1 + augmentation.brightness) * 0.95


def test_with_too_few_images_to_see_their_scatter_health_is_not_checked(plates, weights, tmp_path):
    arguments = fit_arguments(plates.root / "train", tmp_path / "few.bundle", "--weights", weights, "--limit", 4)
    said = said_by(arguments)
    assert open_bundle(tmp_path / "few.bundle").manifest.health is None
    assert "health: not checked on the line; 5 good images or more show how light, focus and place vary\n" in said


def test_every_unseen_plate_is_judged_right(fitted):
    runner, limit = Runner.of(fitted.bundle), fitted.bundle.manifest.threshold.ng_at_or_above
    assert all(runner.predict(plate(1000 + i)).score < limit for i in range(10))
    assert all(runner.predict(plate(1000 + i, hole=True)).score >= limit for i in range(10))


def test_the_heatmap_is_hottest_where_the_hole_is(fitted):
    runner = Runner.of(fitted.bundle)
    for seed in range(1100, 1105):
        heat = runner.predict(plate(seed, hole=True)).heatmap
        row, column = np.unravel_index(heat.argmax(), heat.shape)
        x, y = hole_of(seed)
        assert np.hypot((column + 0.5) * 128 / heat.shape[1] - x, (row + 0.5) * 128 / heat.shape[0] - y) < 24


def test_a_fit_says_what_it_did_and_where_it_is(fitted):
    said = fitted.said
    assert "data: 8 good to learn from, 4 good to test, 4 hole; 128x128 px\n" in said
    assert "warning: 8 good images show little" in said
    assert "weights: path, settled.pth\n" in said
    assert "-> 1 view(s) of each image (--augment auto); frames are looked at as they are (parts lie alike)\n" in said
    assert f"bank: {BANK} vectors of 192\n" in said
    assert said.endswith(f"bundle: {fitted.out}\npictures: {fitted.report}\n")


def test_the_report_has_a_picture_of_each_bad_image_and_of_the_worst_good_ones(fitted):
    names = {path.name for path in fitted.report.iterdir()}
    holes, good = {f"hole_{path.stem}.jpg" for path in fitted.plates.holes}, {f"good_{i:03}.jpg" for i in range(4)}
    assert names == holes | good | {"sheet.jpg", "histogram.png"}
    for name in names:
        assert min(cv2.imread(str(fitted.report / name)).shape[:2]) >= 320


def test_a_picture_shows_the_part_with_its_mask_outlined(fitted):
    shown = read_image(fitted.report / "hole_000.jpg")[34:]
    assert shown.shape == (640, 640, 3)
    masked = cv2.resize(read_image(fitted.plates.root / "ground_truth/hole/000_mask.png"), (640, 640))
    rim = cv2.morphologyEx(masked[:, :, 0], cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) > 127
    assert shown[rim].max(axis=1).mean() > shown[masked[:, :, 0] > 250].max(axis=1).mean()


def test_nothing_but_the_bundle_and_its_pictures_is_left(fitted):
    assert {path.name for path in fitted.out.parent.iterdir()} == {fitted.out.name, fitted.report.name}


def test_without_defects_the_threshold_lies_above_the_held_out_scores_and_recall_is_unknown(good_only):
    outs, said = good_only
    threshold = open_bundle(outs[0]).manifest.threshold
    assert (threshold.policy, threshold.n_good, threshold.n_defect) == ("normal_quantile", 8, 0)
    assert threshold.recall_lower_95 is None
    assert "recall unknown, as no defects were given" in said[0]
    assert [golden.outcome for golden in open_bundle(outs[0]).manifest.golden] == ["ok", "ng"]


def test_untrained_weights_are_used_last_with_a_loud_warning_and_recorded(good_only):
    outs, said = good_only
    assert "WARNING: no trained weights were found." in said[0]
    assert open_bundle(outs[0]).manifest.training.weights.source == "untrained"


def test_same_seed_same_threshold_and_same_bank(good_only):
    first, again = (open_bundle(out).manifest for out in good_only[0])
    assert first.threshold == again.threshold
    assert first.training == again.training
    assert first.files[MODEL_BIN] == again.files[MODEL_BIN]


def test_switched_on_views_are_recorded(good_only):
    plan = open_bundle(good_only[0][0]).manifest.training.augmentation
    assert plan.angles_deg == tuple(30.0 * i for i in range(12))
    assert "12 view(s) of each image (--augment on); frames are looked at as they are" in good_only[1][0]


def test_a_report_without_test_images_still_has_its_histogram(good_only):
    folder = good_only[0][0].with_name("first.bundle.report")
    assert [path.name for path in folder.iterdir()] == ["histogram.png"]


@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU does not compute bf16")
def test_a_bundle_of_bf16_is_measured_at_bf16_from_bank_to_golden_images(plates, weights, tmp_path):
    out = tmp_path / "half.bundle"
    said = said_by(fit_arguments(plates.root, out, "--weights", weights, "--precision", "bf16"))
    assert "parity: torch and IR agree within" in said
    assert "of the score at f32\nparity: torch and IR at bf16 agree within" in said
    bundle = open_bundle(out)
    assert bundle.manifest.precision == "bf16"
    check_golden(bundle, Runner.of(bundle))
    assert 1e-6 < bundle.manifest.parity.max_relative < 2e-2, "it is rounded"
    limit = bundle.manifest.threshold.ng_at_or_above
    runner = Runner.of(bundle)
    assert [runner.predict(plate(500, hole=hole)).score >= limit for hole in (False, True)] == [False, True]


def test_bf16_is_refused_before_any_work_where_the_cpu_does_not_compute_it(plates, tmp_path, monkeypatch):
    monkeypatch.setattr("models.precision.cpu_has_bf16", lambda: False)
    err = refusal_of(fit_arguments(plates.root, tmp_path / "b", "--precision", "bf16"), 1)
    assert "CPU: does not compute bf16 by itself" in err
    assert not list(tmp_path.iterdir())


def test_a_bundle_that_exists_is_refused_and_stays_as_it_is(fitted, capsys):
    before = {path: path.stat().st_mtime_ns for path in fitted.out.rglob("*")}
    assert main(fit_arguments(fitted.plates.root, fitted.out)) == 2
    assert "exists already; choose another --out or remove it first" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in fitted.out.rglob("*")} == before


@pytest.mark.parametrize("there", ["old.bundle.report", "old.bundle"])
def test_a_report_or_a_link_that_exists_is_refused_before_any_work(plates, tmp_path, capsys, there):
    (tmp_path / there).symlink_to(tmp_path / "nowhere")
    assert main(fit_arguments(plates.root, tmp_path / "old.bundle")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{there}: exists already" in err


def test_a_folder_for_the_bundle_that_is_not_there_is_refused_and_not_made(plates, tmp_path, capsys):
    assert main(fit_arguments(plates.root, tmp_path / "none/a.bundle")) == 2
    assert f"{tmp_path / 'none'}: no such folder for --out; make it first" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def scored(fitted):
    runner = Runner.of(fitted.bundle)
    paths = [("good", fitted.plates.good[0]), ("hole", fitted.plates.holes[0])]
    return [Scored(path, sha256_of(path), label, runner.predict(read_image(path))) for label, path in paths]


def test_recall_1_without_defects_is_refused(scored):
    with pytest.raises(DatasetError, match="--policy recall_1 needs images of defects"):
        put_threshold("recall_1", [1.0, 2.0], scored[:1])


def test_normal_quantile_does_not_look_at_defects_even_where_there_are_some(scored):
    limit = put_threshold("normal_quantile", [1.0, 2.0], scored)
    assert (limit.policy, limit.n_good, limit.n_defect, limit.seen) == ("normal_quantile", 3, 0, (scored[0].sha256,))


def test_the_policy_follows_from_the_data_unless_given(scored):
    assert put_threshold("auto", [1.0, 2.0], scored).policy == "recall_1"
    assert put_threshold("auto", [1.0, 2.0], scored[:1]).policy == "normal_quantile"


def test_a_mask_that_cannot_be_read_costs_its_outline_and_not_the_picture(fitted, scored, tmp_path):
    shutil.copytree(fitted.plates.root, tmp_path / "data")
    dataset = scan(tmp_path / "data")
    for mask in dataset.masks.values():
        mask.write_bytes(b"")
    hole = Scored(dataset.defects["hole"][0], scored[1].sha256, "hole", scored[1].prediction)
    (tmp_path / "report").mkdir()
    draw_report(tmp_path / "report", dataset, [hole], [1.0, 2.0], 3.0)
    assert cv2.imread(str(tmp_path / "report/hole_000.jpg")) is not None


def test_a_histogram_of_equal_scores_is_drawn(tmp_path):
    draw_histogram(tmp_path / "h.png", {"good, held out": [2.0, 2.0]}, 2.5, "equal")
    assert cv2.imread(str(tmp_path / "h.png")).shape == (504, 960, 3)


@pytest.mark.parametrize(("height_px", "width_px"), [(8, 8), (64, 200), (1024, 1024)])
def test_a_defaced_image_has_a_checkered_square_in_its_middle_and_is_a_copy(height_px, width_px):
    image = np.full((height_px, width_px, 3), 99, np.uint8)
    made = defaced(image)
    assert image.min() == image.max() == 99
    assert set(np.unique(made)) <= {0, 99, 255}
    assert (made != 99).any()
    assert set(np.unique(made[height_px // 2 - 2 : height_px // 2 + 2, width_px // 2 - 2 : width_px // 2 + 2])) == {
        0,
        255,
    }
