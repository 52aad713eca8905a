"""Reads a heatmap that a graph gives as it is: one number for each cell, higher is worse."""

import numpy as np
from numpy.typing import NDArray

from models.manifest import HeatmapDecoder

OUTPUT = "heatmap"  # the name of the graph's output, float32 (1, 1, h, w)


def score_of(heatmap: NDArray[np.float32], decoder: HeatmapDecoder) -> float:
    """Mean of the `top_cells` highest cells of a heatmap (h, w). NaN or infinity anywhere gives NaN."""
    return mean_of_highest(heatmap, decoder.top_cells)


def mean_of_highest(cells: NDArray[np.float32], count: int) -> float:
    """Mean of the `count` highest cells, of all where there are fewer. NaN or infinity anywhere gives NaN.

    One cell is the maximum; more trade sensitivity to the smallest defects for calm against single
    noisy cells.
    """
    flat = cells.ravel()
    if not np.isfinite(flat).all():
        return float("nan")
    k = min(count, flat.size)
    return float(np.partition(flat, flat.size - k)[flat.size - k :].mean(dtype=np.float64))
