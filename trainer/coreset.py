"""Chooses the bank: a few thousand patch vectors that leave no good patch far from all of them.

Greedy k-center over a million patches takes hours, so it runs on candidates. These are drawn with a
chance that grows with the squared distance to what is already chosen (k-means||, Bahmani et al.,
arXiv 1203.6402): rare patches such as a thread's crest survive, the thousandth piece of backdrop
does not. Distances are taken in a random projection (Johnson and Lindenstrauss), as anomalib does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

_CANDIDATES_PER_PICK = 3
_PROJECTED = 64
_ROUNDS = 4
_ROUND_PICKS = 512
_BLOCK = 32768


def choose_bank(patches: F32, size: int, seed: int) -> NDArray[np.int64]:
    """Indices into `patches` (n, d) of the `size` vectors chosen, or of all when n <= size."""
    from trainer.progress import progress

    if len(patches) <= size:
        return np.arange(len(patches))
    rng = np.random.default_rng(seed)
    points = _project(patches, rng)
    candidates = _candidates(points, _CANDIDATES_PER_PICK * size, rng)
    size = min(size, len(candidates))  # fewer where patches repeat: an exact copy is never a candidate twice
    chosen = _greedy(points[candidates], size, progress(range(size - 1), "choose bank", unit="vector"))
    return candidates[chosen]


def _project(patches: F32, rng: np.random.Generator) -> F32:
    width = patches.shape[1]
    if width <= _PROJECTED:
        return patches
    matrix = rng.standard_normal((width, _PROJECTED), dtype=np.float32) / np.float32(np.sqrt(_PROJECTED))
    return patches @ matrix


def _candidates(points: F32, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    if len(points) <= count:
        return np.arange(len(points))
    picked = [rng.choice(len(points), min(_ROUND_PICKS, len(points)), replace=False)]
    away = np.full(len(points), np.inf, np.float32)
    for _ in range(_ROUNDS):
        np.minimum(away, _squared_distance(points, points[picked[-1]]), out=away)
        picked.append(_draw(away, _ROUND_PICKS, rng))
    # All rounds count: the rarest patches are picked first, and are then too near to be drawn again.
    return np.unique(np.concatenate([*picked, _draw(away, count, rng)]))


def _draw(weight: F32, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices drawn with replacement, by weight. Equal points have weight 0: then any will do."""
    total = np.cumsum(weight, dtype=np.float64)
    if total[-1] <= 0:
        return rng.integers(0, len(weight), count)
    drawn = np.searchsorted(total, rng.random(count) * total[-1])
    return np.asarray(np.minimum(drawn, len(weight) - 1), np.int64)


def _squared_distance(points: F32, centres: F32) -> F32:
    """To the nearest centre, block by block."""
    norms = np.einsum("ij,ij->i", centres, centres)
    nearest = np.empty(len(points), np.float32)
    for start in range(0, len(points), _BLOCK):
        block = points[start : start + _BLOCK]
        nearest[start : start + _BLOCK] = (norms - 2 * (block @ centres.T)).min(axis=1)
        nearest[start : start + _BLOCK] += np.einsum("ij,ij->i", block, block)
    return np.maximum(nearest, 0)


def _greedy(points: F32, size: int, steps: object) -> NDArray[np.int64]:
    """k-center greedy (Gonzalez 1985; Sener and Savarese, arXiv 1708.00489): the farthest next."""
    norms = np.einsum("ij,ij->i", points, points)
    away = np.full(len(points), np.inf, np.float32)
    chosen = np.zeros(size, np.int64)
    for i in steps:  # type: ignore[attr-defined]
        last = chosen[i]
        np.minimum(away, norms + norms[last] - 2 * (points @ points[last]), out=away)
        away[last] = -1
        chosen[i + 1] = int(away.argmax())
    return chosen
