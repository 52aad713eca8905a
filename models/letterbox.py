"""A frame of any size in a square, scaled by one factor: how detectors see it. In the graph, as `preprocess.py` is.

The frame lies at the top left; what it leaves free is filled with `pad`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.manifest import Preprocess

if TYPE_CHECKING:
    import openvino as ov


@dataclass(frozen=True, slots=True)
class Letterboxed:
    """Nodes of a graph."""

    frame: "ov.Node"  # the parameter: uint8 (1, H, W, 3) BGR of any H and W
    pixels: "ov.Node"  # float32 (1, 3, height_px, width_px), what the network takes
    content_px: "ov.Node"  # float32 (4,): width, height, width, height of the scaled frame in it
    factor: "ov.Node"  # float32 (4,): frame pixels per pixel of the square, for left, top, right, bottom


def scaled_size(height_px: int, width_px: int, side_px: int) -> tuple[int, int]:
    """(height, width) of a frame in the square: half a pixel rounds up, no side vanishes. The graph does the same."""
    scale = np.minimum(np.float32(side_px) / np.float32(height_px), np.float32(side_px) / np.float32(width_px))
    height, width = (int(np.floor(np.float32(length) * scale + np.float32(0.5))) for length in (height_px, width_px))
    return max(1, height), max(1, width)


def letterbox(spec: Preprocess) -> Letterboxed:
    """From a raw frame to `spec`'s square, antialiased as `preprocess.with_preprocess` does it."""
    import openvino as ov
    from openvino import opset13 as op

    frame = op.parameter(ov.PartialShape([1, -1, -1, 3]), np.uint8, name="frame")
    frame.output(0).set_names({"frame"})
    sides = op.convert(op.gather(op.shape_of(frame), np.array([1, 2]), np.array(0)), "f32")  # (height, width)
    square = np.array([spec.height_px, spec.width_px], np.float32)
    scale = op.reduce_min(op.divide(op.constant(square), sides), np.array([0]), keep_dims=True)
    size = op.maximum(op.floor(op.add(op.multiply(sides, scale), np.float32(0.5))), np.float32(1))
    pixels = _normalised(_placed(frame, size, spec), spec)
    swap = np.array([1, 0, 1, 0])
    content = op.gather(size, swap, np.array(0))
    return Letterboxed(frame, pixels, content, op.divide(op.gather(sides, swap, np.array(0)), content))


def _placed(frame: "ov.Node", size: "ov.Node", spec: Preprocess) -> "ov.Node":
    from openvino import opset13 as op

    image = op.transpose(op.convert(frame, "f32"), np.array([0, 3, 1, 2]))
    whole = op.convert(size, "i64")
    nothing = [0, 0, 0, 0]
    scaled = op.interpolate(
        image, whole, "bilinear_pillow", "sizes", nothing, nothing, axes=op.constant(np.array([2, 3], np.int64))
    )
    free = op.subtract(op.constant(np.array([spec.height_px, spec.width_px], np.int64)), whole)
    ends = op.concat([op.constant(np.array([0, 0], np.int64)), free], 0)
    return op.pad(scaled, op.constant(np.zeros(4, np.int64)), ends, "constant", op.constant(np.float32(spec.pad)))


def _normalised(square: "ov.Node", spec: Preprocess) -> "ov.Node":
    from openvino import opset13 as op

    mean, std = (np.array(values, np.float32) for values in (spec.mean_rgb, spec.std_rgb))
    if spec.channels == "rgb":
        square = op.gather(square, np.array([2, 1, 0]), np.array(1))
    else:
        mean, std = mean[::-1], std[::-1]
    return op.divide(op.subtract(square, mean.reshape(1, 3, 1, 1)), std.reshape(1, 3, 1, 1))
