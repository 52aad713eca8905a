"""The one loop in which networks of this family are trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from models.errors import ModelError
from models.prediction import Image
from trainer.anomaly.model import Lesson
from trainer.augment import views_of
from trainer.backbone import tensor_of
from trainer.progress import progress

if TYPE_CHECKING:
    import torch


def draw_batch(lesson: Lesson, count: int, rng: np.random.Generator) -> torch.Tensor:
    """`count` views of good images as the plan varies them, normalised, (count, 3, height_px, width_px)."""
    import torch

    return torch.cat([tensor_of(_draw_view(lesson, rng), lesson.spec) for _ in range(count)])


def _draw_view(lesson: Lesson, rng: np.random.Generator) -> Image:
    image = lesson.images[int(rng.integers(len(lesson.images)))]
    angle = lesson.plan.angles_deg[int(rng.integers(len(lesson.plan.angles_deg)))]
    return next(views_of(image, lesson.plan.model_copy(update={"angles_deg": (angle,)}), rng))


def train(
    optimiser: torch.optim.Optimizer, steps: int, seed: int, loss_of: Callable[[np.random.Generator], torch.Tensor]
) -> None:
    """Takes `steps` steps, each with random numbers of its own; the rate falls to nothing along a cosine.

    Raises ModelError where the loss is no number.
    """
    import torch

    torch.manual_seed(seed)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    bar = progress(range(steps), "learn", unit="step")
    for step in bar:
        loss = loss_of(np.random.default_rng((seed, step)))
        if not torch.isfinite(loss):
            raise ModelError(f"step {step}: the loss is {loss.item()}; give other --weights or a larger --batch")
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        bar.set_postfix(loss=f"{loss.item():.3g}")
