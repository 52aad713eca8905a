"""The second half of PatchCore's graph: the search for each patch's nearest vector, with OpenVINO's own operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never

import numpy as np
from numpy.typing import NDArray

from models.manifest import Precision
from models.patchcore import OUTPUT
from trainer import whole_numbers
from trainer.reading import COARSE, Reading

if TYPE_CHECKING:
    import openvino as ov

F32 = NDArray[np.float32]
BANK_BIAS, BANK, MIDDLE = "bank_bias", "bank", "middle"
_PART = 512  # vectors of the bank in a product of bf16
_FAR = 1e30  # no sum of a product is as large
# A vector with this bias is never the nearest. Finite, so that no NaN can come of it.
FORBIDDEN = np.float32(-1e9)


def with_search(graph: ov.Model, bank: F32, reading: Reading = COARSE, precision: Precision = "f32") -> ov.Model:
    """Puts the nearest-neighbour search behind an embedding graph (which is used up by it).

    min over y of |x - y|^2 = |x|^2 - 2 max over y of (x . y - |y|^2 / 2), so the search is one fully
    connected layer, whose weights are the bank and whose bias is -|y|^2 / 2, and a maximum. All are taken from the
    bank's middle, as products of shorter vectors are rounded to smaller errors. The
    bias stays an input, named `bank_bias`; `freeze_bias` makes it a constant. The map is smoothed as `reading` says.
    For int8 the bank must be what `rounded_bank` gives.
    """
    import openvino as ov
    from openvino import opset13 as op

    bias = op.parameter([1, len(bank), 1, 1], np.float32, name=BANK_BIAS)
    bias.output(0).set_names({BANK_BIAS})
    middle = op.constant(_middle(bank).reshape(1, -1, 1, 1), name=MIDDLE)
    seen = graph.outputs[0].get_node().input_value(0)
    vectors, centred = op.subtract(_counting(seen, reading), middle), bank - _middle(bank)
    if precision == "int8":
        vectors = whole_numbers.rounded(vectors, centred)
    closest = _search_at(precision)(vectors, centred, bias)
    squares = op.reduce_sum(op.multiply(vectors, vectors), np.array([1]), keep_dims=True)
    squared = op.subtract(squares, op.multiply(closest, np.float32(2)))
    # Rounding may leave a little less than nothing. Not ReLU: on a CPU it makes 0 of NaN, the score of a perfect part.
    distances = op.sqrt(op.select(op.less(squared, np.float32(0)), np.float32(0), squared))
    placed = _in_place(distances, reading, seen)
    if precision == "int8" and reading.weight is None:
        placed = op.add(placed, _nothing(seen))
    heatmap = _smoothed(placed, reading)
    heatmap.output(0).set_names({OUTPUT})
    return ov.Model([heatmap], [*graph.get_parameters(), bias], "patchcore")


def _counting(vectors: ov.Output, reading: Reading) -> ov.Output:
    """Of patches (1, d, h, w) those that count, (1, d, 1, k): what lies beside a part takes no time."""
    from openvino import opset13 as op

    if reading.weight is None:
        return vectors
    _, width, rows, columns = vectors.get_shape()
    line = op.reshape(vectors, [1, width, 1, rows * columns], False)
    return op.gather(line, np.flatnonzero(reading.weight), np.array(3)).output(0)


def _in_place(distances: ov.Node, reading: Reading, seen: ov.Output) -> ov.Node:
    """The map (1, 1, h, w) of theirs, (1, 1, 1, k), with 0 for all others, NaN where the net failed."""
    from openvino import opset13 as op

    if reading.weight is None:
        return distances
    places = np.zeros(reading.weight.size, np.int64)
    counting = np.flatnonzero(reading.weight)
    places[counting] = 1 + np.arange(len(counting))
    line = op.concat([op.constant(np.zeros((1, 1, 1, 1), np.float32)), distances], 3)
    placed = op.reshape(op.gather(line, places, np.array(3)), [1, 1, *seen.get_shape()[2:]], False)
    return op.add(placed, _nothing(seen))


def _nothing(seen: ov.Output) -> ov.Node:
    """(1, 1, h, w) of patches (1, d, h, w): 0, and NaN where the network gave NaN or infinity, which no grid keeps."""
    from openvino import opset13 as op

    return op.reduce_sum(op.multiply(seen, np.float32(0)), np.array([1]), keep_dims=True)


def _smoothed(distances: ov.Node, reading: Reading) -> ov.Node:
    """`trainer.reading.smoothed` as nodes of a graph. A NaN stays one.

    Not a convolution: at bf16 OpenVINO keeps in f32 only what comes after the last product of a graph, and the
    search's sums, which are differences of large numbers, would not be among it.
    """
    from openvino import opset13 as op

    if reading.weight is not None:
        distances = op.multiply(distances, op.constant(reading.weight[None, None]))
    if (kernel := reading.kernel) is None:
        return distances
    return _along(_along(distances, kernel, 3), kernel, 2)


def _along(plane: ov.Node, kernel: NDArray[np.float64], axis: int) -> ov.Node:
    """A map (1, 1, h, w) under one line of a Gaussian, along that axis, its border repeated outwards."""
    from openvino import opset13 as op

    length, reach = plane.get_output_shape(0)[axis], len(kernel) // 2
    around = np.arange(length)[:, None] + np.arange(-reach, reach + 1)
    neighbours = op.gather(plane, np.clip(around, 0, length - 1), np.array(axis))
    line = kernel.astype(np.float32).reshape([-1, 1] if axis == 2 else [-1])
    return op.reduce_sum(op.multiply(neighbours, line), np.array([axis + 1]), keep_dims=False)


def _search_at(precision: Precision) -> Callable[[ov.Node, F32, ov.Node], ov.Node]:
    match precision:
        case "f32" | "f16":
            return _closest
        case "bf16":
            return _closest_in_parts
        case "int8":
            return whole_numbers.closest
        case never:
            assert_never(never)


def _closest(vectors: ov.Node, bank: F32, bias: ov.Node) -> ov.Node:
    """The maximum over the bank, (1, 1, h, w), in one product: f32 gains nothing from smaller ones."""
    from openvino import opset13 as op

    weights = op.constant(bank[:, :, None, None], name=BANK)
    products = op.convolution(vectors, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    return op.reduce_max(op.add(products, bias), np.array([1]), keep_dims=True)


def _closest_in_parts(vectors: ov.Node, bank: F32, bias: ov.Node) -> ov.Node:
    """The same in products that stay in the cache until their maximum is taken.

    What clamps nothing is a part of the product, and not of what is computed at bf16: so its sums leave it in f32.
    """
    from openvino import opset13 as op

    rows, columns = vectors.get_output_shape(0)[2:]
    lines = op.reshape(op.transpose(vectors, np.array([0, 2, 3, 1])), [rows * columns, bank.shape[1]], False)
    line, found = op.reshape(bias, [1, len(bank)], False), []
    for start in range(0, len(bank), _PART):
        part = bank[start : start + _PART]
        ends = (np.array([number]) for number in (start, start + len(part), 1, 1))
        products = op.add(op.matmul(lines, op.constant(part), False, True), op.slice(line, *ends))
        found.append(op.reduce_max(op.clamp(products, -_FAR, _FAR), np.array([1]), keep_dims=True))
    best = op.reduce_max(op.concat(found, 1), np.array([1]), keep_dims=True)
    return op.reshape(best, [1, 1, rows, columns], False)


def rounded_bank(bank: F32, precision: Precision) -> F32:
    """The vectors as a graph of that precision searches them."""
    return whole_numbers.on_grid(bank, _middle(bank)) if precision == "int8" else bank


def _middle(bank: F32) -> F32:
    return np.asarray(bank.mean(axis=0, dtype=np.float64), np.float32)


def bias_of(bank: F32) -> F32:
    """-|y|^2 / 2 for each vector y of the bank, from its middle, shaped (1, n, 1, 1)."""
    bank = bank - _middle(bank)
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
