"""Manifests of the families classification and segmentation, and that the older ones are read as they were."""

import copy
import json

import pytest

from models.bundle import MANIFEST
from models.errors import BundleError
from models.manifest import parse_manifest
from tests import tiny, tiny_supervised

MAKERS = {
    "anomaly": tiny.make_bundle,
    "detection": tiny.make_boxes_bundle,
    "classification": tiny_supervised.make_labels_bundle,
    "segmentation": tiny_supervised.make_heatmap_bundle,
}
KINDS = {
    "anomaly": ("PatchcoreDecoder", "Training", "Parity"),
    "detection": ("BoxesDecoder", "DetectionTraining", "BoxParity"),
    "classification": ("LabelDecoder", "SupervisedTraining", "Parity"),
    "segmentation": ("HeatmapDecoder", "SupervisedTraining", "Parity"),
}


@pytest.fixture(scope="module")
def manifests(tmp_path_factory) -> dict[str, dict]:
    folder = tmp_path_factory.mktemp("families")
    return {family: json.loads((make(folder / family) / MANIFEST).read_bytes()) for family, make in MAKERS.items()}


def read(raw: dict):
    return parse_manifest(json.dumps(raw).encode(), "x")


def refusal(raw: dict, **changed: object) -> str:
    with pytest.raises(BundleError) as caught:
        read(raw | changed)
    return str(caught.value)


@pytest.mark.parametrize("family", MAKERS)
def test_a_manifest_of_each_family_comes_back_as_it_was_written(manifests, family):
    manifest = read(manifests[family])
    assert json.loads(manifest.model_dump_json()) == manifests[family]
    assert (
        tuple(type(part).__name__ for part in (manifest.decoder, manifest.training, manifest.parity)) == KINDS[family]
    )


def test_a_manifest_of_a_detector_from_before_bf16_is_still_one_of_a_detector(manifests):
    raw = copy.deepcopy(manifests["detection"])
    del raw["training"]["bf16"]
    assert type(read(raw).training).__name__ == "DetectionTraining"


@pytest.mark.parametrize("family", ["detection", "classification", "anomaly"])
def test_a_training_that_lacks_any_one_key_is_still_read_as_of_its_family(manifests, family):
    for key in manifests[family]["training"].keys() - {"bf16", "feature_width"}:
        raw = copy.deepcopy(manifests[family])
        del raw["training"][key]
        assert f"training.{key}: missing; make" in refusal(raw)


@pytest.fixture
def bankless(manifests) -> dict:
    """The manifest of a model of family anomaly that keeps no bank."""
    raw = copy.deepcopy(manifests["anomaly"]) | {"decoder": manifests["segmentation"]["decoder"]}
    for of_a_bank in ("bank_vectors", "feature_width"):
        del raw["training"][of_a_bank]
    raw["training"] |= {"steps": 1, "batch": 1}
    return raw


def test_a_model_without_a_bank_is_not_taken_for_one_that_learned_from_defects(bankless):
    assert type(read(bankless).training).__name__ == "HeatmapTraining"
    for key in bankless["training"]:
        raw = copy.deepcopy(bankless)
        del raw["training"][key]
        assert f"training.{key}: missing; make" in refusal(raw)


def test_a_training_of_another_family_is_refused_although_the_decoder_fits(manifests, bankless):
    found = refusal(manifests["segmentation"], training=bankless["training"])
    assert "family segmentation with a training of HeatmapTraining, SupervisedTraining was wanted" in found
    found = refusal(bankless, training=manifests["segmentation"]["training"])
    assert "family anomaly with a training of SupervisedTraining, Training or HeatmapTraining was wanted" in found


@pytest.mark.parametrize(
    ("family", "other", "wanted"),
    [
        ("segmentation", "classification", "family segmentation with a decoder of LabelDecoder, HeatmapDecoder was"),
        ("segmentation", "anomaly", "family segmentation with a decoder of PatchcoreDecoder, HeatmapDecoder was"),
        ("classification", "segmentation", "family classification with a decoder of HeatmapDecoder, LabelDecoder was"),
        ("anomaly", "detection", "family anomaly with a decoder of BoxesDecoder, PatchcoreDecoder or HeatmapDecoder"),
    ],
)
def test_the_decoder_of_another_family_is_refused_with_what_was_wanted(manifests, family, other, wanted):
    assert wanted in refusal(manifests[family], decoder=manifests[other]["decoder"])


def test_an_anomaly_model_may_give_a_heatmap(manifests):
    raw = manifests["anomaly"] | {"decoder": manifests["segmentation"]["decoder"]}
    assert read(raw).decoder == tiny_supervised.HEATMAP


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (["good"], "at least 2 items"),
        (["spot", "good"], "the first label is 'spot', 'good' was wanted"),
        (["good", "spot", "spot"], "'spot' stands there twice"),
        (["good", ""], "at least 1 character"),
    ],
)
def test_labels_that_mean_nothing_are_refused(manifests, labels, complaint):
    found = refusal(manifests["classification"], decoder={"kind": "label", "labels": labels})
    assert "decoder.labels" in found
    assert complaint in found


@pytest.mark.parametrize(
    ("key", "value"),
    [("n_defect", 0), ("classes", []), ("images", []), ("batch", 0), ("steps", -1), ("bank_vectors", 1)],
)
def test_a_value_out_of_bounds_is_refused_and_named(manifests, key, value):
    raw = copy.deepcopy(manifests["segmentation"])
    raw["training"][key] = value
    assert f"training.{key}: " in refusal(raw)


@pytest.mark.parametrize("value", [0, -1, 1.5, None])
def test_a_heatmap_of_no_cells_is_refused(manifests, value):
    assert "decoder.top_cells: " in refusal(manifests["segmentation"], decoder={"kind": "heatmap", "top_cells": value})
