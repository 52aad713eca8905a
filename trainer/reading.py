"""How a map of patch distances becomes a score: how far it is smoothed, and the mean of how many patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from models.manifest import PatchcoreDecoder
from models.upright import Mask

if TYPE_CHECKING:
    import openvino as ov
    import torch

F32 = NDArray[np.float32]
_ON_PART = 0.3  # of a patch's pixels; half of what the fullest patch has where the part is thinner than patches
_AROUND, _MOST = 2.0, 3.0  # patches, a standard deviation; what one may count against another
_REACH = 3  # standard deviations of the Gaussian


@dataclass(frozen=True, slots=True)
class Reading:
    """`share` of the patches, the largest, have the score as their mean; `sigma` in patches, 0 leaves the map alone."""

    share: float
    sigma: float
    weight: F32 | None = None  # (h, w), what each patch counts, before it is smoothed; None: each counts whole

    @property
    def kernel(self) -> NDArray[np.float64] | None:
        """One line of the Gaussian, sum 1; None where nothing is smoothed."""
        if self.sigma == 0:
            return None
        reach = round(_REACH * self.sigma)
        line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / self.sigma) ** 2)
        return np.asarray(line / line.sum())


# Upright parts are looked at alone: fewer patches, and larger defects in them.
UPRIGHT = Reading(share=0.005, sigma=0.7)
UPRIGHT_FINE_ALONE = Reading(share=0.005, sigma=1.4)
COARSE = Reading(share=0.0025, sigma=0)  # a coarser layer among the features makes neighbours alike already
# Roth et al. smooth the map (arXiv 2106.08265), Damm et al. read the highest 1 % (arXiv 2405.14529).
FINE_ALONE = Reading(share=0.01, sigma=1)


def reading_of(layers: Sequence[str]) -> Reading:
    """For features of these layers. `python -m tests.bench.starter` shows what it is worth."""
    return FINE_ALONE if len(layers) == 1 else COARSE


def upright_reading(layers: Sequence[str], mask: Mask, rows: int, columns: int) -> Reading:
    """For upright parts, of whose pixels `mask` (H, W) says which are the part: no patch beside it counts."""
    plain = UPRIGHT_FINE_ALONE if len(layers) == 1 else UPRIGHT
    share = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    on_part = share >= min(_ON_PART, float(share.max()) / 2)  # never none: a map of zeros would pass every part
    return replace(plain, weight=on_part.astype(np.float32))


def evened(reading: Reading, distances: F32) -> Reading:
    """For upright parts, of which good ones gave `distances` (n, h, w): each patch says something else by the same.

    On a thread good parts differ from each other more than on a plain neck, and a scratch there would drown in it. So
    each patch counts by the inverse of its usual distance, which is a mean over its surroundings, against all others'.
    """
    if reading.weight is None:
        return reading
    on_part = (reading.weight > 0).astype(np.float32)
    usual = _soft(distances.mean(axis=0) * on_part) / np.maximum(_soft(on_part), 1e-6)
    level = float(usual[on_part > 0].mean())
    weight = np.clip(level / np.maximum(usual, 1e-6), 1 / _MOST, _MOST) * on_part
    return replace(reading, weight=weight.astype(np.float32))


def _soft(plane: F32) -> F32:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), _AROUND), np.float32)


def decoder_for(graph: ov.Model, reading: Reading = COARSE) -> PatchcoreDecoder:
    """How many patches the score is a mean of, for a graph's map of patches (1, d, h, w)."""
    rows, columns = (graph.outputs[0].partial_shape[axis].get_length() for axis in (2, 3))
    return PatchcoreDecoder(kind="patchcore", top_patches=max(1, round(reading.share * rows * columns)))


def smoothed(distances: torch.Tensor, reading: Reading) -> torch.Tensor:
    """A map (h, w), weighted, under the Gaussian, its border repeated outwards."""
    import torch
    import torch.nn.functional as F  # noqa: N812

    if reading.weight is not None:
        distances = distances * torch.from_numpy(reading.weight)
    if (kernel := reading.kernel) is None:
        return distances
    line, reach = torch.from_numpy(kernel.astype(np.float32)), len(kernel) // 2
    padded = F.pad(distances[None, None], [reach] * 4, mode="replicate")
    return F.conv2d(padded, torch.outer(line, line)[None, None])[0, 0]
