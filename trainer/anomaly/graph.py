"""From a torch network to the graph that ships, with the frame's preprocessing in front."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from models.manifest import Preprocess
from models.preprocess import with_preprocess

if TYPE_CHECKING:
    import openvino as ov
    import torch


def graph_of(network: torch.nn.Module, spec: Preprocess, output: str | None = None) -> ov.Model:
    """Converted straight from torch: uint8 (1, H, W, 3) to what `network` makes of (1, 3, height_px, width_px)."""
    import openvino as ov
    import torch

    size = (1, 3, spec.height_px, spec.width_px)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates the tracer that OpenVINO's converter calls
        converted = ov.convert_model(network, example_input=torch.zeros(size), input=list(size))
    converted.inputs[0].set_names({"frame"})
    if output is not None:
        converted.outputs[0].set_names({output})
    return with_preprocess(converted, spec)
