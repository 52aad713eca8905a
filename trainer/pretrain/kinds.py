"""The first trunk's task: for each cell of 8 px, which kind of painted defect covers it, if any.

On generated surfaces and rendered good screws; to tell a smear from a stain under changing light is what later makes
patch distances speak. No photograph is involved.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.backbone import normalise
from trainer.pretrain.episodes import CELL_PX, CROP_PX
from trainer.progress import progress
from trainer.synth.arrays import F32, blur, f32
from trainer.synth.blemishes import KINDS, paint_blemish
from trainer.synth.textures import draw_texture

if TYPE_CHECKING:
    import torch

POOL_PX = 512
_COVERED = 0.25  # share of a cell from which it counts as defective
_SOUND = 0.3  # weight of sound cells, which are most
_FIRST_SEED = 1_000_000  # far from the seeds of `trainer/synth/dataset.py`
Pool = NDArray[np.uint8]  # (n, POOL_PX, POOL_PX), grey: what crops are taken from


def render_pool(folder: Path, count: int, seed: int) -> Pool:
    """Rendered good screws and as many generated surfaces, `count` in all, unless `folder` holds them already."""
    from trainer.synth import render_screw

    file = folder / "pool.npy"
    if not file.is_file():
        rng, first, parts = np.random.default_rng(seed), _FIRST_SEED + seed * 100_000, count // 2
        screws = [render_screw(first + i, size_px=POOL_PX)[0] for i in progress(range(parts), "render parts")]
        surfaces = [draw_texture(rng, POOL_PX) for _ in progress(range(count - parts), "draw surfaces")]
        part = folder / "pool.part.npy"
        np.save(part, np.stack([*(image[:, :, 0] for image in screws), *(one.astype(np.uint8) for one in surfaces)]))
        part.rename(file)
    pool: Pool = np.load(file, mmap_mode="r")
    return pool


def draw_sample(pool: Pool, rng: np.random.Generator) -> tuple[F32, NDArray[np.int64]]:
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


def _crop(pool: Pool, rng: np.random.Generator) -> F32:
    """A crop that shows something, where a few tries find one: backdrop alone teaches little."""
    for _ in range(4):
        crop = _any_crop(pool, rng)
        if crop.std() > 8:
            break
    return crop


def _any_crop(pool: Pool, rng: np.random.Generator) -> F32:
    """Any place, turn, mirror image, scale, brightness and contrast."""
    source = f32(pool[int(rng.integers(len(pool)))])
    turn = cv2.getRotationMatrix2D((POOL_PX / 2, POOL_PX / 2), rng.uniform(0, 360), rng.uniform(0.65, 1.15))
    turn[:, 2] = turn[:, 2] + (CROP_PX - POOL_PX) / 2 + rng.uniform(-0.3, 0.3, 2) * POOL_PX
    crop = cv2.warpAffine(source, turn, (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    middle = float(crop.mean())
    return f32(np.clip((crop - middle) * rng.uniform(0.75, 1.3) + middle * rng.uniform(0.8, 1.2), 0, 255))


@dataclass(frozen=True, slots=True)
class Kinds:
    """What `trainer/pretrain/train.py` trains: a network whose `trunk` ships, what a step looks at, and the loss."""

    pool: Pool
    batch: int  # crops
    rate: float = 2e-3

    def network(self) -> torch.nn.ModuleDict:
        """A ResNet18 up to layer3 as `trunk`, and the head that names kinds, which does not ship."""
        import timm
        import torch

        trunk = timm.create_model("resnet18", pretrained=False, features_only=True, out_indices=(2, 3))
        channels = sum(trunk.feature_info.channels())
        head = torch.nn.Sequential(
            torch.nn.Conv2d(channels, 64, 1), torch.nn.ReLU(), torch.nn.Conv2d(64, len(KINDS), 1)
        )
        return torch.nn.ModuleDict({"trunk": trunk, "head": head})

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """(n, 128, 128) grey, and (n, 16, 16) kinds."""
        samples = [draw_sample(self.pool, rng) for _ in range(self.batch)]
        return np.stack([picture for picture, _ in samples]), np.stack([kinds for _, kinds in samples])

    def loss(
        self, network: torch.nn.ModuleDict, pictures: torch.Tensor, kinds: torch.Tensor
    ) -> tuple[torch.Tensor, float]:
        """Cross-entropy over the cells, and the share of damaged cells that are called by their kind."""
        import torch
        import torch.nn.functional as F  # noqa: N812

        fine, coarse = network["trunk"](normalise(pictures[:, None].expand(-1, 3, -1, -1)))
        coarse = F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear")
        said = network["head"](torch.cat([fine, coarse], 1))
        weight = torch.tensor([_SOUND] + [1.0] * (len(KINDS) - 1), device=said.device)
        damaged = kinds > 0
        right = (said.argmax(1) == kinds)[damaged].float().mean().item() if damaged.any() else 0.0
        return F.cross_entropy(said, kinds, weight=weight), right
