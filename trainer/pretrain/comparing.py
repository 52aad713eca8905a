"""The second trunk's task: to tell the damaged place of a part by its distance from good parts of the same line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trainer.backbone import normalise
from trainer.pretrain.episodes import draw_episode
from trainer.pretrain.lines import Lines
from trainer.pretrain.ranking import ranking_loss
from trainer.trunks import new_trunk

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Comparing:
    """What `trainer/pretrain/train.py` trains: a network whose `trunk` ships, what a step looks at, and the loss."""

    lines: Lines
    batch: int  # episodes
    rate: float = 1e-3

    def network(self) -> torch.nn.ModuleDict:
        """A ResNet18 up to layer2: layer3 learned to tell made-up parts apart, and was worth less on real ones."""
        import torch

        return torch.nn.ModuleDict({"trunk": new_trunk("resnet18").to(memory_format=torch.channels_last)})

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(n, parts, h, w, 3) BGR crops, 0 to 255, and (n, cells, cells): how much of each cell is damaged."""
        drawn = [draw_episode(self.lines, rng) for _ in range(self.batch)]
        return np.stack([one.crops for one in drawn]), np.stack([one.covered for one in drawn])

    def loss(
        self, network: torch.nn.ModuleDict, crops: torch.Tensor, covered: torch.Tensor
    ) -> tuple[torch.Tensor, float]:
        """The loss of `ranking.py` on features that are averaged over their neighbours, as PatchCore does it."""
        import torch
        import torch.nn.functional as F  # noqa: N812

        rgb = crops.flatten(0, 1).flip(-1).permute(0, 3, 1, 2)
        pixels = normalise(rgb).contiguous(memory_format=torch.channels_last)
        with torch.autocast(crops.device.type, torch.bfloat16):
            features = F.avg_pool2d(network["trunk"](pixels)[0], 3, 1, 1)
        loss, found = ranking_loss(features.float().reshape(*crops.shape[:2], *features.shape[1:]), covered)
        return loss, found.item()
