"""Several precisions written into one bundle, and given other thresholds."""

import json
from pathlib import Path

import openvino as ov
import pytest

from models.bundle import MANIFEST, MODEL_XML, Bundle, open_bundle
from models.errors import BundleError, ModelError
from models.golden import check_golden
from models.images import read_image
from models.runner import Runner
from tests import tiny
from tests.trainer.conftest import refusal_of, said_by
from trainer.evaluate import score_images
from trainer.export import Recipe, VariantRecipe, write_bundle
from trainer.variants import variants_of

GOLDEN = {"dark": tiny.frame(), "spot": tiny.frame(tiny.NG)}


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Bundle:
    """f32, and int8 with a threshold of its own."""
    return open_bundle(tiny.make_bundle(tmp_path_factory.mktemp("variants") / "b", variants={"int8": 0.6}))


def graph_of(path: Path) -> ov.Model:
    return ov.Core().read_model(path)


def recipe_of(bundle: Bundle) -> Recipe:
    return Recipe(**{name: getattr(bundle.manifest, name) for name in Recipe.__slots__})


def variant_of(bundle: Bundle) -> VariantRecipe:
    one = bundle.manifest.variants[0]
    graph = graph_of(bundle.at("int8").model_xml)
    return VariantRecipe(graph, one.precision, one.threshold, one.parity, one.hint, one.quantization)


def test_graphs_given_together_come_out_as_one_bundle_that_judges_at_each_precision(both, tmp_path):
    write_bundle(tmp_path / "b", graph_of(both.model_xml), GOLDEN, recipe_of(both), variants=[variant_of(both)])
    made = open_bundle(tmp_path / "b")
    assert made.precisions == ("f32", "int8")
    assert made.at("int8").model_xml == tmp_path / "b/int8" / MODEL_XML
    for old, new in zip(map(both.at, both.precisions), map(made.at, made.precisions), strict=True):
        assert [(one.file, one.outcome) for one in new.manifest.golden] == [
            (one.file, one.outcome) for one in old.manifest.golden
        ]
        assert new.manifest.threshold == old.manifest.threshold
        assert new.manifest.quantization == old.manifest.quantization
        assert check_golden(new, Runner.of(new)).max_relative < 1e-6
    assert (read_image(made.path / "golden/spot.png") == GOLDEN["spot"]).all()


def test_a_variant_without_a_hint_is_told_what_its_precision_says_and_int8_f32(both, tmp_path):
    one = variant_of(both)
    plain = VariantRecipe(one.graph, "int8", one.threshold, one.parity)
    write_bundle(tmp_path / "b", graph_of(both.model_xml), GOLDEN, recipe_of(both), variants=[plain])
    assert open_bundle(tmp_path / "b").manifest.variants[0].hint == "f32"


def test_two_graphs_of_one_precision_leave_nothing_behind(both, tmp_path):
    twice = [variant_of(both), VariantRecipe(graph_of(both.model_xml), "f32", tiny.threshold_at(0.5), tiny.PARITY)]
    with pytest.raises((BundleError, ValueError), match="precision f32 stands there twice"):
        write_bundle(tmp_path / "b", graph_of(both.model_xml), GOLDEN, recipe_of(both), variants=twice)
    assert list(tmp_path.iterdir()) == []


def test_a_variant_that_this_machine_does_not_compute_leaves_nothing_behind(both, tmp_path, monkeypatch):
    monkeypatch.setattr("models.precision.cpu_has_bf16", lambda: False)
    other = VariantRecipe(graph_of(both.model_xml), "bf16", tiny.threshold_at(0.5), tiny.PARITY)
    with pytest.raises(ModelError, match="CPU: does not compute bf16"):
        write_bundle(tmp_path / "b", graph_of(both.model_xml), GOLDEN, recipe_of(both), variants=[other])
    assert list(tmp_path.iterdir()) == []


# `mekiki-train threshold`.


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Grey values whose scores at f32 are 1/255 of them, and at int8 the nearest of 64 steps."""
    root = tmp_path_factory.mktemp("threshold")
    for name, greys in (("good", range(40, 60)), ("spot", range(101, 121))):
        for grey in greys:
            image = tiny.frame(grey)
            image[-1, -1] = ord(name[0])
            tiny.write_image(root / f"{name}/{grey}.png", image)
    return root


def threshold(bundle: Bundle, data: Path, *more: object) -> str:
    return said_by(["threshold", str(bundle.path), "--data", str(data), *map(str, more)])


def test_each_variant_gets_a_threshold_by_the_same_policy_from_its_own_scores(both, data, tmp_path):
    words = threshold(both, data, "--policy", "recall", "--recall", 0.8, "--out", tmp_path / "new")
    new = open_bundle(tmp_path / "new")
    assert new.precisions == both.precisions
    limits = {one.manifest.precision: one.manifest.threshold for one in map(new.at, new.precisions)}
    assert limits["f32"].ng_at_or_above == pytest.approx(101 / 255, rel=1e-5)
    assert limits["int8"].ng_at_or_above == pytest.approx(round(101 / 255 * 63) / 63, rel=1e-5)
    assert limits["f32"].seen == limits["int8"].seen
    assert limits["int8"].asked.recall == 0.8
    assert f"variant int8: threshold: {limits['int8'].ng_at_or_above:.4g} by recall" in words


def test_the_graphs_stay_as_they_are_and_golden_outcomes_follow_each_threshold(both, data, tmp_path):
    threshold(both, data, "--policy", "recall_1", "--out", tmp_path / "new")
    new = open_bundle(tmp_path / "new")
    assert new.manifest.files == both.manifest.files
    for one in map(new.at, new.precisions):
        assert check_golden(one, Runner.of(one)).n_images == 2
    assert new.manifest.made_from == both.digest


def test_a_persons_number_is_of_one_scale_and_variants_are_left_out_and_named(both, data, tmp_path):
    words = threshold(both, data, "--policy", "fixed", "--at", 0.35, "--out", tmp_path / "new")
    new = open_bundle(tmp_path / "new")
    assert new.precisions == ("f32",)
    assert not (tmp_path / "new/int8").exists()
    assert "variant int8: left out, as a number was given for the scores at f32" in words
    banded = ("--policy", "recall_1", "--review-from", 0.25, "--json")
    found = json.loads(threshold(both, data, *banded))["new"]["variants"]
    assert found == {"int8": {"left_out": "as a number was given for the scores at f32"}}


def test_a_variant_that_cannot_be_measured_here_is_left_out_and_named(both, data, tmp_path, monkeypatch):
    source = tiny.make_bundle(tmp_path / "old", variants={"int8": 0.6})
    text = (source / MANIFEST).read_text().replace('"hint": "f32"', '"hint": "bf16"')
    (source / MANIFEST).write_text(text)
    monkeypatch.setattr("models.precision.cpu_has_bf16", lambda: False)
    words = threshold(open_bundle(source), data, "--policy", "recall_1", "--out", tmp_path / "new")
    assert "variant int8: left out, as it cannot be measured here (CPU: does not compute bf16 by itself" in words
    assert open_bundle(tmp_path / "new").precisions == ("f32",)


def test_what_does_not_hold_on_a_variants_scores_is_refused_and_named(both, data, tmp_path, monkeypatch):
    from trainer import rethreshold

    score = rethreshold.score_images
    monkeypatch.setattr(
        rethreshold, "score_images", lambda *given: score(*given)[: None if given[2] == "score" else 25]
    )
    asked = ("--policy", "recall", "--recall", "0.8", "--out", str(tmp_path / "new"))
    line = refusal_of(["threshold", str(both.path), "--data", str(data), *asked], 1)
    assert "at int8: 5 defects, all caught, prove a recall of 0.549" in line
    assert not (tmp_path / "new").exists()


# `mekiki-train evaluate`.


def test_a_variant_is_evaluated_by_its_own_graph_and_threshold(both, data):
    asked = ["evaluate", str(both.path), "--data", str(data), "--json"]
    main, int8 = (json.loads(said_by([*asked, *more])) for more in ([], ["--precision", "int8"]))
    assert (main["precision_hint"], int8["precision_hint"]) == ("f32", "int8")
    assert (main["threshold"], int8["threshold"]) == (0.5, 0.6)
    assert "b: holds f32, int8, not bf16" in refusal_of([*asked, "--precision", "bf16"], 1)


# Of a network whose graph is the same at each precision.


def test_each_graph_is_asked_once_and_the_threshold_is_put_on_what_it_said(both, data):
    labelled = [(path.parent.name, path) for path in sorted(data.rglob("*.png"))]
    scored = score_images(Runner(both.model_xml, both.manifest.decoder, "f32"), labelled, "score")
    asked, proven_on = [], []

    def score(runner):
        asked.append((runner.precision, score_images(runner, labelled, "score")))
        return asked[-1][1]

    def prove(_, found, say):
        proven_on.append(found)
        return tiny.threshold_at(0.5), tiny.PARITY

    graph, decoder = graph_of(both.model_xml), both.manifest.decoder
    (made,) = variants_of(["f16"], graph, decoder, lambda: None, scored, score, prove, lambda _: None)
    assert made.precision == "f16"
    assert [precision for precision, _ in asked] == ["f16"]
    assert proven_on == [asked[0][1]]
