"""From trained weights to the graph that ships: mmdeploy's own pipeline, then a raw frame in and frame pixels out.

mmdeploy leaves three things to its own SDK, which no box has: the way from a frame to the tensor, the way of boxes
back to the frame, and that a box ends where the picture ends. All three go into the graph, the last one before
suppression, where mmdet does it: so the IR keeps the same boxes as torch. A fourth is ours: suppression drops what is
no number, and a network gone wrong would find nothing, which looks like a good part. So such a number comes out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from models.boxes import OUTPUTS
from models.letterbox import Letterboxed, letterbox
from models.manifest import Preprocess
from trainer.detection.bridge import bridged
from trainer.detection.config import MAX_BOXES, SCORE_FLOOR, model_config, test_pipeline
from trainer.detection.train import quiet, ready

if TYPE_CHECKING:
    import openvino as ov
    import torch

_OPSET = 11
_ONNX = "rtmdet.onnx"
_BEFORE_SUPPRESSION = 1000  # boxes, the best ones
_PER_CLASS = 200


def export(model: str, weights: Path, classes: tuple[str, ...], spec: Preprocess, work: Path) -> ov.Model:
    """The graph of a network of `model` with the state dict in `weights`, by mmdeploy's torch2onnx and to_backend.

    It takes uint8 (1, H, W, 3) BGR of any H and W, and gives `models.boxes.OUTPUTS`. `work` is a folder for what
    mmdeploy writes on the way.
    """
    import openvino as ov

    ready()
    from mmdeploy.apis import torch2onnx
    from mmdeploy.apis.utils import to_backend

    core = ov.Core()
    core.set_property({"ENABLE_MMAP": False})  # else the weights would go with the file
    checkpoint = _checkpoint(weights, classes, work / "checkpoint.pth")
    deploy, config = _deploy_config(spec), model_config(model, len(classes))
    config.test_pipeline = test_pipeline(spec.width_px)
    picture = np.zeros((spec.height_px, spec.width_px, 3), np.uint8)
    with bridged(), quiet():
        torch2onnx(picture, str(work), _ONNX, deploy, config, str(checkpoint), "cpu")
        (file,) = to_backend("openvino", [str(work / _ONNX)], str(work), deploy_cfg=deploy, device="cpu")
    return with_frame(core.read_model(file), spec)


def _checkpoint(weights: Path, classes: tuple[str, ...], out: Path) -> Path:
    import torch

    state = torch.load(weights, map_location="cpu", weights_only=True)
    torch.save({"state_dict": state, "meta": {"dataset_meta": {"classes": classes}}}, out)
    return out


def _deploy_config(spec: Preprocess) -> Any:
    """mmdeploy ships none of its own configurations in its wheel."""
    from mmengine.config import Config

    shape = [1, 3, spec.height_px, spec.width_px]
    limits = {
        "score_threshold": SCORE_FLOOR,
        "iou_threshold": 0.65,  # the model's own test_cfg rules where it says something
        "max_output_boxes_per_class": _PER_CLASS,
        "pre_top_k": _BEFORE_SUPPRESSION,
        "keep_top_k": MAX_BOXES,
        "background_label_id": -1,
    }
    return Config(
        {
            "onnx_config": {
                "type": "onnx",
                "export_params": True,
                "keep_initializers_as_inputs": False,
                "opset_version": _OPSET,
                "save_file": _ONNX,
                "input_names": ["input"],
                "output_names": list(OUTPUTS),
                "input_shape": [spec.width_px, spec.height_px],
                "optimize": False,
            },
            "codebase_config": {
                "type": "mmdet",
                "task": "ObjectDetection",
                "model_type": "end2end",
                "post_processing": limits,
            },
            "backend_config": {"type": "openvino", "model_inputs": [{"opt_shapes": {"input": shape}}]},
        }
    )


def with_frame(network: ov.Model, spec: Preprocess) -> ov.Model:
    """Puts `letterbox` before mmdeploy's graph (which is used up by it), and its way back behind.

    A last row, with label -1, is padding; it holds NaN where any logit or edge of the network is not finite.
    """
    import openvino as ov
    from openvino import opset13 as op

    before = letterbox(spec)
    (tensor,) = network.get_parameters()
    for reader in tensor.output(0).get_target_inputs():
        reader.replace_source_output(before.pixels.output(0))
    (suppression,) = (node for node in network.get_ops() if node.get_type_name() == "NonMaxSuppression")
    doubt = _doubt(suppression)
    _clip_before(suppression, before)
    dets, labels = (network.output(name).get_node().input_value(0) for name in OUTPUTS)
    boxes = op.slice(dets, np.array([0]), np.array([4]), np.array([1]), np.array([2]))
    score = op.slice(dets, np.array([4]), np.array([5]), np.array([1]), np.array([2]))
    found = op.concat([op.multiply(boxes, before.factor), score], 2)
    padding = op.constant(np.full((1, 1), -1, np.int32))
    results = [op.concat([found, doubt], 1), op.concat([op.convert(labels, "i32"), padding], 1)]
    for result, name in zip(results, OUTPUTS, strict=True):
        result.output(0).set_names({name})
    return ov.Model([op.result(result) for result in results], [before.frame], "rtmdet")


def _doubt(suppression: ov.Node) -> ov.Node:
    """(1, 1, 5): zeros, or NaN where what was before suppression is not finite."""
    from openvino import opset13 as op

    boxes, scores = (_origin(suppression.input_value(i)) for i in (0, 1))
    if scores.get_node().get_type_name() == "Sigmoid":  # of infinity it is a number
        scores = scores.get_node().input_value(0)
    axes = np.array([0, 1, 2])
    finite = [op.reduce_min(op.convert(op.is_finite(x), "f32"), axes, keep_dims=True) for x in (boxes, scores)]
    is_sound = op.greater(op.minimum(*finite), np.float32(0))  # (1, 1, 1)
    return op.select(is_sound, np.zeros((1, 1, 5), np.float32), np.full((1, 1, 5), np.nan, np.float32))


def _origin(output: ov.Output) -> ov.Output:
    """Back to where all of them were together, in their first order: choosing the best may leave NaN out too."""
    while output.get_node().get_type_name() in {"Gather", "Reshape", "Transpose", "Squeeze", "Unsqueeze"}:
        output = output.get_node().input_value(0)
    return output


def _clip_before(suppression: ov.Node, before: Letterboxed) -> None:
    """mmdet's `clip_border` and `min_bbox_size`: boxes end at the picture's edge; with nothing left they score 0."""
    from openvino import opset13 as op

    boxes, scores = suppression.input_value(0), suppression.input_value(1)
    readers = boxes.get_target_inputs()
    clipped = op.maximum(op.minimum(boxes, before.content_px), np.float32(0))
    for reader in readers:
        reader.replace_source_output(clipped.output(0))
    low, high = (op.slice(clipped, np.array([i]), np.array([i + 2]), np.array([1]), np.array([2])) for i in (0, 2))
    sides = op.subtract(high, low)
    smallest = op.reduce_min(sides, np.array([2]), keep_dims=False)  # (1, n)
    there = op.unsqueeze(op.convert(op.greater(smallest, np.float32(0)), "f32"), np.array([1]))  # (1, 1, n)
    suppression.input(1).replace_source_output(op.multiply(scores, there).output(0))


def torch_network(model: str, weights: Path, classes: tuple[str, ...]) -> torch.nn.Module:
    """The network that was trained, to be compared with."""
    import torch

    network = new_network(model, len(classes))
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    network.eval()
    return network


def new_network(model: str, classes: int) -> torch.nn.Module:
    """mmdet's network of one of MODELS, with weights by chance (of torch's generator)."""
    ready()
    from mmdet.registry import MODELS as KNOWN

    return cast("torch.nn.Module", KNOWN.build(model_config(model, classes).model))
