"""The resize of frames as products with narrow bands of a matrix, made when a graph is compiled for one frame size.

OpenVINO goes from pixel to pixel, which takes longer than a small network does. The IR keeps OpenVINO's resize, which
is right for frames of any size; what runs are these products: the same numbers, less rounding, a tenth of the time.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import openvino as ov

# Rows and columns of the result per product. They need few of the frame's, whose numbers stay in the cache.
_ROWS, _COLUMNS = 16, 16


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
    """Of a frame (1, H, W, 3), or of one that was laid out as (1, 3, H, W) for it."""
    from openvino import opset13 as op

    image, are_planes = _taken_back(node.input_value(0), "Transpose")
    image, _ = _taken_back(image, "Convert")  # of few rows at a time it takes half of the time
    before, after = list(image.get_shape()), list(node.get_output_shape(0))
    height, width = after[2:] if are_planes else after[1:3]
    lines = _down(op.reshape(image, [before[1], 3 * before[2]], False), height)
    resized = op.reshape(_across(lines, width), [1, height, width, 3], False)
    return op.transpose(resized, np.array([0, 3, 1, 2])) if are_planes else resized


def _taken_back(image: "ov.Output", kind: str) -> "tuple[ov.Output, bool]":
    """What an image was before a node of that kind, and whether there was one."""
    maker = image.get_node()
    return (maker.input_value(0), True) if maker.get_type_name() == kind else (image, False)


def _down(image: "ov.Node", wanted_px: int) -> "ov.Node":
    """(wanted_px, W) of (H, W)."""
    from openvino import opset13 as op

    bands = []
    for first, end, band in _bands(weights(image.get_output_shape(0)[0], wanted_px), _ROWS):
        rows = op.convert(_cut(image, 0, first, end), np.float32)
        bands.append(op.matmul(op.constant(band), rows, False, False))
    return op.concat(bands, 0)


def _across(lines: "ov.Node", wanted_px: int) -> "ov.Node":
    """(h, 3 * wanted_px) of lines (h, 3 * W) of pixels.

    Colours stay beside each other, as the network behind it takes them: two thirds of the products are with zeros, and
    take less time than it takes to part the colours and to bring them together again.
    """
    from openvino import opset13 as op

    bands = []
    for first, end, band in _bands(weights(lines.get_output_shape(0)[1] // 3, wanted_px), _COLUMNS):
        of_colours = np.kron(band, np.eye(3, dtype=np.float32))
        bands.append(op.matmul(_cut(lines, 1, 3 * first, 3 * end), op.constant(of_colours), False, True))
    return op.concat(bands, 1)


def _bands(matrix: NDArray[np.float32], height: int) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Of so many rows each: the first and the end of the columns that they use, and what they make of these."""
    for start in range(0, len(matrix), height):
        rows = matrix[start : start + height]
        used = np.flatnonzero(rows.any(axis=0))
        first, end = int(used[0]), int(used[-1]) + 1
        yield first, end, np.ascontiguousarray(rows[:, first:end])


def _cut(image: "ov.Node", axis: int, first: int, end: int) -> "ov.Node":
    from openvino import opset13 as op

    return op.slice(image, *(np.array([number]) for number in (first, end, 1, axis)))
