"""Reads a detector's boxes, as mmdeploy's end-to-end graphs give them: left, top, right, bottom, score."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError
from models.manifest import BoxesDecoder
from models.prediction import Boxes

OUTPUTS: Final = ("dets", "labels")  # the names of the graph's outputs, float32 (1, n, 5) and integer (1, n)
_FIX: Final = "make the bundle again"


def boxes_of(
    dets: NDArray[np.float32], labels: NDArray[np.integer], decoder: BoxesDecoder, height_px: int, width_px: int
) -> Boxes:
    """Those of `dets` (1, n, 5) in frame pixels that are boxes, clipped to the frame, best first.

    What is empty, what scores at or under the floor, and the network's padding (a negative label) is
    dropped, and so is a row that holds NaN or infinity: `score_of` tells of it. Raises ModelError for
    other shapes, and for a label that the decoder does not name.
    """
    _refuse_odd(dets, labels, decoder)
    rows, named = dets[0], labels[0]
    edges = np.clip(rows[:, :4], 0, np.array([width_px, height_px, width_px, height_px], np.float32))
    kept = np.isfinite(rows).all(axis=1) & (named >= 0) & (edges[:, 2] > edges[:, 0]) & (edges[:, 3] > edges[:, 1])
    kept &= rows[:, 4].astype(np.float64) > decoder.score_floor
    order = np.flatnonzero(kept)
    order = order[np.argsort(-rows[order, 4], kind="stable")]
    return Boxes(edges[order], rows[order, 4], tuple(decoder.labels[i] for i in named[order]))


def score_of(dets: NDArray[np.float32], boxes: Boxes) -> float:
    """The score of the best box, 0 without boxes. NaN or infinity anywhere in `dets` (1, n, 5) gives NaN."""
    if not np.isfinite(dets).all():
        return float("nan")
    return float(boxes.scores[0]) if boxes.scores.size else 0.0


def _refuse_odd(dets: NDArray[np.float32], labels: NDArray[np.integer], decoder: BoxesDecoder) -> None:
    if dets.ndim != 3 or labels.shape != dets.shape[:2] or dets.shape[0] != 1 or dets.shape[2] != 5:
        raise ModelError(f"boxes: dets {dets.shape}, labels {labels.shape}, wanted (1, n, 5) and (1, n); {_FIX}")
    highest = int(labels.max()) if labels.size else -1
    if highest >= len(decoder.labels):
        raise ModelError(f"boxes: label {highest}, the manifest names 0 to {len(decoder.labels) - 1}; {_FIX}")
