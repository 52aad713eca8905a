"""The search's product in whole numbers of eight bits: the bank and the patches each on a grid, and what is left exact.

Each vector of the bank has a scale of its own, all patches share one, which the bank gives: its vectors are those that
lie farthest out. Distances are taken between what lies on the grids, so no more is lost than the way to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import openvino as ov

F32 = NDArray[np.float32]
_MOST = 127
_PART = 1024  # vectors of the bank in a product, which then stays in the cache until its maximum is taken


def on_grid(bank: F32, middle: F32) -> F32:
    """The vectors (n, d) as whole numbers keep them."""
    numbers, scales = _numbers(bank - middle)
    return np.asarray(numbers * scales + middle, np.float32)


def rounded(vectors: ov.Node, bank: F32) -> ov.Node:
    """Patches (1, d, h, w) on their grid; `bank` and they are taken from the bank's middle."""
    from openvino import opset13 as op

    high = np.float32(max(float(np.abs(bank).max()), 1e-12))
    low = np.float32(-high * (_MOST + 1) / _MOST)
    return op.fake_quantize(vectors, low, high, low, high, 2 * _MOST + 2)


def closest(vectors: ov.Node, bank: F32, bias: ov.Node) -> ov.Node:
    """The maximum over the bank, (1, 1, h, w), for what `rounded` gives."""
    from openvino import opset13 as op

    found = []
    for start in range(0, len(bank), _PART):
        part = bank[start : start + _PART]
        ends = (np.array([number]) for number in (start, start + len(part), 1, 1))
        products = op.convolution(vectors, _weights(part), [1, 1], [0, 0], [0, 0], [1, 1])
        found.append(op.reduce_max(op.add(products, op.slice(bias, *ends)), np.array([1]), keep_dims=True))
    return found[0] if len(found) == 1 else op.reduce_max(op.concat(found, 1), np.array([1]), keep_dims=True)


def _weights(part: F32) -> ov.Node:
    """As devices know quantised weights: whole numbers, made floating by a scale for each vector."""
    from openvino import opset13 as op

    numbers, scales = _numbers(part)
    kept = op.convert(op.constant(numbers[:, :, None, None].astype(np.int8)), "f32")
    return op.multiply(kept, op.constant(scales[:, :, None, None]))


def _numbers(vectors: F32) -> tuple[F32, F32]:
    """(n, d), -127 to 127, and their scales (n, 1)."""
    scales = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), 1e-12) / np.float32(_MOST)
    return np.asarray(np.round(vectors / scales), np.float32), np.asarray(scales, np.float32)
