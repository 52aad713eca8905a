"""The resize of frames as products with narrow bands of a matrix, made when a graph is compiled for one frame size.

OpenVINO goes from pixel to pixel, which takes longer than a small network does. The IR keeps OpenVINO's resize, which
is right for frames of any size; what runs are these products: the same numbers, less rounding, a tenth of the time.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import openvino as ov

_BAND = 32  # rows of the result per product; they need few rows of the frame


def for_frames(model: "ov.Model", height_px: int, width_px: int) -> "ov.Model":
    """A copy of a graph whose first input are frames, for one size of them. Raises RuntimeError as OpenVINO does."""
    copy = model.clone()
    copy.reshape({copy.inputs[0]: [1, height_px, width_px, 3]})
    for node in copy.get_ordered_ops():
        if _is_ours(node):
            node.output(0).replace(_resized(node).output(0))
    return copy


def weights(length_px: int, wanted_px: int) -> NDArray[np.float32]:
    """(wanted_px, length_px): the triangle filter of Pillow, as wide as one pixel of the smaller side."""
    scale = length_px / wanted_px
    middles = (np.arange(wanted_px) + 0.5) * scale - 0.5
    found = np.maximum(0, 1 - np.abs(np.arange(length_px) - middles[:, None]) / max(scale, 1))
    return np.asarray(found / found.sum(axis=1, keepdims=True), np.float32)


def _is_ours(node: "ov.Node") -> bool:
    if node.get_type_name() != "Interpolate":
        return False
    asked = node.get_attributes()
    is_padded = any(asked["pads_begin"]) or any(asked["pads_end"])
    shapes = (node.get_input_partial_shape(0), node.get_output_partial_shape(0))
    return asked["mode"] == "bilinear_pillow" and not is_padded and all(shape.is_static for shape in shapes)


def _resized(node: "ov.Node") -> "ov.Node":
    """(1, H, W, 3) or (1, 3, H, W). A product with three columns is slow, so colours go before the width."""
    from openvino import opset13 as op

    image, after = node.input_value(0), list(node.get_output_shape(0))
    before, axes = list(image.get_shape()), node.input_value(node.get_input_size() - 1).get_node().get_data()
    if list(axes) == [2, 3]:
        return _along(_along(image, 2, after[2]).output(0), 3, after[3])
    lines = op.reshape(image, [1, before[1], 3 * before[2]], False)
    lines = op.reshape(_along(lines.output(0), 1, after[1]), [1, after[1], before[2], 3], False)
    planes = _along(op.transpose(lines, np.array([0, 3, 1, 2])).output(0), 3, after[2])
    return op.transpose(planes, np.array([0, 2, 3, 1]))


def _along(image: "ov.Output", axis: int, wanted_px: int) -> "ov.Node":
    """One side of it: the last axis, or the last but one."""
    from openvino import opset13 as op

    matrix, is_last, bands = weights(image.get_shape()[axis], wanted_px), axis == len(image.get_shape()) - 1, []
    for start in range(0, wanted_px, _BAND):
        rows = matrix[start : start + _BAND]
        used = np.flatnonzero(rows.any(axis=0))
        first, end = int(used[0]), int(used[-1]) + 1
        lines = op.slice(image, *(np.array([number]) for number in (first, end, 1, axis)))
        band = op.constant(np.ascontiguousarray(rows[:, first:end]))
        bands.append(op.matmul(lines, band, False, True) if is_last else op.matmul(band, lines, False, False))
    return op.concat(bands, axis)
