"""What is learned: in an episode, each damaged cell lies farther from all good ones than any good cell does.

Distances are those of PatchCore, to the nearest vector of the good parts, so the features are made for what they are
used for. Only their order counts, in units of the episode's own distances: no margin has to fit every surface.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_TEMPERATURE = 0.15  # of the mean distance of good cells
_DAMAGED, _GOOD = 0.3, 0.01  # share of a cell from which, and up to which, it counts as such
_TINY = 1e-6  # a root has no slope at 0


def nearest(vectors: torch.Tensor, bank: torch.Tensor) -> torch.Tensor:
    """(b, n, d), (b, m, d) -> (b, n): distance of each vector to the nearest of its episode's bank."""
    squares = (vectors * vectors).sum(-1)[..., None] + (bank * bank).sum(-1)[:, None]
    squared = (squares - 2 * vectors @ bank.transpose(1, 2)).amin(-1)
    return (squared.clamp_min(0) + _TINY).sqrt()


def cells_of(covered: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(b, h, w) -> which cells are damaged, and which are good and not beside a damaged one: (b, h * w) each."""
    import torch.nn.functional as F  # noqa: N812

    around = F.max_pool2d(covered[:, None], 3, 1, 1)[:, 0]
    return (covered > _DAMAGED).flatten(1), (around < _GOOD).flatten(1)


def ranking_loss(features: torch.Tensor, covered: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss, and the share of damaged cells that lie farther than every good one.

    features: (b, k, d, h, w) of the good crops and, last, the judged one. covered: (b, h, w). Episodes without a
    damaged cell teach nothing here.
    """
    import torch
    import torch.nn.functional as F  # noqa: N812

    vectors = features.flatten(3).transpose(2, 3)  # (b, k, cells, d)
    judged = nearest(vectors[:, -1], vectors[:, :-1].flatten(1, 2))
    a_good_one = nearest(vectors[:, 0], vectors[:, 1:-1].flatten(1, 2))
    is_damaged, is_good = cells_of(covered)
    good = torch.cat([judged, a_good_one], 1)
    counts = torch.cat([is_good, torch.ones_like(is_good)], 1)
    unit = _TEMPERATURE * (good * counts).sum(1, keepdim=True) / counts.sum(1, keepdim=True)
    highest = torch.logsumexp((good / unit).masked_fill(~counts, -torch.inf), 1, keepdim=True)
    losses = F.softplus(highest - judged / unit)
    found = judged > good.masked_fill(~counts, 0).amax(1, keepdim=True)
    weight = is_damaged / is_damaged.sum(1, keepdim=True).clamp_min(1)  # each episode counts the same
    episodes = is_damaged.any(1).sum().clamp_min(1)
    return (losses * weight).sum() / episodes, (found * weight).sum() / episodes
