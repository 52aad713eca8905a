"""Stands in for `mmcv._ext`, the part of mmcv that wants a compiler.

mmcv-lite ships `mmcv/ops/*.py` without the compiled functions that they load on import. RTMDet calls one of them,
`nms`; the others say that they are not there. Where a compiled mmcv is installed, it is used.
"""

from __future__ import annotations

import importlib
import sys
import types
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

NAME = "mmcv._ext"


def install() -> bool:
    """Puts the stand-in where mmcv looks, before mmdet is imported. False when a compiled one is there."""
    if NAME in sys.modules:
        return isinstance(sys.modules[NAME], StandIn)
    try:
        importlib.import_module(NAME)
    except ImportError:
        sys.modules[NAME] = StandIn()
        return True
    return False


class StandIn(types.ModuleType):
    """Has every function by name, and one that works."""

    def __init__(self) -> None:
        super().__init__(NAME, __doc__)
        self.__spec__ = ModuleSpec(NAME, None)
        self.nms = nms

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_: object, **__: object) -> None:
            raise NotImplementedError(f"{NAME}.{name}: mmcv-lite has no compiled functions; install a compiled mmcv")

        return missing


def nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float, offset: int = 0) -> torch.Tensor:
    """Greedy non-maximum suppression, as mmcv's: the indices (k,) that are kept, best first.

    `boxes` is (n, 4) left, top, right, bottom; `offset` is 1 where those are whole pixels. In numpy on purpose:
    `torch.onnx` traces this function once, and as thousands of small torch operations that takes minutes.
    """
    import torch

    corners = boxes.detach().cpu().numpy().astype(np.float32)
    order = scores.detach().cpu().argsort(descending=True, stable=True).numpy()
    sides = np.maximum(corners[:, 2:] - corners[:, :2] + offset, 0)
    areas, kept = sides[:, 0] * sides[:, 1], []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        low, high = (np.maximum, np.minimum)
        inner = high(corners[best, 2:], corners[order, 2:]) - low(corners[best, :2], corners[order, :2]) + offset
        shared = np.maximum(inner, 0).prod(axis=1)
        order = order[shared <= iou_threshold * (areas[best] + areas[order] - shared)]
    return torch.from_numpy(np.asarray(kept, np.int64)).to(boxes.device)
