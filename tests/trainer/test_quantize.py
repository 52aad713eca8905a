"""The one door to eight bits: what is quantised, what is reverted, and who decides."""

from pathlib import Path

import cv2
import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from models.errors import ModelError
from models.manifest import Preprocess
from models.preprocess import with_preprocess
from trainer.decisions import Told
from trainer.quantize import (
    Calibration,
    Tried,
    calibration_of,
    decides,
    few_of,
    groups_of,
    last_layers,
    quantize,
    quantized,
    shrunk,
)
from trainer.variants import proven

SPEC = Preprocess(height_px=32, width_px=48, mean_rgb=(9, 99, 0), std_rgb=(50, 60, 70))
LAYERS = ("first", "second", "third", "fourth")


def told(caught: int) -> Told:
    """Of a hundred defects so many are caught, and the others look better than any good part."""
    return Told([1 + 0.001 * index for index in range(20)], [9.0] * caught + [0.5] * (100 - caught))


GOOD = told(90)


@pytest.fixture(scope="module")
def graph() -> ov.Model:
    """A frame in, four layers, and a pooled map that nobody shall quantise."""
    rng, image = np.random.default_rng(0), op.parameter([1, 3, 32, 48], np.float32, name="image")
    image.output(0).set_names({"frame"})
    seen, channels = image, 3
    for name in LAYERS:
        weights = op.constant(rng.standard_normal((8, channels, 3, 3)).astype(np.float32) / 4)
        layer = op.convolution(seen, weights, [1, 1], [1, 1], [1, 1], [1, 1], name=name)
        seen, channels = op.relu(op.add(layer, np.full((1, 8, 1, 1), 0.1, np.float32))), 8
    return with_preprocess(ov.Model([op.avg_pool(seen, [4, 4], [0, 0], [0, 0], [4, 4], True)], [image], "net"), SPEC)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    images = [np.random.default_rng(key).integers(0, 256, (32, 48, 3), np.uint8) for key in range(4)]
    return Calibration(images, ["0" * 63 + str(key % 2) for key in range(4)])


def rounded_in(graph: ov.Model) -> list[str]:
    """The layers whose pictures come quantised."""
    layers = [node for node in graph.get_ordered_ops() if node.get_friendly_name() in LAYERS]
    return [
        node.get_friendly_name() for node in layers if node.input_value(0).get_node().get_type_name() == "FakeQuantize"
    ]


def test_all_layers_are_quantised_and_neither_the_frame_before_them_nor_the_map_behind(graph, calibration):
    made = quantize(graph, calibration.images)
    assert rounded_in(made) == list(LAYERS)
    kinds = [node.get_type_name() for node in made.get_ordered_ops() if node.get_type_name() != "Constant"]
    assert "FakeQuantize" not in kinds[: kinds.index("Transpose")]
    assert "FakeQuantize" not in kinds[kinds.index("AvgPool") - 1 :]
    assert rounded_in(graph) == []


def test_what_is_quantised_says_nearly_what_it_said(graph, calibration):
    image = calibration.images[0][None]
    want, got = (
        ov.Core().compile_model(one, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(image)[0]
        for one in (graph, quantize(graph, calibration.images))
    )
    assert 0 < np.abs(got - want).max() < 0.1 * np.abs(want).max()


def test_where_all_layers_decide_as_well_none_is_reverted_and_the_record_says_what_was_done(graph, calibration):
    said = []
    made, record = quantized(graph, calibration, lambda one: Tried(rounded_in(one), GOOD), GOOD, said.append)
    assert made == list(LAYERS)
    assert (record.kept, record.before, record.after) == ((), GOOD.decision, GOOD.decision)
    assert record.images == ("0" * 64, "0" * 63 + "1")
    assert said == ["int8: AUC 0.900 -> 0.900, recall 0.90 -> 0.90 on the calibration split; all 4 layers quantised"]


def test_a_layer_that_costs_decisions_stays_as_it_was_and_it_alone(graph, calibration):
    def try_(one):
        hurts = "third" in rounded_in(one)
        return Tried(rounded_in(one), told(70) if hurts else GOOD)

    made, record = quantized(graph, calibration, try_, GOOD, lambda _: None)
    assert made == ["first", "second", "fourth"]
    assert (record.kept, record.after.auc) == (("third",), 0.9)


def test_the_last_layers_are_those_that_no_other_follows(graph):
    assert last_layers(graph) == ["fourth"]
    (end,) = (node for node in graph.get_ordered_ops() if node.get_type_name() == "AvgPool")
    heads = [op.convolution(end, np.ones((1, 8, 1, 1), np.float32), [1, 1], [0, 0], [0, 0], [1, 1]) for _ in range(2)]
    for head, name in zip(heads, ("classes", "edges"), strict=True):
        head.set_friendly_name(name)
    two = ov.Model([op.result(op.sigmoid(head)) for head in heads], graph.get_parameters(), "two")
    assert sorted(last_layers(two)) == ["classes", "edges"]


def test_a_layer_that_must_stay_is_never_quantised_nor_tried_and_the_record_names_it(graph, calibration):
    said, tried = [], []

    def try_(one):
        tried.append(rounded_in(one))
        return Tried(tried[-1], told(70) if "second" in tried[-1] else GOOD)

    made, record = quantized(graph, calibration, try_, GOOD, said.append, ["fourth"])
    assert tried[0] == ["first", "second", "third"]
    assert not any("fourth" in names for names in tried)
    assert made == ["first", "third"]
    assert record.kept == ("fourth", "second")
    assert said[0].endswith("2 of 4 layers quantised")


def test_layers_that_cost_decisions_only_together_are_reverted_together_the_most_helpful_first(graph, calibration):
    def try_(one):
        names = rounded_in(one)
        return Tried(names, told(90 - 10 * ("second" in names) - 6 * ("fourth" in names)))

    made, record = quantized(graph, calibration, try_, GOOD, lambda _: None)
    assert made == ["first", "third"]
    assert record.kept == ("second", "fourth")


def test_where_nothing_helps_int8_is_left_out_and_a_person_is_told(graph, calibration):
    said, bad = [], told(50)
    assert quantized(graph, calibration, lambda _: Tried(None, bad), GOOD, said.append) is None
    assert said == ["WARNING: int8 is left out: with no layers that matter quantised it decides as well as before"]


def test_a_precision_that_decides_worse_is_not_taken_and_a_person_is_told_by_how_much():
    said = []
    assert decides("bf16", GOOD, GOOD, said.append)
    assert said == []
    assert not decides("bf16", GOOD, told(70), said.append)
    assert said == [
        "WARNING: bf16 is left out, as it decides worse: AUC 0.900 -> 0.700, recall 0.90 -> 0.70 "
        "on the calibration split"
    ]


def test_a_precision_that_cannot_be_proven_is_left_out_and_a_person_is_told_why(graph):
    def prove(_):
        raise ModelError("parity: torch and the IR differ")

    said = []
    assert proven(graph, "bf16", lambda path: path, prove, said.append) is None
    assert said == ["WARNING: bf16 is left out: parity: torch and the IR differ"]


def test_a_graph_without_layers_is_refused():
    image = op.parameter([1, 3, 4, 4], np.float32)
    with pytest.raises(ModelError, match="the graph has no layer with weights; leave it out of --also"):
        groups_of(ov.Model([op.relu(image)], [image], "none"))


def test_few_pictures_of_many_are_taken_evenly_and_none_is_larger_than_the_network_sees_it():
    assert few_of(3) == [0, 1, 2]
    assert (few_of(1000)[0], few_of(1000)[-1], len(few_of(1000))) == (0, 999, 48)
    assert few_of(1000, 3) == [0, 499, 999]
    assert shrunk(np.zeros((64, 192, 3), np.uint8), SPEC).shape == (16, 48, 3)
    assert shrunk(np.zeros((20, 30, 3), np.uint8), SPEC).shape == (20, 30, 3)


@pytest.mark.parametrize(("n_bad", "taken"), [(0, (48, 0)), (3, (45, 3)), (40, (24, 24))])
def test_half_of_the_pictures_show_defects_where_there_are_so_many(tmp_path, n_bad, taken):
    def written(count: int, grey: int) -> list[Path]:
        paths = [tmp_path / f"{grey}.{index}.png" for index in range(count)]
        for path in paths:
            cv2.imwrite(str(path), np.full((4, 6, 3), grey, np.uint8))
        return paths

    found = calibration_of(written(60, 7), SPEC, written(n_bad, 9))
    greys = [int(image[0, 0, 0]) for image in found.images]
    assert (greys.count(7), greys.count(9), len(found.sha256s)) == (*taken, 48)
