"""STFPM: a student learns to see good parts as a teacher does, and sees the rest otherwise.

Wang et al., Student-Teacher Feature Pyramid Matching for Anomaly Detection, BMVC 2021 (arXiv 2103.04257), with
anomalib's loss and map. The teacher is our backbone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.anomaly.extractor import empty_extractor, extractor_of, quiet_imports
from trainer.anomaly.model import Lesson, Setup
from trainer.anomaly.train import draw_batch, train
from trainer.backbone import feature_layers

if TYPE_CHECKING:
    import torch

_STRIDES = (4, 8, 16)  # layer1 to layer3 of a ResNet, as in the paper
_RATE = 0.4  # of SGD, as in the paper


class Stfpm:
    """A Learner."""

    size_px = 256

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self.backbone: str | None = setup.options.backbone
        self.layers = feature_layers(setup.options.backbone, _STRIDES)
        self.steps, self.batch = setup.options.steps or 150, setup.options.batch or 4

    def learn(self, lesson: Lesson) -> torch.nn.Module:
        """Trains the student."""
        import torch

        with quiet_imports():
            from anomalib.models.image.stfpm.loss import STFPMLoss
        seed = self._setup.options.seed
        teacher = extractor_of(self._setup, self.layers, lesson)
        torch.manual_seed(seed)
        student, loss = empty_extractor(self._setup.options.backbone, self.layers, trained=True), STFPMLoss()
        student.train()
        optimiser = torch.optim.SGD(student.parameters(), lr=_RATE, momentum=0.9, weight_decay=1e-4)

        def loss_of(rng: Any) -> torch.Tensor:
            views = draw_batch(lesson, self.batch, rng)
            found: torch.Tensor = loss(teacher(views), student(views)) / self.batch
            return found

        train(optimiser, self.steps, seed, loss_of)
        return _network(teacher, student.eval())


def _network(teacher: Any, student: Any) -> torch.nn.Module:
    import torch

    with quiet_imports():
        from anomalib.models.image.stfpm.anomaly_map import AnomalyMapGenerator

    class Apart(torch.nn.Module):
        """How far the two are apart, at the finest layer's resolution."""

        def __init__(self) -> None:
            super().__init__()
            self.teacher, self.student = teacher, student

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            known, seen = self.teacher(images), self.student(images)
            size = next(iter(known.values())).shape[-2:]
            maps = [AnomalyMapGenerator.compute_layer_map(known[layer], seen[layer], size) for layer in known]
            return torch.prod(torch.cat(maps, 1), 1, keepdim=True)

    return Apart()
