"""Reads a classifier's probabilities: how surely a part is not good, and what is most likely wrong with it."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError
from models.manifest import LabelDecoder

OUTPUT: Final = "probabilities"  # the name of the graph's output, float32 (1, n) of a softmax
_MAX_OFF = 0.02  # from a sum of 1: more than the rounding of a bf16 device


def score_of(probabilities: NDArray[np.float32], decoder: LabelDecoder) -> float:
    """1 - p(good) of `probabilities` (1, n), as the sum of the others: 1 - p loses what p rounded away.

    NaN where one is NaN or infinite, or where they do not add up to 1: a softmax that overflowed to zeros would be
    the score of a perfect part. Raises ModelError where there are not as many as labels.
    """
    if probabilities.shape != (1, len(decoder.labels)):
        raise ModelError(
            f"label: probabilities {probabilities.shape}, the manifest names {len(decoder.labels)}; "
            "make the bundle again"
        )
    each = probabilities[0].astype(np.float64)
    if not np.isfinite(each).all() or abs(float(each.sum()) - 1) > _MAX_OFF:
        return float("nan")
    return float(each[1:].sum())


def label_of(probabilities: NDArray[np.float32], decoder: LabelDecoder) -> str | None:
    """The most probable kind of defect, also of a part that is good; None where the score is NaN."""
    if not np.isfinite(score_of(probabilities, decoder)):
        return None
    return decoder.labels[1 + int(probabilities[0, 1:].argmax())]
