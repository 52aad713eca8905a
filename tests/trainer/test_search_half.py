"""The search at bf16: what is multiplied is rounded, what is summed is not."""

from dataclasses import replace

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from models.precision import cpu_has_bf16
from trainer.reading import COARSE, UPRIGHT, Reading
from trainer.search import freeze_bias, with_search

WIDTH, SIDE, VECTORS = 64, 6, 700  # more vectors than go into one product

pytestmark = pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU does not compute bf16")


@pytest.fixture(scope="module")
def bank() -> np.ndarray:
    return (3 * np.random.default_rng(0).standard_normal((VECTORS, WIDTH))).astype(np.float32)


@pytest.fixture(scope="module")
def patches(bank) -> np.ndarray:
    """(1, d, h, w), each a tenth of its length away from the nearest vector."""
    rng = np.random.default_rng(1)
    vectors = bank[rng.choice(VECTORS, SIDE * SIDE)] + 0.3 * rng.standard_normal((SIDE * SIDE, WIDTH))
    return np.ascontiguousarray(vectors.T.reshape(1, WIDTH, SIDE, SIDE), np.float32)


def searched(bank, patches, reading: Reading, precision) -> np.ndarray:
    frame = op.parameter([1, WIDTH, SIDE, SIDE], np.float32)
    graph = with_search(ov.Model([op.multiply(frame, np.float32(1))], [frame], "vectors"), bank, reading, precision)
    hint = {"INFERENCE_PRECISION_HINT": precision}
    return ov.Core().compile_model(freeze_bias(graph, bank), "CPU", hint)([patches])[0][0, 0]


@pytest.mark.parametrize("reading", [COARSE, replace(UPRIGHT, weight=np.ones((SIDE, SIDE), np.float32))], ids=str)
def test_distances_far_smaller_than_the_vectors_are_still_distances(bank, patches, reading):
    want = searched(bank, patches, reading, "f32")
    assert want.max() < 0.2 * np.linalg.norm(bank, axis=1).mean()
    np.testing.assert_allclose(searched(bank, patches, reading, "bf16"), want, rtol=0.15)
