"""Defects that are painted into good pictures, for models that learn from the difference. No photograph is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trainer.synth.arrays import F32, f32
from trainer.synth.blemishes import paint_blemish
from trainer.synth.textures import draw_texture

if TYPE_CHECKING:
    import torch

_CROP_PX = 128  # what `paint_blemish` is made for: marks of 6 to 40 pixels
_MOST = 3  # of one picture
_SOUND = 0.3  # share of pictures that stay as they are
_LENT = 24  # surfaces to lend from
_COVERED = 0.25


class Painter:
    """Paints blemishes of many kinds where a picture has structure, each picture its own."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._lent = [draw_texture(rng, _CROP_PX) for _ in range(_LENT)]

    def paint(self, pictures: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """RGB 0 to 1, (n, 3, h, w): the same with defects, and where they are, 0 or 1, (n, 1, h, w)."""
        import torch

        painted, masks = pictures.clone(), torch.zeros_like(pictures[:, :1])
        for index in range(len(pictures)):
            if rng.random() >= _SOUND:
                for _ in range(int(rng.integers(1, _MOST + 1))):
                    self.blemish(painted[index].numpy(), masks[index, 0].numpy(), rng)
        return painted, masks

    def blemish(self, rgb: NDArray[np.float32], mask: NDArray[np.float32], rng: np.random.Generator) -> None:
        """Paints one into (3, h, w), 0 to 1, and its place into `mask`: all three colours change by as much."""
        top, left = _place(rgb, rng)
        rows, columns = slice(top, top + _CROP_PX), slice(left, left + _CROP_PX)
        grey = f32(255 * rgb[:, rows, columns].mean(axis=0))
        square = _squared(grey)
        other = self._lent[int(rng.integers(len(self._lent)))]
        changed, where, _ = paint_blemish(square, other, rng)
        change = changed[: grey.shape[0], : grey.shape[1]] - grey
        rgb[:, rows, columns] = np.clip(rgb[:, rows, columns] + change / 255, 0, 1)
        covered = where[: grey.shape[0], : grey.shape[1]] > _COVERED
        mask[rows, columns] = np.maximum(mask[rows, columns], covered)


def _place(rgb: NDArray[np.float32], rng: np.random.Generator) -> tuple[int, int]:
    """Top left of a crop that shows something, where a few tries find one."""
    height, width = rgb.shape[1:]
    for _ in range(6):
        top = int(rng.integers(max(1, height - _CROP_PX + 1)))
        left = int(rng.integers(max(1, width - _CROP_PX + 1)))
        if rgb[:, top : top + _CROP_PX, left : left + _CROP_PX].std() > 8 / 255:
            break
    return top, left


def _squared(grey: F32) -> F32:
    """Mirrored below and to the right where the picture is smaller than a crop."""
    missing = [(0, _CROP_PX - side) for side in grey.shape]
    return f32(np.pad(grey, missing, mode="symmetric"))
