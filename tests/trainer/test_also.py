"""A fit with further precisions: each with a graph, scores and a threshold of its own."""

import numpy as np
import openvino as ov
import pytest

from models.bundle import open_bundle
from models.errors import ConfigError
from models.files import sha256_of
from models.golden import check_golden
from models.runner import Runner
from tests.trainer.conftest import fit_arguments, refusal_of, said_by
from tests.trainer.plates import plate
from trainer.fit_command import options_of


@pytest.fixture(scope="module")
def made(plates, weights, tmp_path_factory):
    """(the bundle, what was said)"""
    out = tmp_path_factory.mktemp("also") / "plates.bundle"
    few = ["--bank", 150, "--image-size", 64, "--feature-width", 384]  # an untrained network tells little by fewer
    said = said_by(fit_arguments(plates.root, out, "--weights", weights, *few, "--also", "int8,f16"))
    return open_bundle(out), said


def kinds_in(bundle) -> list[str]:
    graph = ov.Core().read_model(bundle.model_xml)
    return [node.get_type_name() for node in graph.get_ordered_ops()]


def bank_in(bundle) -> np.ndarray:
    graph = ov.Core().read_model(bundle.model_xml)
    return next(node.data for node in graph.get_ordered_ops() if node.get_friendly_name() == "middle")


def test_one_bundle_has_the_fit_at_each_precision_and_each_judges_as_its_part_of_the_manifest_says(made):
    bundle, _ = made
    assert bundle.precisions == ("f32", "int8", "f16")
    for precision in bundle.precisions:
        one = bundle.at(precision)
        assert check_golden(one, Runner.of(one)).max_relative < 1e-6
        assert {golden.outcome for golden in one.manifest.golden} == {"ok", "ng"}


def test_each_precision_has_a_bank_of_its_own_features_and_a_threshold_on_its_own_scores(made):
    main, int8 = made[0], made[0].at("int8")
    assert not np.array_equal(bank_in(main), bank_in(int8))
    assert main.manifest.threshold.ng_at_or_above != int8.manifest.threshold.ng_at_or_above
    assert [one.score for one in main.manifest.golden] != [one.score for one in int8.manifest.golden]


def test_every_unseen_plate_is_judged_right_in_eight_bits(made):
    int8 = made[0].at("int8")
    runner, limit = Runner.of(int8), int8.manifest.threshold.ng_at_or_above
    assert all(runner.predict(plate(1000 + i)).score < limit for i in range(6))
    assert all(runner.predict(plate(1000 + i, hole=True)).score >= limit for i in range(6))


def test_the_network_and_the_search_are_quantised_and_the_resize_is_not(made):
    assert "FakeQuantize" not in kinds_in(made[0])
    kinds = kinds_in(made[0].at("int8"))
    assert kinds.count("FakeQuantize") > 15
    assert "FakeQuantize" not in kinds[: kinds.index("Interpolate") + 1]
    assert kinds.index("Interpolate") < kinds.index("FakeQuantize")


def test_the_manifest_says_how_it_was_quantised_on_which_images_and_what_that_did_to_the_decision(made, plates):
    manifest = made[0].at("int8").manifest
    record = manifest.quantization
    assert record.nncf.startswith("3.")
    assert set(record.images) == {sha256_of(path) for path in plates.train}
    assert record.after.auc >= record.before.auc - 0.005
    assert manifest.parity.n_images == 4
    assert made[0].manifest.quantization is None


def test_a_person_reads_of_each_precision_what_became_of_it(made):
    lines = made[1].splitlines()
    assert any(line.startswith("int8: AUC ") and line.endswith("layers quantised") for line in lines)
    for precision in ("int8", "f16"):
        assert any(line.startswith(f"{precision}: threshold: ") for line in lines)
        assert any(line.startswith(f"{precision}: parity: torch and IR at {precision} agree within") for line in lines)


def test_a_precision_that_decides_worse_is_left_out_and_the_fit_goes_on(plates, weights, tmp_path, monkeypatch):
    monkeypatch.setattr("trainer.decisions.MOST_AUC", -1)  # nothing is that much better
    out = tmp_path / "plates.bundle"
    chosen = ["--weights", weights, "--bank", 150, "--image-size", 64, "--also", "f16"]
    said = said_by(fit_arguments(plates.root, out, *chosen))
    assert "f16: WARNING: f16 is left out, as it decides worse: AUC " in said
    assert open_bundle(out).precisions == ("f32",)


def test_the_precision_that_the_bundle_has_first_is_refused_before_anything_is_read(tmp_path):
    said = refusal_of(fit_arguments(tmp_path / "none", tmp_path / "b", "--also", "f32"), 2)
    assert "--also f32: that is what the bundle has first" in said


def test_a_precision_that_this_machine_does_not_compute_is_refused_before_anything_is_learned(
    plates, tmp_path, monkeypatch
):
    monkeypatch.setattr("models.precision.cpu_has_bf16", lambda: False)
    said = refusal_of(fit_arguments(plates.root, tmp_path / "b", "--also", "bf16"), 1)
    assert "does not compute bf16 by itself" in said
    assert not (tmp_path / "b").exists()


def test_a_study_may_ask_for_further_precisions_too(tmp_path):
    options = options_of("anomaly", {"also": "int8,bf16"}, data=tmp_path, out=tmp_path / "b")
    assert options.also == ("int8", "bf16")
    for strange in ("fp8", "int8,int8"):
        with pytest.raises(ConfigError, match="some of f32, f16, bf16, int8 were wanted, each once, as int8,bf16"):
            options_of("anomaly", {"also": strange}, data=tmp_path, out=tmp_path / "b")
