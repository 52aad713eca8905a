"""Chooses the bank: a few thousand patch vectors that leave no good patch far from all of them.

Greedy k-center (Gonzalez 1985; Sener and Savarese, arXiv 1708.00489) over all patches: the next vector is the patch
farthest from those chosen. Step by step, each choice would read every patch. But distances only shrink, so the farthest
of all is among the few thousand that were farthest a while ago, until these have come nearer than the others were then.
So hundreds are chosen among those few, then all patches hear of them at once, in one product of matrices: the same
choice, in seconds. Distances are taken in a random projection (Johnson and Lindenstrauss), as anomalib does.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from trainer.progress import progress

F32 = NDArray[np.float32]

_PROJECTED = 64
_FEW = 4096
_BLOCK, _CENTRES = 4096, 256  # of a product that stays in the processor's cache


def choose_bank(patches: F32, size: int, seed: int) -> NDArray[np.int64]:
    """Indices into `patches` (n, d) of the `size` vectors chosen, or of all when n <= size."""
    if len(patches) <= size:
        return np.arange(len(patches))
    rng = np.random.default_rng(seed)
    points = _projected(patches, rng)
    return farthest_first(points, size, int(rng.integers(len(points))))


def _projected(patches: F32, rng: np.random.Generator) -> F32:
    width = patches.shape[1]
    if width <= _PROJECTED:
        return patches
    matrix = rng.standard_normal((width, _PROJECTED), dtype=np.float32) / np.float32(np.sqrt(_PROJECTED))
    return patches @ matrix


def farthest_first(points: F32, size: int, first: int) -> NDArray[np.int64]:
    """Indices of `size` points of (n, d), n > size: `first`, then always the one farthest from those before."""
    lifted = np.ones((len(points), points.shape[1] + 1), np.float32)
    # Squared distances from products lose digits far from the origin.
    points = np.subtract(points, points.mean(axis=0), out=lifted[:, :-1])
    norms = np.einsum("ij,ij->i", points, points)
    away, few, chosen, known = np.full(len(points), np.inf, np.float32), min(_FEW, len(points) - 1), [first], 0
    with progress(None, "choose bank", unit="vector", total=size) as bar:
        while len(chosen) < size:
            new = chosen[known:]
            _come_nearer(away, lifted, norms, np.column_stack([-2 * points[new], norms[new]]))
            away[chosen] = -np.inf
            bar.update(len(new))
            known = len(chosen)
            far = np.argpartition(away, len(away) - few)[-few:]
            chosen += far[_choose(points[far], norms[far], away[far], size - known)].tolist()
    return np.array(chosen)


def _come_nearer(away: F32, lifted: F32, norms: F32, centres: F32) -> None:
    """Lowers the squared distances (n,) to the nearest centre for new ones: |x|^2 + (x, 1) . (-2 c, |c|^2)."""

    def lower(start: int) -> None:
        block = slice(start, start + _BLOCK)
        for some in range(0, len(centres), _CENTRES):
            nearest = (centres[some : some + _CENTRES] @ lifted[block].T).min(axis=0)
            np.minimum(away[block], nearest + norms[block], out=away[block])

    # Threads within a product wait for each other: beside another busy process that takes ten times as long.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lower, range(0, len(lifted), _BLOCK)))


def _choose(points: F32, norms: F32, away: F32, most: int) -> list[int]:
    """Greedy among these few, until the farthest of them is nearer than all of them were: then another may be."""
    floor, chosen = away.min(), list[int]()
    while len(chosen) < most and away[last := int(away.argmax())] >= floor:
        chosen.append(last)
        np.minimum(away, norms + (norms[last] - 2 * (points @ points[last])), out=away)
        away[last] = -np.inf
    return chosen
