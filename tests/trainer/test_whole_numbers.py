"""The search in eight bits: how near it comes to the exact one."""

from dataclasses import replace

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from trainer.reading import COARSE
from trainer.search import FORBIDDEN, bias_of, freeze_bias, rounded_bank, with_search

WIDTH, SIDE, VECTORS = 24, 6, 1100  # more vectors than go into one product


@pytest.fixture(scope="module")
def bank() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rounded_bank((rng.standard_normal((VECTORS, WIDTH)) * rng.uniform(0.2, 2, WIDTH)).astype(np.float32), "int8")


@pytest.fixture(scope="module")
def patches(bank) -> np.ndarray:
    """(1, d, h, w): the first are vectors of the bank, the others lie between them."""
    rng = np.random.default_rng(1)
    vectors = bank[rng.choice(VECTORS, SIDE * SIDE)]
    vectors[SIDE:] += 0.3 * rng.standard_normal((SIDE * SIDE - SIDE, WIDTH))
    vectors[:SIDE] = bank[[0, 1, 2, 1023, 1024, VECTORS - 1]]
    return np.ascontiguousarray(vectors.T.reshape(1, WIDTH, SIDE, SIDE), np.float32)


def searching(bank, precision, reading=COARSE) -> ov.Model:
    frame = op.parameter([1, WIDTH, SIDE, SIDE], np.float32)
    return with_search(ov.Model([op.multiply(frame, np.float32(1))], [frame], "vectors"), bank, reading, precision)


def run(graph, *inputs) -> np.ndarray:
    return ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(list(inputs))[0][0, 0]


@pytest.fixture(scope="module")
def exact(bank, patches) -> np.ndarray:
    return run(freeze_bias(searching(bank, "f32"), bank), patches)


def test_distances_are_within_two_percent_of_the_bank_s_reach_and_a_vector_of_the_bank_is_at_none(bank, patches, exact):
    got = run(freeze_bias(searching(bank, "int8"), bank), patches)
    reach = np.abs(bank - bank.mean(axis=0)).max()
    assert np.abs(got - exact)[1:].max() < 0.02 * reach
    assert got[0].max() < 0.05 * reach


def test_a_bank_that_lies_on_its_grid_stays_there(bank):
    np.testing.assert_allclose(rounded_bank(bank, "int8"), bank, atol=1e-3)
    assert rounded_bank(bank, "f32") is bank


def test_a_hidden_vector_of_any_product_is_never_the_nearest(bank, patches):
    hidden = bias_of(bank)
    hidden[0, [0, 1024]] = FORBIDDEN
    got = run(searching(bank, "int8"), patches, hidden)[0]
    assert got[[0, 4]].min() > 10 * got[[1, 2, 3, 5]].max()


@pytest.mark.parametrize("some", [True, False])
def test_what_is_no_number_stays_none_though_no_grid_has_room_for_it(bank, patches, some):
    weight = np.ones((SIDE, SIDE), np.float32)
    weight[:, 3:] = 0
    reading = replace(COARSE, weight=weight if some else None)
    broken = patches.copy()
    broken[0, 5, 2, 1], broken[0, 7, 4, 4] = np.nan, np.inf
    got = run(freeze_bias(searching(bank, "int8", reading), bank), broken)
    assert np.isnan(got[[2, 4], [1, 4]]).all()
    assert np.isfinite(got).sum() == SIDE * SIDE - 2
