"""What the original experiment found on MVTec AD's screws (scratch_neck), each condition learned and tested under it.

PatchCore learned from 20 good parts, RTMDet from 20 boxed defects; both were tested on 5 good parts and 5 defects. Of
the cloud service F1 alone is known, at the threshold that it put itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from trainer.conditions import DISTURBANCES, ORIGINAL
from trainer.study.figures import auc_interval, share_interval
from trainer.study.types import Interval

Model = Literal["patchcore", "rtmdet"]
Figure = Literal["roc_auc", "precision_at_recall_1", "f1"]
N_GOOD: Final = 20  # to learn from
N_BOXED: Final = 20
N_TEST: Final = 5  # of either kind
CONDITIONS: Final = (ORIGINAL, *DISTURBANCES)

_CLOUD: Final = (0.80, 0.889, 0.818, 0.857)
_FOUND: Final[Mapping[Model, Mapping[Figure, tuple[float, ...]]]] = {
    "patchcore": {
        "roc_auc": (0.92, 0.88, 1.0, 1.0),
        "precision_at_recall_1": (0.83, 0.83, 1.0, 1.0),
        "f1": _CLOUD,
    },
    "rtmdet": {
        "roc_auc": (1.0, 1.0, 1.0, 1.0),
        "precision_at_recall_1": (1.0, 1.0, 1.0, 1.0),
        "f1": _CLOUD,
    },
}


def published(model: Model, figure: Figure, condition: str) -> Interval | None:
    """With the interval that 5 good parts and 5 defects leave; of F1 the number alone. None: it was never tried."""
    if condition not in CONDITIONS:
        return None
    value = _FOUND[model][figure][CONDITIONS.index(condition)]
    match figure:
        case "roc_auc":
            return auc_interval(value, N_TEST, N_TEST)
        case "precision_at_recall_1":
            rejected = share_interval(round(N_TEST / value) - N_TEST, N_TEST)  # good parts, to catch every defect
            return Interval(value=value, low=1 / (1 + rejected.high), high=1 / (1 + rejected.low))
        case _:
            return Interval(value=value, low=value, high=value)
