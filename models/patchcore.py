"""Reads PatchCore's output. Roth et al., Towards Total Recall in Industrial Anomaly Detection,
CVPR 2022 (arXiv 2106.08265): the distance of each patch to the nearest vector of the bank."""

import numpy as np
from numpy.typing import NDArray

from models.heatmap import mean_of_highest
from models.manifest import PatchcoreDecoder

OUTPUT = "distances"  # the name of the graph's output, float32 (1, 1, h, w)


def score_of(distances: NDArray[np.float32], decoder: PatchcoreDecoder) -> float:
    """Mean of the `top_patches` largest patch distances of a heatmap (h, w).

    With one patch this is the paper's s* (equation 6) without its re-weighting; more patches trade
    sensitivity to the smallest defects for calm against single noisy patches (AnomalyDINO, Damm et
    al., arXiv 2405.14529, section 3.2, takes the highest 1 %). NaN anywhere gives NaN.
    """
    return mean_of_highest(distances, decoder.top_patches)
