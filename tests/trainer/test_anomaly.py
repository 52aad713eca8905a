"""Models beside PatchCore: what a fit of each leaves, and that all of them keep the same contract."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle import Bundle, open_bundle
from models.files import sha256_of
from models.golden import check_golden
from models.images import read_image
from models.manifest import Augmentation, HeatmapDecoder, Weights
from models.runner import Runner
from tests.trainer.conftest import refusal_of, said_by
from tests.trainer.plates import make_good, plate
from trainer.anomaly.defects import Painter
from trainer.anomaly.extractor import extractor_of
from trainer.anomaly.graph import graph_of
from trainer.anomaly.model import NO_WEIGHTS, Lesson, Setup, open_model
from trainer.anomaly.padim import gaussians_of, n_features, shrunk
from trainer.anomaly.positive import positive
from trainer.anomaly.train import draw_batch, train
from trainer.dataset import scan
from trainer.evaluate import evaluate
from trainer.export import save_ir
from trainer.options import FitOptions
from trainer.size import spec_for

SIDE_PX = 64
STARTER = Path(__file__).parents[2] / "models/starter/resnet18.pth"
STEPS = {"padim": None, "stfpm": 40, "supersimplenet": 30, "draem": 20}
PLAIN = Augmentation(angles_deg=(0,), shift=0, brightness=0)
each_model = pytest.mark.parametrize("model", STEPS)


@dataclass(frozen=True)
class Fits:
    """Of each model one, made when it is first asked for."""

    data: Path
    weights: Path
    folder: Path
    made: dict[str, str] = field(default_factory=dict)

    def arguments(self, model: str, out: Path, *more: object) -> list[str]:
        found = ["fit", "--family", "anomaly", "--model", model, "--data", self.data, "--out", out, "--seed", 3]
        found += ["--image-size", SIDE_PX, *([] if model == "draem" else ["--weights", self.weights])]
        found += [] if STEPS[model] is None else ["--steps", STEPS[model], "--batch", 3]
        return [str(one) for one in [*found, *more]]

    def said(self, model: str) -> str:
        if model not in self.made:
            self.made[model] = said_by(self.arguments(model, self.folder / model))
        return self.made[model]

    def bundle(self, model: str) -> Bundle:
        self.said(model)
        return open_bundle(self.folder / model)


@pytest.fixture(scope="module")
def fits(torch, plates, weights, tmp_path_factory) -> Fits:
    return Fits(plates.root, weights, tmp_path_factory.mktemp("fits"))


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    return Lesson([plate(i) for i in range(6)], PLAIN, spec_for(SIDE_PX, plate(0)))


def setup_of(model: str, weights: Path | None, **more) -> Setup:
    source = NO_WEIGHTS if weights is None else Weights(source="path", name="w", sha256=sha256_of(weights))
    return Setup(FitOptions(model=model, data=Path(), out=Path(), **more), source, weights)


@each_model
def test_the_bundle_opens_and_its_golden_images_agree(fits, model):
    bundle = fits.bundle(model)
    assert check_golden(bundle, Runner.of(bundle)).n_images == 3
    assert (bundle.manifest.family, bundle.manifest.model) == ("anomaly", model)
    assert bundle.manifest.decoder.kind == "heatmap"
    assert bundle.manifest.parity.n_images == 4
    assert bundle.manifest.parity.max_relative <= 1e-3


@each_model
def test_the_threshold_rests_on_good_images_that_were_not_learned_from(fits, plates, model):
    manifest = fits.bundle(model).manifest
    given, learned = {sha256_of(path) for path in plates.train}, set(manifest.training.images)
    aside = given - learned
    assert (len(aside), len(learned)) == (2, 6)
    assert learned < given
    assert manifest.threshold.n_good == 2 + len(plates.good)
    assert set(manifest.threshold.seen) == aside | {sha256_of(path) for path in plates.good + plates.holes}
    assert "held out: 2 of 8 good images are not learned from; the threshold rests on them" in fits.said(model)


@each_model
def test_the_manifest_says_how_to_make_this_model_again(fits, model):
    training = fits.bundle(model).manifest.training
    assert (training.steps, training.batch) == ((0, 0) if STEPS[model] is None else (STEPS[model], 3))
    assert training.seed == 3
    layers = {"padim": 2, "stfpm": 3, "supersimplenet": 2, "draem": 0}[model]
    assert training.layers == ("layer1", "layer2", "layer3")[3 - layers :]
    backbone, source = (None, "untrained") if model == "draem" else ("resnet18", "path")
    assert (training.backbone, training.weights.source) == (backbone, source)


@pytest.mark.parametrize("model", ["padim", "stfpm"])
def test_plates_with_a_hole_score_higher_than_good_ones_that_no_one_saw(fits, model):
    runner = Runner.of(fits.bundle(model))
    good, bad = ([runner.predict(plate(900 + i, hole=hole)).score for i in range(8)] for hole in (False, True))
    assert min(bad) > max(good)


def test_supersimplenet_with_the_starter_weights_tells_plates_with_a_hole_from_good_ones(torch, lesson):
    """Not with random weights: noise in features that mean nothing looks like no defect."""
    source = Weights(source="starter", name="resnet18.pth", sha256=None)
    options = FitOptions(model="supersimplenet", data=Path(), out=Path(), steps=40, batch=3)
    learned = open_model(Setup(options, source, STARTER)).learn(lesson, lambda _: None)
    good, bad = ([learned.torch_score(plate(900 + i, hole=hole)) for i in range(8)] for hole in (False, True))
    assert min(bad) > max(good)


@each_model
def test_the_heatmap_is_no_smaller_than_a_sixteenth_of_the_picture_and_nowhere_below_nothing(fits, model):
    heatmap = Runner.of(fits.bundle(model)).predict(plate(7, hole=True)).heatmap
    assert min(heatmap.shape) >= SIDE_PX // 16
    assert heatmap.min() >= 0
    assert heatmap.std() > 0


@each_model
def test_evaluate_counts_the_images_kept_aside_as_seen_and_leaves_out_those_learned_from(fits, plates, model):
    bundle = fits.bundle(model)
    dataset = scan(plates.root, limit=0)
    found = evaluate(bundle, dataset)
    assert found["n_seen_by_threshold"] == len(plates.good + plates.holes)
    assert found["by_defect"].keys() == {"hole"}


@pytest.mark.parametrize("model", ["padim", "supersimplenet"])
def test_same_seed_same_scores_and_another_seed_others(fits, lesson, weights, model, torch):
    scores = []
    for seed in (1, 1, 2):
        opened = open_model(setup_of(model, weights, seed=seed, steps=3, batch=2))
        learned = opened.learn(lesson, lambda _: None)
        scores.append(learned.torch_score(plate(50, hole=True)))
    assert scores[0] == scores[1] != scores[2]


@pytest.mark.parametrize("model", ["padim", "stfpm", "supersimplenet", "draem"])
def test_a_network_that_computes_nan_gives_no_score_on_the_device_either(lesson, weights, model, torch, tmp_path):
    from trainer.anomaly.draem import Draem
    from trainer.anomaly.padim import Padim
    from trainer.anomaly.stfpm import Stfpm
    from trainer.anomaly.supersimplenet import SuperSimpleNet

    kind = {"padim": Padim, "stfpm": Stfpm, "supersimplenet": SuperSimpleNet, "draem": Draem}[model]
    network = kind(setup_of(model, None if model == "draem" else weights, steps=1, batch=2)).learn(lesson)
    spoil = {
        "padim": lambda: network.whitening,
        "stfpm": lambda: network.student.feature_extractor.layer3[1].bn2.bias,
        "supersimplenet": lambda: network.head[3].weight,
        "draem": lambda: network.find.decoder_segment.fin_out[0].bias,
    }[model]()
    with torch.no_grad():
        spoil.view(-1)[0] = float("nan")
    if model == "stfpm":  # its layers end in ReLU, which makes 0 of NaN on a CPU: the map must not do so again
        network.student.feature_extractor.layer3[1].act2 = torch.nn.Identity()
    save_ir(graph_of(network, lesson.spec, "heatmap"), tmp_path / "model.xml")
    runner = Runner(tmp_path / "model.xml", HeatmapDecoder(kind="heatmap", top_cells=1), "f32")
    assert math.isnan(runner.predict(plate(0)).score)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_logit_that_is_no_number_stays_none(torch, value):
    found = positive(torch.tensor([-90.0, 0.0, 90.0, value]))
    assert found[:3].tolist() == pytest.approx([math.exp(-90), math.log(2), 90], rel=1e-6)
    assert not torch.isfinite(found[3])


def test_whitened_vectors_have_the_mahalanobis_distance():
    rng = np.random.default_rng(0)
    spread = np.array([1, 1.1, 1.2, 1.3, 1.4])  # alike, so that what is added to each covariance is small
    vectors = (rng.normal(size=(2000, 5, 3)) * spread[None, :, None]).astype(np.float32)
    mean, whitening = gaussians_of(vectors)
    new = rng.normal(size=5).astype(np.float32) * 5
    for place in range(3):
        covariance = np.cov(vectors[:, :, place].T)
        away = new - vectors[:, :, place].mean(axis=0)
        want = np.sqrt(away @ np.linalg.inv(covariance) @ away)
        assert np.linalg.norm((new - mean[:, place]) @ whitening[place]) == pytest.approx(want, rel=0.05)


def test_shrunk_covariances_are_those_of_scikit_learn():
    from sklearn.covariance import ledoit_wolf

    centred = np.random.default_rng(0).normal(size=(4, 7, 12)) * np.arange(1, 13)
    centred -= centred.mean(axis=1, keepdims=True)
    for got, samples in zip(shrunk(centred), centred, strict=True):
        np.testing.assert_allclose(got, ledoit_wolf(samples, assume_centered=True)[0], rtol=1e-9, atol=1e-12)


def test_a_place_where_good_parts_never_differ_has_a_finite_distance():
    vectors = np.random.default_rng(0).normal(size=(9, 4, 2)).astype(np.float32)
    vectors[:, :, 1] = 3
    _, whitening = gaussians_of(vectors)
    assert np.isfinite(whitening).all()


@pytest.mark.parametrize("side", [8, 32, 48, 64, 128])
def test_the_gaussians_of_a_larger_map_have_fewer_features_and_fit_into_60_mb(side):
    count = n_features(side**2, 384)
    assert count <= 100
    assert 4 * side**2 * count**2 < 48e6
    assert count >= min(100, 384) or 4 * side**2 * (count + 1) ** 2 > 44e6


def test_every_batch_is_a_view_of_a_good_image_as_it_was_planned(torch, lesson):
    batch = draw_batch(lesson, 4, np.random.default_rng(0))
    assert batch.shape == (4, 3, SIDE_PX, SIDE_PX)
    known = [draw_batch(Lesson([image], PLAIN, lesson.spec), 1, np.random.default_rng(0)) for image in lesson.images]
    assert all(any(torch.equal(one, other[0]) for other in known) for one in batch)


def test_defects_are_painted_where_the_mask_says_and_nowhere_else(torch):
    pictures = torch.stack(
        [torch.from_numpy(plate(i, height_px=200, width_px=160)).permute(2, 0, 1) / 255 for i in range(8)]
    )
    painted, masks = Painter(0).paint(pictures, np.random.default_rng(4))
    sound = masks.amax(dim=(1, 2, 3)) == 0
    assert 0 < int(sound.sum()) < 8
    assert set(masks.unique().tolist()) == {0, 1}
    change = (painted - pictures).abs().amax(dim=1, keepdim=True)
    assert float(change[masks == 1].mean()) > 10 * float(change[masks == 0].mean())
    assert 0 <= float(painted.min()) <= float(painted.max()) <= 1


def test_a_loss_that_is_no_number_ends_the_training_with_its_step(torch):
    weight = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(Exception, match="step 0: the loss is nan; give other --weights or a larger --batch"):
        train(torch.optim.SGD([weight], lr=1), 3, 0, lambda _: weight.sum() * math.nan)


@pytest.mark.parametrize("is_starter", [True, False])
def test_only_weights_that_saw_no_photograph_take_their_statistics_from_the_good_parts(
    torch, lesson, weights, is_starter
):
    source = Weights(source="starter" if is_starter else "path", name="w", sha256=None)
    setup = Setup(FitOptions(model="stfpm", data=Path(), out=Path()), source, weights)
    found = extractor_of(setup, ("layer2",), lesson).feature_extractor.bn1.running_var
    given = torch.load(weights, weights_only=True)["bn1.running_var"]
    assert torch.allclose(found, given) != is_starter


@pytest.mark.parametrize(
    ("model", "more", "complaint"),
    [
        ("padim", ("--bank", 5), "--bank: --model padim has none, patchcore do; remove it"),
        ("stfpm", ("--cycle-time", 1), "--cycle-time: --model stfpm has none"),
        ("stfpm", ("--precision", "bf16"), "--precision: --model stfpm has none, patchcore do; remove it"),
        ("padim", ("--steps", 5), "--steps: --model padim has none, stfpm, supersimplenet, draem do; remove it"),
        ("draem", ("--backbone", "resnet18"), "--backbone: --model draem has none, patchcore, padim"),
        ("draem", ("--weights", "w.pth"), "--weights: --model draem has none"),
        ("draem", ("--allow-hub",), "--allow-hub: --model draem has none"),
    ],
)
def test_an_argument_that_a_model_does_not_read_is_refused(plates, tmp_path, model, more, complaint):
    arguments = ["fit", "--family", "anomaly", "--model", model, "--data", plates.root, "--out", tmp_path / "b", *more]
    assert complaint in refusal_of([str(one) for one in arguments], 2)


def test_too_few_images_to_keep_some_aside_are_refused_with_what_to_do(fits, tmp_path):
    make_good(tmp_path / "data/good", 3)
    arguments = fits.arguments("padim", tmp_path / "b", "--data", tmp_path / "data")
    line = refusal_of(arguments, 1)
    assert "3 good image(s); padim keeps 2 of them aside for the threshold and learns from 2 at least" in line
    assert list(tmp_path.iterdir()) == [tmp_path / "data"]


def test_a_fit_on_good_images_alone_has_golden_images_that_were_not_learned_from(fits, tmp_path):
    make_good(tmp_path / "data/good", 6)
    said_by(fits.arguments("padim", tmp_path / "b", "--data", tmp_path / "data"))
    manifest = open_bundle(tmp_path / "b").manifest
    assert manifest.threshold.policy == "normal_quantile"
    assert manifest.threshold.n_good == 2
    outcomes = {golden.file: golden.outcome for golden in manifest.golden}
    assert outcomes == {"golden/good.png": "ok", "golden/defaced.png": "ng"}
    golden = read_image(tmp_path / "b/golden/good.png")
    learned = [read_image(p) for p in (tmp_path / "data/good").iterdir() if sha256_of(p) in manifest.training.images]
    assert len(learned) == 4
    assert not any(np.array_equal(golden, image) for image in learned)


def test_however_many_precisions_are_asked_for_the_first_one_is_judged_once(torch, weights, lesson, monkeypatch):
    from trainer.anomaly import heatmap

    scores, asked = heatmap._scores, []

    def counted(graph, images, decoder, precision):
        asked.append(precision)
        return scores(graph, images, decoder, precision)

    monkeypatch.setattr(heatmap, "_scores", counted)
    aside = [plate(i) for i in range(20, 22)]
    learned = open_model(setup_of("padim", weights)).learn(replace(lesson, aside=aside), lambda _: None)
    assert asked == []
    for _ in range(2):
        learned.also("f16", lambda _: None)
    assert asked == ["f32"] * 2 + ["f16"] * 4  # good images, and the same with defects
