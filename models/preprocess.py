"""The one way from a camera's frame to the tensor that a network sees.

It is built into the graph by OpenVINO itself, so trainer and edge cannot differ: both hand a raw
uint8 BGR frame to the same IR.
"""

from typing import TYPE_CHECKING

from models.manifest import Preprocess

if TYPE_CHECKING:
    import openvino as ov


def with_preprocess(model: "ov.Model", spec: Preprocess) -> "ov.Model":
    """Puts `spec` in front of a model of one float input (1, 3, height_px, width_px).

    The result takes uint8 (1, H, W, 3) BGR of any H and W. The resize is Pillow's antialiased
    bilinear filter: without antialias, what a screw's thread looks like depends on its position.
    """
    import openvino as ov
    from openvino.preprocess import ColorFormat, PrePostProcessor, ResizeAlgorithm

    steps = PrePostProcessor(model)
    frame = steps.input()
    frame.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    frame.tensor().set_color_format(ColorFormat.BGR).set_spatial_dynamic_shape()
    frame.model().set_layout(ov.Layout("NCHW"))
    # Colour after the resize: the same numbers from far fewer pixels.
    chain = frame.preprocess().convert_element_type(ov.Type.f32).resize(ResizeAlgorithm.RESIZE_BILINEAR_PILLOW)
    chain.convert_color(ColorFormat.RGB).mean(list(spec.mean_rgb)).scale(list(spec.std_rgb))
    return steps.build()
