"""Family classification: which kind of defect a part has, if any. Any classifier of timm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from models.decoder import GOOD, LabelDecoder
from models.manifest import Preprocess
from trainer.supervised.networks import new_classifier
from trainer.supervised.pictures import Picture
from trainer.supervised.task import behind

if TYPE_CHECKING:
    import torch

_SMOOTHING = 0.05  # else all scores end up at 0 or 1, and a threshold between them says nothing


class Classification:
    """A `Task`."""

    family: Literal["classification"] = "classification"
    crop_px = None  # the label is that of the whole picture

    def __init__(self, backbone: str, kinds: tuple[str, ...], spec: Preprocess, seed: int) -> None:
        """`kinds` are those of the defects. Raises ConfigError for a backbone that timm cannot give."""
        self.decoder = LabelDecoder(kind="label", labels=(GOOD, *kinds))
        self.network: torch.nn.Module = new_classifier(backbone, len(self.decoder.labels), spec, seed)

    def loss(self, logits: torch.Tensor, batch: Sequence[Picture]) -> torch.Tensor:
        """Cross entropy with smoothed labels (Szegedy et al., arXiv 1512.00567, section 7)."""
        import torch

        wanted = torch.tensor([self.decoder.labels.index(picture.label) for picture in batch])
        return torch.nn.functional.cross_entropy(logits, wanted, label_smoothing=_SMOOTHING)

    def shipped(self) -> torch.nn.Module:
        """Probabilities (1, n)."""
        import torch

        return behind(self.network, lambda logits: torch.softmax(logits, dim=1))
