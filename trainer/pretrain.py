"""Makes the starter weights: a ResNet18 up to layer3 that learns to find painted defects on generated
surfaces and on rendered good screws. No photograph is involved.

The task is dense: for each cell of stride 8, which kind of defect covers it, if any. To tell a smear
from a stain under changing light is what later makes patch distances speak.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from trainer.synth.arrays import F32, blur, f32
from trainer.synth.blemishes import KINDS, paint_blemish
from trainer.synth.textures import draw_texture

if TYPE_CHECKING:
    import torch

CROP_PX = 128
CELL_PX = 8
POOL_PX = 512
POOL_PARTS, POOL_SURFACES = 300, 300
_COVERED = 0.25  # share of a cell from which it counts as defective
_PARTS_FIRST_SEED = 1_000_000  # far from the seeds of `trainer/synth/dataset.py`


def render_pool(parts: int, surfaces: int, seed: int) -> list[F32]:
    """The pictures to crop from: rendered good screws and generated surfaces, (512, 512) grey."""
    from trainer.progress import progress
    from trainer.synth import render_screw

    rng = np.random.default_rng(seed)
    pool = []
    for i in progress(range(parts), "render parts"):
        image, _ = render_screw(_PARTS_FIRST_SEED + seed * 100_000 + i, size_px=POOL_PX)
        pool.append(f32(image[:, :, 0]))
    return pool + [draw_texture(rng, POOL_PX) for _ in progress(range(surfaces), "draw surfaces")]


def draw_sample(pool: list[F32], rng: np.random.Generator) -> tuple[F32, np.ndarray]:
    """A crop with 0 to 5 painted defects: grey (128, 128), and the kind for each cell, (16, 16)."""
    picture = _crop(pool, rng)
    kinds = np.zeros((CROP_PX // CELL_PX,) * 2, np.int64)
    for _ in range(int(rng.integers(0, 6))):
        picture, where, kind = paint_blemish(picture, _crop(pool, rng), rng)
        cells = cv2.resize(where, kinds.shape[::-1], interpolation=cv2.INTER_AREA)
        kinds[cells > _COVERED] = kind
    if rng.random() < 0.3:
        picture = blur(picture, *rng.uniform(0.3, 0.9, 2))
    return f32(np.clip(picture + rng.standard_normal(picture.shape) * rng.uniform(0, 3), 0, 255)), kinds


def _crop(pool: list[F32], rng: np.random.Generator) -> F32:
    """A crop that shows something, where a few tries find one: backdrop alone teaches little."""
    for _ in range(4):
        crop = _any_crop(pool, rng)
        if crop.std() > 8:
            break
    return crop


def _any_crop(pool: list[F32], rng: np.random.Generator) -> F32:
    """Any place, turn, mirror image, scale, brightness and contrast."""
    source = pool[int(rng.integers(len(pool)))]
    turn = cv2.getRotationMatrix2D((POOL_PX / 2, POOL_PX / 2), rng.uniform(0, 360), rng.uniform(0.65, 1.15))
    turn[:, 2] = turn[:, 2] + (CROP_PX - POOL_PX) / 2 + rng.uniform(-0.3, 0.3, 2) * POOL_PX
    crop = cv2.warpAffine(source, turn, (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    middle = float(crop.mean())
    return f32(np.clip((crop - middle) * rng.uniform(0.75, 1.3) + middle * rng.uniform(0.8, 1.2), 0, 255))


def train(  # noqa: PLR0913
    pool: list[F32], out: Path, *, steps: int, batch: int, seed: int, start: Path | None = None
) -> None:
    """Trains from random weights, or from those of a former round, and writes a FP16 state dict to `out`.

    Progress is kept in `out` + ".resume" every 100 steps; an interrupted run goes on from there.
    """
    import torch

    from trainer.progress import progress

    torch.manual_seed(seed)
    backbone, head = _networks()
    if start is not None:
        backbone.load_state_dict({name: value.float() for name, value in torch.load(start, weights_only=True).items()})
    optimiser = torch.optim.AdamW([*backbone.parameters(), *head.parameters()], weight_decay=1e-3)
    resume = out.with_name(out.name + ".resume")
    first = _load(resume, backbone, head, optimiser)
    backbone.train()
    bar = progress(range(first, steps), "pretrain", unit="step")
    for step in bar:
        rng = np.random.default_rng((seed, step))
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 50) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        loss = _loss(backbone, head, [draw_sample(pool, rng) for _ in range(batch)])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        bar.set_postfix(loss=f"{loss.item():.3f}")
        if (step + 1) % 100 == 0:
            state = {
                "step": step + 1,
                "nets": [backbone.state_dict(), head.state_dict()],
                "opt": optimiser.state_dict(),
            }
            torch.save(state, resume)
            _save(backbone, out)
    _save(backbone, out)


def _networks() -> tuple[torch.nn.Module, torch.nn.Module]:
    import timm
    import torch

    backbone = timm.create_model("resnet18", pretrained=False, features_only=True, out_indices=(2, 3))
    channels = sum(backbone.feature_info.channels())
    head = torch.nn.Sequential(torch.nn.Conv2d(channels, 64, 1), torch.nn.ReLU(), torch.nn.Conv2d(64, len(KINDS), 1))
    return backbone, head


def _loss(backbone: torch.nn.Module, head: torch.nn.Module, samples: list[tuple[F32, np.ndarray]]) -> torch.Tensor:
    import torch
    import torch.nn.functional as F  # noqa: N812

    from trainer.backbone import normalise

    grey = torch.from_numpy(np.stack([picture for picture, _ in samples]))
    kinds = torch.from_numpy(np.stack([cells for _, cells in samples]))
    fine, coarse = backbone(normalise(grey[:, None].expand(-1, 3, -1, -1)))
    coarse = F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear")
    weight = torch.tensor([0.3] + [1.0] * (len(KINDS) - 1))
    loss: torch.Tensor = F.cross_entropy(head(torch.cat([fine, coarse], 1)), kinds, weight=weight)
    return loss


def _load(resume: Path, backbone: torch.nn.Module, head: torch.nn.Module, optimiser: torch.optim.Optimizer) -> int:
    import torch

    if not resume.exists():
        return 0
    state = torch.load(resume, weights_only=True)
    for net, weights in zip((backbone, head), state["nets"], strict=True):
        net.load_state_dict(weights)
    optimiser.load_state_dict(state["opt"])
    return int(state["step"])


def _save(backbone: torch.nn.Module, out: Path) -> None:
    import torch

    torch.save(
        {name: value.half() if value.is_floating_point() else value for name, value in backbone.state_dict().items()},
        out,
    )
