"""Makes patch vectors narrower: the directions in which good patches differ most, and the others left out.

Every patch is compared with every vector of the bank, number by number, so a third of the numbers is a third of the
search. What is left out is common to good patches and says little of damage: `python -m tests.bench.curve`.
(Principal components: Pearson 1901; for PatchCore's features a random projection does nearly as well.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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

    def layer(self) -> torch.nn.Module:
        """The same as one more layer, (1, d, h, w) to (1, k, h, w)."""
        import torch

        width, before = self.directions.shape
        layer = torch.nn.Conv2d(before, width, 1).eval().requires_grad_(requires_grad=False)
        layer.weight.copy_(torch.from_numpy(self.directions)[:, :, None, None])
        layer.bias.copy_(torch.from_numpy(-self.directions @ self.middle))  # type: ignore[union-attr]
        return layer


def principal(patches: F32, width: int) -> Narrowing:
    """The `width` directions in which `patches` (n, d) differ most; all of them where there are no more."""
    middle = patches.mean(axis=0, dtype=np.float64)
    apart = patches - middle.astype(np.float32)
    _, directions = np.linalg.eigh((apart.T @ apart).astype(np.float64))  # by how far they differ, least first
    chosen = directions[:, ::-1][:, :width].T
    return Narrowing(np.ascontiguousarray(chosen, np.float32), middle.astype(np.float32))
