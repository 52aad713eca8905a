"""From a logit to a heatmap."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_LARGEST = 1e30


def positive(logits: torch.Tensor) -> torch.Tensor:
    """log(1 + e^x): as ordered as a probability, but it never reaches an end where all defects are alike.

    What is no number stays none: by itself softplus, computed on a CPU, makes a number of NaN.
    """
    import torch
    import torch.nn.functional as F  # noqa: N812

    return torch.where(torch.abs(logits) < _LARGEST, F.softplus(logits), logits)
