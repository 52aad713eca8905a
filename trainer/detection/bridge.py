"""Brings mmdeploy 1.3.1 to the OpenVINO and torch of today: three places where it calls what is no more.

Nothing of mmdeploy is copied or replaced but these; its rewriter, `torch2onnx` and `to_backend` run as they are.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any


@contextmanager
def bridged() -> Iterator[None]:
    """While it lasts, mmdeploy exports ONNX and converts it to OpenVINO IR. Needs `ops.install` first."""
    import torch
    from mmdeploy.backend.openvino import onnx2openvino, wrapper

    places: list[tuple[Any, str, Any]] = [
        (onnx2openvino, "from_onnx", ir_of_onnx),
        (wrapper, "OpenVINOWrapper", _wrapper_class()),
    ]
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        # mmdeploy's symbolic functions belong to the exporter that was the only one when it was written.
        places.append((torch.onnx, "export", partial(torch.onnx.export, dynamo=False)))
    before = [getattr(owner, name) for owner, name, _ in places]
    for owner, name, new in places:
        setattr(owner, name, new)
    try:
        yield
    finally:
        for (owner, name, _), old in zip(places, before, strict=True):
            setattr(owner, name, old)


def ir_of_onnx(
    onnx_model: str,
    output_file_prefix: str,
    input_info: Mapping[str, Sequence[int]],
    output_names: Sequence[str],
    mo_options: object = None,
) -> None:
    """mmdeploy's `from_onnx` without the Model Optimizer, which OpenVINO has not had since 2025. Weights stay f32."""
    import openvino as ov
    from mmdeploy.backend.openvino.onnx2openvino import get_output_model_file

    shapes = [(name, list(shape)) for name, shape in input_info.items()]
    model = ov.convert_model(onnx_model, input=shapes, output=list(output_names))
    ov.save_model(model, get_output_model_file(onnx_model, output_file_prefix), compress_to_fp16=False)


def _wrapper_class() -> type:
    """mmdeploy's OpenVINOWrapper, for its own `inference_model`; made here because its base needs mmdeploy."""
    import openvino as ov
    import torch
    from mmdeploy.backend.base import BaseWrapper

    class OpenVINOWrapper(BaseWrapper):  # type: ignore[misc]
        def __init__(self, ir_model_file: str, output_names: Sequence[str] | None = None, **_: object) -> None:
            config = {"INFERENCE_PRECISION_HINT": "f32"}
            self.compiled = ov.Core().compile_model(ir_model_file, "CPU", config)
            super().__init__(output_names or [output.any_name for output in self.compiled.outputs])

        def forward(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            found = self.compiled({name: tensor.contiguous().cpu().numpy() for name, tensor in inputs.items()})
            return {name: torch.from_numpy(found[name].copy()) for name in self.output_names}

    return OpenVINOWrapper
