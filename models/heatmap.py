"""Reads a heatmap, whatever made it: the higher a cell, the surer the model is of a defect there."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError
from models.manifest import HeatmapDecoder

OUTPUT: Final = "heatmap"  # the name of the graph's output, float32 (1, 1, h, w)


def heatmap_of(output: NDArray[np.float32]) -> NDArray[np.float32]:
    """The map (h, w), a view of `output`. Raises ModelError for another shape than (1, 1, h, w)."""
    if output.ndim != 4 or output.shape[:2] != (1, 1) or not output.size:
        raise ModelError(f"heatmap: {output.shape}, wanted (1, 1, h, w); make the bundle again")
    heat: NDArray[np.float32] = output[0, 0]
    return heat


def score_of(heat: NDArray[np.float32], decoder: HeatmapDecoder) -> float:
    """Mean of the `top_cells` highest cells of a heatmap (h, w). NaN or infinity anywhere gives NaN."""
    return mean_of_highest(heat, decoder.top_cells)


def mean_of_highest(heat: NDArray[np.float32], count: int) -> float:
    """Mean of the `count` highest cells, of all of them where there are fewer. NaN or infinity anywhere gives NaN.

    One cell is the maximum; more trade sensitivity to the smallest defects for calm against single
    noisy cells.
    """
    flat = heat.ravel()
    if not np.isfinite(flat).all():
        return float("nan")
    k = min(count, flat.size)
    return float(np.partition(flat, flat.size - k)[flat.size - k :].mean(dtype=np.float64))
