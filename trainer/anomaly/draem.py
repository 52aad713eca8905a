"""DRAEM: one network draws the part without its defect, another finds the difference.

Zavrtanik et al., DRAEM: a discriminatively trained reconstruction embedding for surface anomaly detection, ICCV 2021
(arXiv 2108.07610), with anomalib's networks and loss. Both are narrower than the paper's, which takes a GPU for hours,
and its defects are cut from photographs of textures; ours are painted (`defects.py`). It needs no weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.anomaly.defects import Painter
from trainer.anomaly.extractor import quiet_imports
from trainer.anomaly.model import Lesson, Setup
from trainer.anomaly.positive import positive
from trainer.anomaly.train import draw_batch, train
from trainer.backbone import MEAN_RGB, STD_RGB

if TYPE_CHECKING:
    import torch

_RATE = 1e-3  # of Adam
_WIDTHS = (16, 16)  # of the network that draws, and of the one that finds; the paper's are 128 and 64
_CELL_PX = 4


class Draem:
    """A Learner."""

    size_px = 256
    backbone: str | None = None
    layers: tuple[str, ...] = ()

    def __init__(self, setup: Setup) -> None:
        self._seed = setup.options.seed
        self.steps, self.batch = setup.options.steps or 150, setup.options.batch or 4

    def learn(self, lesson: Lesson) -> torch.nn.Module:
        """Trains both networks on good parts with painted defects."""
        import torch

        with quiet_imports():
            from anomalib.models.image.draem.loss import DraemLoss
        network, loss, painter = _network(self._seed), DraemLoss(), Painter(self._seed)
        network.train()
        optimiser = torch.optim.Adam(network.parameters(), lr=_RATE)

        def loss_of(rng: Any) -> torch.Tensor:
            good = network.picture(draw_batch(lesson, self.batch, rng))
            painted, masks = painter.paint(good, rng)
            drawn, found = network.both(painted)
            value: torch.Tensor = loss(good, drawn, masks, found)
            return value

        train(optimiser, self.steps, self._seed, loss_of)
        trained: torch.nn.Module = network.eval()
        return trained


def _network(seed: int) -> Any:
    import torch
    import torch.nn.functional as F  # noqa: N812

    with quiet_imports():
        from anomalib.models.image.draem.torch_model import DiscriminativeSubNetwork, ReconstructiveSubNetwork

    class Network(torch.nn.Module):
        """Both, from normalised pictures to a heatmap of cells."""

        mean: torch.Tensor
        std: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(seed)
            self.draw = ReconstructiveSubNetwork(base_width=_WIDTHS[0])
            self.find = DiscriminativeSubNetwork(in_channels=6, out_channels=2, base_width=_WIDTHS[1])
            for name, values in (("mean", MEAN_RGB), ("std", STD_RGB)):
                self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1) / 255)

        def picture(self, images: torch.Tensor) -> torch.Tensor:
            """RGB, 0 to 1, as the loss wants it."""
            return images * self.std + self.mean

        def both(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            drawn = self.draw(pictures)
            return drawn, self.find(torch.cat([pictures, drawn], 1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            found = self.both(self.picture(images))[1]
            return F.avg_pool2d(positive(found[:, 1:] - found[:, :1]), _CELL_PX)

    return Network()
