"""Makes patch vectors narrower: the directions in which good patches differ most, and the others left out.

Every patch is compared with every vector of the bank, number by number, so a third of the numbers is a third of the
search. What is left out is common to good patches and says little of damage: `python -m tests.bench.curve`.
(Principal components: Pearson 1901; for PatchCore's features a random projection does nearly as well.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Narrowing:
    """x to directions (k, d) times (x - middle)."""

    directions: F32  # (k, d), of length 1
    middle: F32  # (d,)

    def layers(self, widths: Sequence[int]) -> torch.nn.Module:
        """The same of features that lie in layers of (1, width, h, w) each: what `Narrowed` gives."""
        return _narrowed(self, widths)


def _narrowed(narrowing: Narrowing, widths: Sequence[int]) -> torch.nn.Module:
    import torch
    import torch.nn.functional as F  # noqa: N812

    class Narrowed(torch.nn.Module):
        """Layers of features to patches (1, k, h, w), each layer narrowed where it is.

        A mean of neighbours and what is enlarged are the same sums of fewer numbers, which take less time.
        """

        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList(map(_layer, _parts(narrowing.directions, widths)))
            middle = torch.from_numpy(-narrowing.directions @ narrowing.middle)
            self.middle = torch.nn.Parameter(middle.reshape(1, -1, 1, 1), requires_grad=False)

        def forward(self, features: Sequence[torch.Tensor], pool: Callable[[torch.Tensor], torch.Tensor]) -> Any:
            first, *others = (pool(layer(one)) for layer, one in zip(self.layers, features, strict=True))
            for other in others:
                first = first + F.interpolate(other, size=first.shape[-2:], mode="bilinear")
            return first + self.middle

    return Narrowed().eval()


def _parts(directions: F32, widths: Sequence[int]) -> list[F32]:
    """(k, width) of each layer."""
    return np.split(directions, np.cumsum(widths)[:-1], axis=1)


def _layer(directions: F32) -> torch.nn.Module:
    import torch

    width, before = directions.shape
    layer = torch.nn.Conv2d(before, width, 1, bias=False).requires_grad_(requires_grad=False)
    layer.weight.copy_(torch.from_numpy(directions.copy())[:, :, None, None])
    return layer


def principal(patches: F32, width: int) -> Narrowing:
    """The `width` directions in which `patches` (n, d) differ most; all of them where there are no more.

    Turned among themselves, which changes no distance: then all numbers reach equally far, and in eight bits, where
    they share one grid, none is lost between its lines.
    """
    middle = patches.mean(axis=0, dtype=np.float64)
    apart = patches - middle.astype(np.float32)
    _, directions = np.linalg.eigh((apart.T @ apart).astype(np.float64))  # by how far they differ, least first
    chosen = directions[:, ::-1][:, :width].T
    return Narrowing(np.ascontiguousarray(_turn(len(chosen)) @ chosen, np.float32), middle.astype(np.float32))


def _turn(width: int) -> NDArray[np.float64]:
    """(width, width), one that is the same every time."""
    return np.linalg.qr(np.random.default_rng(0).standard_normal((width, width)))[0]
