"""From a score to an outcome. The only place where a score meets a threshold."""

import math

from models.verdict import Outcome, Reason


def judge(score: float, ng_at_or_above: float) -> tuple[Outcome, Reason | None]:
    """`ng` at or above the threshold, `ok` below it, `unknown` where the score is no number."""
    if not math.isfinite(score):
        return "unknown", "not_finite"  # NaN >= x is False: it would pass as "ok"
    return ("ok", None) if score < ng_at_or_above else ("ng", "defect")  # in this order a NaN threshold passes nothing
