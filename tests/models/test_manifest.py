import copy
import json
import math

import pytest
from pydantic import ValidationError

from models.bundle import MANIFEST
from models.errors import BundleError
from models.manifest import parse_manifest
from models.schemas import FOLDER, schemas
from tests import tiny


@pytest.fixture(scope="session")
def good(bundle) -> dict:
    return json.loads((bundle / MANIFEST).read_bytes())


@pytest.fixture(scope="session")
def boxes(tmp_path_factory) -> dict:
    """The manifest of a bundle of family detection."""
    folder = tiny.make_boxes_bundle(tmp_path_factory.mktemp("boxes") / "b")
    return json.loads((folder / MANIFEST).read_bytes())


def refusal(text: bytes | str) -> str:
    with pytest.raises(BundleError) as caught:
        parse_manifest(text if isinstance(text, bytes) else text.encode(), "box/manifest.json")
    message = str(caught.value)
    assert message.startswith("box/manifest.json: ")
    assert "\n" not in message
    assert len(message) < 400
    assert message.endswith(("again", "on this machine", "of that family"))
    return message


def changed(good: dict, where: str, value: object) -> str:
    """The manifest as text with the value at `where` (keys joined by dots) replaced."""
    raw = copy.deepcopy(good)
    place, *keys = raw, *where.split(".")
    for key in keys[:-1]:
        place = place[int(key) if isinstance(place, list) else key]
    place[keys[-1]] = value
    return json.dumps(raw)


def test_a_manifest_comes_back_as_it_was_written(bundle):
    text = (bundle / MANIFEST).read_bytes()
    manifest = parse_manifest(text, "x")
    assert manifest.model_dump_json(indent=2).encode() == text
    assert parse_manifest(manifest.model_dump_json().encode(), "x") == manifest
    assert (manifest.family, manifest.threshold.ng_at_or_above) == ("anomaly", 0.5)


def test_a_manifest_cannot_be_changed_in_memory(bundle):
    manifest = parse_manifest((bundle / MANIFEST).read_bytes(), "x")
    with pytest.raises(ValidationError, match="frozen"):
        manifest.threshold.ng_at_or_above = 9.0


@pytest.mark.parametrize("where", ["treshold", "threshold.factor", "preprocess.resize", "golden.0.note"])
def test_an_unknown_key_is_refused_and_named(good, where):
    assert f"{where}: unknown key; make" in refusal(changed(good, where, 1))


def test_a_missing_key_is_refused_and_named(good):
    raw = copy.deepcopy(good)
    del raw["threshold"]["policy"]
    assert "threshold.policy: missing; make" in refusal(json.dumps(raw))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["threshold.ng_at_or_above", "threshold.margin", "golden.0.score"])
def test_a_number_that_is_not_finite_is_refused(good, where, value):
    text = changed(good, where, value)
    assert "NaN" in text or "Infinity" in text
    assert f"{where}: Input should be a finite number (got " in refusal(text)


FOREIGN_NAMES = [
    "../model.bin",
    "golden/../../x",
    "/etc/passwd",
    "a/b/c",
    ".hidden",
    "golden/.hidden",
    "golden/",
    "",
    ".",
    "..",
    "a\\b",
    "C:x",
    "model.bin\n",
    "model\x00.bin",
    "mödel.bin",
]


@pytest.mark.parametrize("name", FOREIGN_NAMES)
def test_a_file_name_that_could_lead_elsewhere_is_refused(good, name):
    raw = copy.deepcopy(good)
    raw["files"][name] = raw["files"]["model.bin"]
    assert "String should match pattern" in refusal(json.dumps(raw))
    assert "golden.0.file: " in refusal(changed(good, "golden.0.file", name))


@pytest.mark.parametrize("value", ["A" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n", "", "g" * 64])
def test_a_hash_that_is_no_sha256_is_refused(good, value):
    raw = copy.deepcopy(good)
    raw["files"]["model.bin"]["sha256"] = value
    assert "files.model.bin.sha256: String should match" in refusal(json.dumps(raw))


@pytest.mark.parametrize("version", [2, 3, 999])
def test_a_newer_schema_is_refused_with_the_advice_to_upgrade(good, version):
    found = refusal(changed(good, "schema_version", version))
    assert found.endswith(f"schema {version}, this mekiki reads up to 1; upgrade mekiki on this machine")


def test_a_newer_schema_is_recognised_whatever_else_changed_with_it():
    assert "schema 2, this mekiki reads up to 1" in refusal('{"schema_version": 2, "everything": "else"}')


@pytest.mark.parametrize("version", [0, -1, "1", 1.5, None])
def test_a_schema_that_never_was_is_refused(good, version):
    assert "schema_version: Input should be 1 (got " in refusal(changed(good, "schema_version", version))


@pytest.mark.parametrize("family", ["regression", "Anomaly", "", None, ["anomaly"], {"a": 1}, "x" * 10_000, "a\nb"])
def test_another_family_is_refused_with_those_that_run_here(good, family):
    assert (
        "this mekiki runs anomaly, detection, classification, segmentation; upgrade mekiki here or choose"
        in refusal(changed(good, "family", family))
    )


@pytest.mark.parametrize(
    "text",
    ["", "{", "not json", "{'family': 1}", b"\xff\xfe\x00", '{"a": 1}x', "[" * 200_000, '{"a":' * 200_000, b"\x00"],
    ids=lambda text: f"{text[:12]!r}",
)
def test_what_is_not_json_is_refused(text):
    assert ": not JSON (" in refusal(text)


@pytest.mark.parametrize("text", ["[]", "null", "1", '"anomaly"', "NaN", "[{}]"])
def test_json_that_is_no_object_is_refused(text):
    assert ": not a manifest (a JSON " in refusal(text)


def test_a_line_break_in_a_key_does_not_break_the_message(good):
    assert r"two\nlines: unknown key" in refusal(changed(good, "two\nlines", 1))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("created_at", "2026-01-01T00:00:00"),  # whose clock?
        ("precision", "int4"),
        ("hint", "int8"),
        ("threshold.policy", "guess"),
        ("threshold.n_good", -1),
        ("threshold.asked", {"recall": 1.0}),
        ("threshold.asked", {"false_rejects": 0.0}),
        ("threshold.asked", {"confidence": 1.0}),
        ("threshold.asked", {"margin": -0.1}),
        ("threshold.asked", {"review": 0.1}),
        ("made_from", "x"),
        ("threshold.recall_lower_95", 1.01),
        ("preprocess.height_px", 0),
        ("preprocess.mean_rgb", [1, 2, "x"]),
        ("decoder.top_patches", 0),
        ("decoder", {"kind": "padim"}),
        ("decoder", {"top_patches": 1}),
        ("decoder", 1),
        ("preprocess.fit", "crop"),
        ("preprocess.channels", "grb"),
        ("preprocess.pad", 256),
        ("golden", []),
        ("golden.0.outcome", "fine"),
        ("training", 1),
        ("training.images", []),
        ("training.images", ["x"]),
        ("training.bank_vectors", 0),
        ("parity.n_images", 0),
        ("files", []),
    ],
)
def test_a_value_out_of_bounds_is_refused_and_named(good, where, value):
    assert f"box/manifest.json: {where}" in refusal(changed(good, where, value))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("decoder.labels", []),
        ("decoder.labels", ["spot", "spot"]),
        ("decoder.labels", [""]),
        ("decoder.score_floor", 1.01),
        ("decoder.score_floor", -0.01),
        ("training.images", []),
        ("training.classes", []),
        ("training.n_boxes", 0),
        ("training.steps", -1),
        ("training.batch", 0),
        ("parity.n_images", 0),
        ("parity.max_box_px", -1),
        ("parity.label_flips", -1),
    ],
)
def test_a_value_out_of_bounds_of_a_detector_is_refused_and_named(boxes, where, value):
    assert f"box/manifest.json: {where}" in refusal(changed(boxes, where, value))


def test_a_manifest_of_a_detector_comes_back_as_it_was_written(boxes):
    manifest = parse_manifest(json.dumps(boxes).encode(), "x")
    assert json.loads(manifest.model_dump_json()) == boxes
    kinds = [type(part).__name__ for part in (manifest.decoder, manifest.training, manifest.parity)]
    assert kinds == ["BoxesDecoder", "DetectionTraining", "BoxParity"]


def test_a_manifest_from_before_there_was_review_is_read_as_it_was_meant(good):
    raw = copy.deepcopy(good)
    del raw["made_from"]
    for key in ("review_at_or_above", "asked"):
        del raw["threshold"][key]
    manifest = parse_manifest(json.dumps(raw).encode(), "x")
    assert (manifest.made_from, manifest.threshold.review_at_or_above, manifest.threshold.asked) == (None, None, None)
    assert manifest == parse_manifest(json.dumps(good).encode(), "x")


@pytest.mark.parametrize("value", [0.5, 0.50001, 7])
def test_a_review_that_does_not_lie_below_the_threshold_is_refused_with_both(good, value):
    found = refusal(changed(good, "threshold.review_at_or_above", value))
    assert f"threshold: review_at_or_above {value:g} is not below 0.5; make" in found


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_review_that_is_not_finite_is_refused(good, value):
    assert "threshold.review_at_or_above: Input should be a finite number" in refusal(
        changed(good, "threshold.review_at_or_above", value)
    )


def test_what_was_asked_of_a_threshold_and_what_it_was_made_from_come_back(good):
    raw = copy.deepcopy(good) | {"made_from": "a" * 64}
    raw["threshold"] |= {"policy": "recall", "review_at_or_above": -3, "asked": {"recall": 0.9, "confidence": 0.99}}
    manifest = parse_manifest(json.dumps(raw).encode(), "x")
    assert parse_manifest(manifest.model_dump_json().encode(), "x") == manifest
    limit = manifest.threshold
    assert (manifest.made_from, limit.policy, limit.review_at_or_above) == ("a" * 64, "recall", -3)
    assert (limit.asked.recall, limit.asked.confidence, limit.asked.at) == (0.9, 0.99, None)


@pytest.mark.parametrize("key", ["backbone", "images", "augmentation"])
def test_a_training_that_lacks_a_key_is_still_read_as_of_its_family(good, key):
    raw = copy.deepcopy(good)
    del raw["training"][key]
    assert f"training.{key}: missing; make" in refusal(json.dumps(raw))


@pytest.mark.parametrize("key", ["classes", "n_boxes", "weights"])
def test_a_training_of_a_detector_that_lacks_a_key_is_still_read_as_one(boxes, key):
    raw = copy.deepcopy(boxes)
    del raw["training"][key]
    assert f"training.{key}: missing; make" in refusal(json.dumps(raw))


@pytest.fixture
def heatmap(good) -> dict:
    """The manifest of a bundle of family anomaly without a bank."""
    raw = copy.deepcopy(good) | {"model": "stfpm", "decoder": {"kind": "heatmap", "top_cells": 10}}
    for of_a_bank in ("bank_vectors", "feature_width"):
        del raw["training"][of_a_bank]
    raw["training"] |= {"steps": 200, "batch": 4}
    return raw


def test_a_manifest_of_a_model_without_a_bank_comes_back_as_it_was_written(heatmap):
    for backbone in ("resnet18", None):
        manifest = parse_manifest(changed(heatmap, "training.backbone", backbone).encode(), "x")
        assert manifest.training.backbone == backbone
        assert parse_manifest(manifest.model_dump_json().encode(), "x") == manifest
        assert [type(part).__name__ for part in (manifest.decoder, manifest.training, manifest.parity)] == [
            "HeatmapDecoder",
            "HeatmapTraining",
            "Parity",
        ]


def test_manifests_from_before_there_were_models_without_a_bank_are_read_as_they_were_meant(good, boxes):
    boxes = copy.deepcopy(boxes)
    del boxes["training"]["bf16"]  # which is younger still
    kinds = [type(parse_manifest(json.dumps(raw).encode(), "x").training).__name__ for raw in (good, boxes)]
    assert kinds == ["Training", "DetectionTraining"]


@pytest.mark.parametrize("key", ["steps", "batch", "backbone", "augmentation", "seed"])
def test_a_training_without_a_bank_that_lacks_a_key_is_still_read_as_one(heatmap, key):
    del heatmap["training"][key]
    assert f"training.{key}: missing; make" in refusal(json.dumps(heatmap))


def test_a_training_with_a_bank_that_lacks_its_size_is_still_read_as_one(good):
    raw = copy.deepcopy(good)
    del raw["training"]["bank_vectors"]
    assert "training.bank_vectors: missing; make" in refusal(json.dumps(raw))


@pytest.mark.parametrize(("where", "value"), [("decoder.top_cells", 0), ("training.steps", -1), ("training.batch", -1)])
def test_a_value_out_of_bounds_of_a_model_without_a_bank_is_refused_and_named(heatmap, where, value):
    assert f"box/manifest.json: {where}" in refusal(changed(heatmap, where, value))


def test_a_heatmap_does_not_belong_to_a_detector_and_the_message_names_all_that_do(heatmap, boxes):
    found = refusal(changed(boxes, "decoder", heatmap["decoder"]))
    assert "family detection with a decoder of HeatmapDecoder, BoxesDecoder was wanted" in found
    found = refusal(changed(heatmap, "decoder", boxes["decoder"]))
    assert "family anomaly with a decoder of BoxesDecoder, PatchcoreDecoder or HeatmapDecoder was wanted" in found


@pytest.mark.parametrize(
    ("part", "wanted"), [("decoder", "BoxesDecoder"), ("training", "DetectionTraining"), ("parity", "BoxParity")]
)
def test_what_belongs_to_the_other_family_is_refused_with_what_was_wanted(good, boxes, part, wanted):
    found = refusal(changed(boxes, part, good[part]))
    assert f"(top level): family detection with a {part} of " in found
    assert f", {wanted} was wanted; make the bundle again" in found
    assert f"(top level): family anomaly with a {part} of {wanted}, " in refusal(changed(good, part, boxes[part]))


def test_a_manifest_from_before_there_were_detectors_is_read_as_it_was_meant(good):
    raw = copy.deepcopy(good)
    for key in ("fit", "channels", "pad"):
        del raw["preprocess"][key]
    spec = parse_manifest(json.dumps(raw).encode(), "x").preprocess
    assert (spec.fit, spec.channels) == ("stretch", "rgb")


def test_the_published_schemas_are_those_of_the_types():
    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert written == schemas(), "run `make schemas`"
    titles = {name: json.loads(text)["title"] for name, text in written.items()}
    assert titles == {name: "".join(map(str.title, name.partition(".")[0].split("_"))) for name in written}


def test_the_published_manifest_schema_refuses_unknown_keys_and_those_of_the_wire_do_not():
    manifest, *wire = (json.loads(schemas()[f"{name}.v1.json"]) for name in ("manifest", "verdict", "heartbeat"))
    assert manifest["additionalProperties"] is False
    assert all(schema.get("additionalProperties", True) is True for schema in wire)
