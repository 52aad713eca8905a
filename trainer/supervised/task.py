"""What differs between the two families: the network, what it learns, and the graph that ships."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from models.manifest import Decoder, Preprocess
from trainer.options import SupervisedFamily
from trainer.supervised.pictures import Picture

if TYPE_CHECKING:
    import torch


class Task(Protocol):
    """One family's network on its way to a bundle."""

    network: torch.nn.Module

    @property
    def family(self) -> SupervisedFamily:
        """Whose bundle it becomes."""
        ...

    @property
    def decoder(self) -> Decoder:
        """How its output is read."""
        ...

    @property
    def crop_px(self) -> tuple[int, int] | None:
        """(height, width) of the cut-outs that it learns from; None where it must see all of a picture."""
        ...

    def loss(self, logits: torch.Tensor, batch: Sequence[Picture]) -> torch.Tensor:
        """Of a batch; `logits` are the network's."""
        ...

    def shipped(self) -> torch.nn.Module:
        """The network in eval mode, with what turns logits of one picture into the decoder's output behind it."""
        ...


def behind(network: torch.nn.Module, last: Any) -> torch.nn.Module:
    """`network`, and `last` applied to what it gives."""
    import torch

    class Shipped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = last(self.network(images))
            return output

    return Shipped().eval()


def task_for(  # noqa: PLR0913, PLR0917 - a network depends on all of it
    family: SupervisedFamily,
    backbone: str,
    kinds: tuple[str, ...],
    spec: Preprocess,
    pictures: Sequence[Picture],
    seed: int,
) -> Task:
    """The family's task. Raises ConfigError for a backbone that it cannot use."""
    if family == "classification":
        from trainer.supervised.classification import Classification

        return Classification(backbone, kinds, spec, seed)
    from trainer.supervised.segmentation import Segmentation

    return Segmentation(backbone, spec, pictures, seed)
