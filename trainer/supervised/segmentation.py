"""Family segmentation: which pixels are defect. A U-Net of segmentation-models-pytorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from models.manifest import HeatmapDecoder, Preprocess
from trainer.supervised.networks import new_segmenter
from trainer.supervised.pictures import Mask, Picture
from trainer.supervised.task import behind

if TYPE_CHECKING:
    import torch

CELL_PX = 4  # of the heatmap, in pixels that the network sees: the highest of 16, so that thin scratches survive
# Networks that learned from few images are surer than right, and all scores end up at 0 or 1; logits divided by a
# temperature keep their order and spread (Guo et al., arXiv 1706.04599, section 4.2).
TEMPERATURE = 4.0
_SMALL, _SHARE = 10, 0.5  # percentile of the defects; of the cells that one so small covers, the score is a mean over
_LEAST_CROP_PX, _MULTIPLE_PX = 64, 32
_SMOOTH = 1.0  # pixels: a batch without a defect has a dice of its own then


class Segmentation:
    """A `Task`."""

    family: Literal["segmentation"] = "segmentation"

    def __init__(self, backbone: str, spec: Preprocess, pictures: Sequence[Picture], seed: int) -> None:
        """`pictures` tell how small a defect may be. Raises ConfigError for a backbone that no U-Net can use."""
        self.decoder = HeatmapDecoder(kind="heatmap", top_cells=top_cells([p.mask for p in pictures]))
        self.crop_px = (_half(spec.height_px), _half(spec.width_px))
        self.network: torch.nn.Module = new_segmenter(backbone, spec, seed)

    def loss(self, logits: torch.Tensor, batch: Sequence[Picture]) -> torch.Tensor:
        """Binary cross entropy, and 1 - dice over the batch (Milletari et al., arXiv 1606.04797, equation 3).

        The first is calm, the second does not mind that nearly all pixels are good.
        """
        import torch

        wanted = torch.from_numpy(np.stack([picture.mask for picture in batch]) / np.float32(255))[:, None]
        sure = torch.sigmoid(logits)
        dice = (2 * (sure * wanted).sum() + _SMOOTH) / (sure.square().sum() + wanted.sum() + _SMOOTH)
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted) + 1 - dice

    def shipped(self) -> torch.nn.Module:
        """Heatmap (1, 1, h / 4, w / 4)."""
        import torch

        def heatmap(logits: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid(torch.nn.functional.max_pool2d(logits, CELL_PX, CELL_PX) / TEMPERATURE)

        return behind(self.network, heatmap)


def _half(side_px: int) -> int:
    """Around a defect there is more to learn than far from it, and half a side takes a quarter of the time."""
    return min(side_px, max(_LEAST_CROP_PX, side_px // 2 // _MULTIPLE_PX * _MULTIPLE_PX))


def top_cells(masks: Sequence[Mask]) -> int:
    """How many cells the score is a mean of: half of what a small defect covers; more calm, and it would be missed."""
    covered = [_cells(mask) for mask in masks if mask.any()]
    return max(1, round(_SHARE * float(np.percentile(covered, _SMALL))))


def _cells(mask: Mask) -> int:
    """How many cells of the heatmap a mask touches."""
    rows, columns = (side // CELL_PX for side in mask.shape)
    cut = mask[: rows * CELL_PX, : columns * CELL_PX].reshape(rows, CELL_PX, columns, CELL_PX)
    return int(cut.max(axis=(1, 3)).astype(bool).sum())
