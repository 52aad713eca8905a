"""torch's own way from a frame to boxes: mmdet's prediction, untouched. What the graph is measured against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.letterbox import scaled_size
from models.manifest import Preprocess
from models.prediction import Boxes, Image

if TYPE_CHECKING:
    import torch


def torch_boxes(network: torch.nn.Module, image: Image, spec: Preprocess, labels: tuple[str, ...]) -> Boxes:
    """What `network` finds in a frame, uint8 (H, W, 3) BGR, in frame pixels; a box outside of it mmdet clips itself."""
    import torch
    from mmdet.structures import DetDataSample

    from trainer.detection.train import quiet

    tensor, (height, width) = letterboxed(image, spec)
    frame = image.shape[:2]
    sample = DetDataSample(
        metainfo={
            "ori_shape": frame,
            "img_shape": (height, width),
            "scale_factor": (width / frame[1], height / frame[0]),
            "batch_input_shape": tuple(tensor.shape[2:]),
        }
    )
    with quiet(), torch.no_grad():  # mmdet calls torch by names of yesterday, and torch warns of each
        (found,) = network(tensor, [sample], mode="predict")
    boxes = found.pred_instances
    return Boxes(boxes.bboxes.numpy(), boxes.scores.numpy(), tuple(labels[i] for i in boxes.labels.tolist()))


def letterboxed(image: Image, spec: Preprocess) -> tuple[torch.Tensor, tuple[int, int]]:
    """torch's version of `models/letterbox.py`: (1, 3, height_px, width_px), and (height, width) of the frame in it."""
    import torch
    import torch.nn.functional as F  # noqa: N812

    size = scaled_size(image.shape[0], image.shape[1], spec.width_px)
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    small = F.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False)
    square = F.pad(small, (0, spec.width_px - size[1], 0, spec.height_px - size[0]), value=spec.pad)
    mean, std = (_channels(values, spec) for values in (spec.mean_rgb, spec.std_rgb))
    if spec.channels == "rgb":
        square = square.flip(1)
    return (square - torch.from_numpy(mean)) / torch.from_numpy(std), size


def _channels(values: tuple[float, float, float], spec: Preprocess) -> NDArray[np.float32]:
    order = values if spec.channels == "rgb" else values[::-1]
    return np.array(order, np.float32).reshape(1, 3, 1, 1)
