"""SuperSimpleNet: a small head learns to tell features of good parts from the same with noise in them.

Rolih et al., SuperSimpleNet: Unifying Unsupervised and Supervised Learning for Fast and Reliable Surface Defect
Detection, ICPR 2024 (arXiv 2408.03143), with anomalib's adaptor, head and loss. Its second head, which
scores the whole picture, is left out: a score here is read from the heatmap, and that head teaches it nothing
(gradients between the two are stopped, as anomalib does by default).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.anomaly.extractor import extractor_of, quiet_imports
from trainer.anomaly.model import Lesson, Setup
from trainer.anomaly.positive import positive
from trainer.anomaly.train import draw_batch, train
from trainer.backbone import feature_layers
from trainer.synth.arrays import noise

if TYPE_CHECKING:
    import torch

_STRIDES = (8, 16)  # layer2 and layer3 of a ResNet, as in the paper
_NOISE = 0.3  # deviation, in those of the adapted features
_DISTURBED = 0.5  # share of pictures with noise, as anomalib does
_BLOT = (0.5, 1.5)  # deviations above which smooth noise makes a blot: a third to a fifteenth of the picture


class SuperSimpleNet:
    """A Learner."""

    size_px = 256

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self.backbone: str | None = setup.options.backbone
        self.layers = feature_layers(setup.options.backbone, _STRIDES)
        self.steps, self.batch = setup.options.steps or 150, setup.options.batch or 4

    def learn(self, lesson: Lesson) -> torch.nn.Module:
        """Trains adaptor and head on features of good parts."""
        import torch

        with quiet_imports():
            from anomalib.models.image.supersimplenet.loss import SSNLoss
        seed = self._setup.options.seed
        network = _network(extractor_of(self._setup, self.layers, lesson), seed)
        with torch.no_grad():
            spread = network.adapted(draw_batch(lesson, self.batch, np.random.default_rng(seed))).std()
        deviation, loss = _NOISE * float(spread), SSNLoss()
        optimiser = torch.optim.AdamW(
            [
                {"params": network.adaptor.parameters(), "lr": 1e-4},
                {"params": network.head.parameters(), "lr": 2e-4, "weight_decay": 1e-5},
            ]
        )

        def loss_of(rng: Any) -> torch.Tensor:
            adapted = network.adapted(draw_batch(lesson, self.batch, rng))
            masks = torch.from_numpy(_masks((self.batch, 1, *adapted.shape[2:]), rng))
            found = network.head(adapted + masks * deviation * torch.randn_like(adapted))
            value: torch.Tensor = loss.focal_loss(found, masks) + loss.trunc_l1_loss(found, masks)
            return value

        network.head.train()
        train(optimiser, self.steps, seed, loss_of)
        trained: torch.nn.Module = network.eval()
        return trained


def _masks(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Where noise is put, 0 or 1: blots of any size in half of the pictures, nowhere in the others.

    anomalib's Perlin noise does the same, but not in maps of less than 32 cells a side.
    """
    masks = np.zeros(shape, np.float32)
    height, width = shape[2:]
    for mask in masks[:, 0]:
        if rng.random() < _DISTURBED:
            size = np.exp(rng.uniform(np.log(0.5), np.log(max(height, width, 8) / 8)))
            mask[:] = noise(rng, height, width, size, size) > rng.uniform(*_BLOT)
    return masks


def _network(extractor: Any, seed: int) -> Any:
    import torch
    import torch.nn.functional as F  # noqa: N812

    with quiet_imports():
        from anomalib.models.image.supersimplenet.torch_model import FeatureAdapter, SegmentationDetectionModule

    class Network(torch.nn.Module):
        """Features, adaptor and head of the heatmap."""

        def __init__(self) -> None:
            super().__init__()
            channels = sum(extractor.out_dims)
            torch.manual_seed(seed)
            self.extractor, self.adaptor = extractor, FeatureAdapter(channels)
            self.head = SegmentationDetectionModule(channels).seg_head
            self.pool = torch.nn.AvgPool2d(3, 1, 1)

        def adapted(self, images: torch.Tensor) -> torch.Tensor:
            """Features at twice the finest layer's resolution, averaged over neighbours, adapted."""
            found = list(self.extractor(images).values())
            size = tuple(2 * side for side in found[0].shape[2:])
            larger = [F.interpolate(one, size=size, mode="bilinear") for one in found]
            adapted: torch.Tensor = self.adaptor(self.pool(torch.cat(larger, 1)))
            return adapted

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return positive(self.head(self.adapted(images)))

    return Network()
