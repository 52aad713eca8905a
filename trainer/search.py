"""The second half of PatchCore's graph: the search for each patch's nearest vector, with OpenVINO's own operations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.patchcore import OUTPUT
from trainer.reading import COARSE, Reading

if TYPE_CHECKING:
    import openvino as ov

F32 = NDArray[np.float32]
BANK_BIAS = "bank_bias"
# A vector with this bias is never the nearest. Finite, so that no NaN can come of it.
FORBIDDEN = np.float32(-1e9)


def with_search(graph: ov.Model, bank: F32, reading: Reading = COARSE) -> ov.Model:
    """Puts the nearest-neighbour search behind an embedding graph (which is used up by it).

    min over y of |x - y|^2 = |x|^2 - 2 max over y of (x . y - |y|^2 / 2), so the search is one fully
    connected layer, whose weights are the bank and whose bias is -|y|^2 / 2, and a maximum. The
    bias stays an input, named `bank_bias`; `freeze_bias` makes it a constant. The map is smoothed as `reading` says.
    """
    import openvino as ov
    from openvino import opset13 as op

    vectors = graph.outputs[0].get_node().input_value(0)
    bias = op.parameter([1, len(bank), 1, 1], np.float32, name=BANK_BIAS)
    bias.output(0).set_names({BANK_BIAS})
    weights = op.constant(bank[:, :, None, None])
    products = op.convolution(vectors, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    closest = op.reduce_max(op.add(products, bias), np.array([1]), keep_dims=True)
    squares = op.reduce_sum(op.multiply(vectors, vectors), np.array([1]), keep_dims=True)
    squared = op.subtract(squares, op.multiply(closest, np.float32(2)))
    # Rounding may leave a little less than nothing. Not ReLU: on a CPU it makes 0 of NaN, the score of a perfect part.
    distances = op.sqrt(op.select(op.less(squared, np.float32(0)), np.float32(0), squared))
    heatmap = _smoothed(distances, reading)
    heatmap.output(0).set_names({OUTPUT})
    return ov.Model([heatmap], [*graph.get_parameters(), bias], "patchcore")


def _smoothed(distances: ov.Node, reading: Reading) -> ov.Node:
    """`trainer.reading.smoothed` as nodes of a graph. A NaN stays one."""
    from openvino import opset13 as op

    if reading.weight is not None:
        weighted = op.multiply(distances, op.constant(reading.weight[None, None]))
        return _smoothed(weighted, replace(reading, weight=None))
    if (kernel := reading.kernel) is None:
        return distances
    reach = [0, 0, len(kernel) // 2, len(kernel) // 2]
    padded = op.pad(distances, reach, reach, "edge")
    weights = op.constant(np.outer(kernel, kernel).astype(np.float32)[None, None])
    return op.convolution(padded, weights, [1, 1], [0, 0], [0, 0], [1, 1])


def bias_of(bank: F32) -> F32:
    """-|y|^2 / 2 for each vector of the bank, shaped (1, n, 1, 1)."""
    return np.asarray(-0.5 * np.einsum("ij,ij->i", bank, bank, dtype=np.float64), np.float32).reshape(1, -1, 1, 1)


def freeze_bias(graph: ov.Model, bank: F32) -> ov.Model:
    """The graph that ships: a copy whose only input is the frame."""
    from openvino import opset13 as op

    frozen = graph.clone()
    parameter = next(p for p in frozen.get_parameters() if BANK_BIAS in p.output(0).get_names())
    constant = op.constant(bias_of(bank))
    for reader in parameter.output(0).get_target_inputs():
        reader.replace_source_output(constant.output(0))
    frozen.remove_parameter(parameter)
    return frozen
