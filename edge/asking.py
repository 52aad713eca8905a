"""Which parts a person is asked about. On the `publish` thread."""

import random

from edge.config import ReviewConfig
from models.review import AskedFor
from models.verdict import Verdict


class Asking:
    """Decides for one part after the other."""

    def __init__(self, config: ReviewConfig, seed: int = 0) -> None:
        self._config = config
        self._random = random.Random(seed)  # noqa: S311 - chooses a sample, guards nothing

    def why(self, verdict: Verdict) -> AskedFor | None:
        """Why a person should look at this part; None where nobody need.

        Chance comes last and is drawn for every part, so that its share is one of all parts.
        """
        drawn = self._random.random() < self._config.share
        if verdict.reason == "review":
            return "review"
        if self._is_in_band(verdict.score, verdict.threshold):
            return "band"
        return "chance" if drawn else None

    def _is_in_band(self, score: float | None, threshold: float | None) -> bool:
        if score is None or threshold is None:
            return False
        low, high = (threshold + abs(threshold) * (edge - 1) for edge in self._config.band)
        return low <= score < high
