"""The steps of a training: the same for both families, but for the loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.errors import ModelError
from trainer.backbone import normalise
from trainer.progress import progress
from trainer.supervised.augment import Strength, varied
from trainer.supervised.networks import Begun, groups
from trainer.supervised.pictures import Picture

if TYPE_CHECKING:
    import torch

Loss = Callable[["torch.Tensor", Sequence[Picture]], "torch.Tensor"]
_WARM_UP = 0.1  # of the steps
_DECAY = 0.01
_LONGEST_GRADIENT = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how strongly a network learns."""

    steps: int
    batch: int
    seed: int
    strength: Strength
    rate: float = 1e-3  # of what begins anew
    known_share: float = 0.3  # of that rate: for what was loaded


def learn(network: torch.nn.Module, begun: Begun, pictures: Sequence[Picture], loss: Loss, plan: Plan) -> list[float]:
    """Trains `network` in place and leaves it ready to judge; the loss of each step.

    BatchNorm keeps its statistics: those of a few pictures differ from step to step, and what is learned then holds
    for no frame that comes alone. Raises ModelError where it diverges.
    """
    import torch

    torch.manual_seed(plan.seed)
    network.eval()
    optimizer = torch.optim.AdamW(groups(network, begun, plan.rate, plan.known_share), weight_decay=_DECAY)
    losses: list[float] = []
    bar = progress(_batches(pictures, plan), "train", unit="step", total=plan.steps)
    for step, batch in enumerate(bar):
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * _share(step, plan.steps)
        value = loss(network(_tensor(batch)), batch)
        if not torch.isfinite(value):
            raise ModelError(f"training diverged at step {step}: the loss is {value.item()}; try another --seed")
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), _LONGEST_GRADIENT)
        optimizer.step()
        losses.append(float(value.detach()))
        bar.set_postfix(loss=f"{np.mean(losses[-10:]):.3f}")
    return losses


def _share(step: int, steps: int) -> float:
    """Of the learning rate: up in a line, then down along a cosine (Loshchilov and Hutter, arXiv 1608.03983)."""
    warm = max(1, round(_WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _batches(pictures: Sequence[Picture], plan: Plan) -> Iterator[list[Picture]]:
    rng = np.random.default_rng(plan.seed)
    drawn = _drawn(pictures, rng)
    for _ in range(plan.steps):
        yield [varied(next(drawn), rng, plan.strength) for _ in range(plan.batch)]


def _drawn(pictures: Sequence[Picture], rng: np.random.Generator) -> Iterator[Picture]:
    """Good and bad by turns, the bad of each kind by turns, however few there are: each picture before one again."""
    kinds = sorted({picture.label for picture in pictures} - {"good"})
    piles = {kind: _shuffled([p for p in pictures if p.label == kind], rng) for kind in ("good", *kinds)}
    while True:
        for kind in kinds:
            yield next(piles["good"])
            yield next(piles[kind])


def _shuffled(pile: Sequence[Picture], rng: np.random.Generator) -> Iterator[Picture]:
    while True:
        yield from (pile[i] for i in rng.permutation(len(pile)))


def _tensor(batch: Sequence[Picture]) -> torch.Tensor:
    """(n, 3, h, w), as `trainer.backbone.tensor_of` makes it of one frame."""
    import torch

    stacked: Any = np.stack([picture.image[:, :, ::-1] for picture in batch])
    return normalise(torch.from_numpy(stacked).permute(0, 3, 1, 2).float())
