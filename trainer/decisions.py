"""How well a graph tells good from bad, and whether another one of the same fit does it as well.

Both are asked of the same pictures, so what they are apart is known better than how good either is. A few dozen
pictures still leave it uncertain, and two of them that change sides by chance must not decide: a graph is held to what
it loses beyond what may be lost and one standard error of the loss. Of very few pictures that error is as large as one
picture counts, and a defect that is no longer caught would pass for chance: so it excuses a little only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.manifest import Decision
from models.scoring import judge
from trainer.threshold import normal_quantile

MOST_AUC, MOST_RECALL = 0.005, 0.02  # that may be lost
_EXCUSED = 2.0  # times as much more, at most, where chance may have said it


@dataclass(frozen=True, slots=True)
class Told:
    """What a graph says of the good and the bad pictures of the calibration split, always in the same order."""

    good: Sequence[float]
    bad: Sequence[float]

    @property
    def decision(self) -> Decision:
        """AUC, and recall at the threshold that the good scores give; None without good or bad pictures."""
        if not self.good or not self.bad:
            return Decision(auc=None, recall=None)
        return Decision(auc=float(self.above().mean()), recall=float(self.caught().mean()))

    def above(self) -> NDArray[np.float64]:
        """(good, bad): whether a bad picture has more than a good one; half where both have the same."""
        good, bad = np.array(self.good)[:, None], np.array(self.bad)[None]
        return np.asarray((bad > good) + 0.5 * (bad == good), np.float64)

    def caught(self) -> NDArray[np.bool_]:
        """Of each bad picture."""
        limit = normal_quantile(self.good).ng_at_or_above
        return np.array([judge(score, limit)[0] == "ng" for score in self.bad])


def holds(before: Told, after: Told) -> bool:
    """Whether as much is told apart as before, within what may be lost."""
    if not before.good or not before.bad or not after.good or not after.bad:
        return before.decision == after.decision
    lost = before.above() - after.above()
    missed = before.caught().astype(np.float64) - after.caught()
    is_told = _is_within(float(lost.mean()), MOST_AUC, _error(lost.mean(axis=0), lost.mean(axis=1)))
    return is_told and _is_within(float(missed.mean()), MOST_RECALL, _error(missed))


def _is_within(lost: float, most: float, error: float) -> bool:
    return lost <= most + min(error, _EXCUSED * most)


def _error(*parts: NDArray[np.float64]) -> float:
    """Of a mean over pictures: for a difference of two AUCs over the bad and the good ones.

    (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988, equation 5.)
    """
    return float(np.sqrt(sum(part.var(ddof=1) / len(part) for part in parts if len(part) > 1)))
