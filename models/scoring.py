"""From a score to an outcome. The only place where a score meets a threshold."""

import math

from models.verdict import Outcome, Reason


def judge(
    score: float, ng_at_or_above: float, review_at_or_above: float | None = None
) -> tuple[Outcome, Reason | None]:
    """`ng` at or above the threshold, `ok` below it, `unknown` where the score is no number.

    From `review_at_or_above` up to the threshold it is `unknown` too: a person looks. Whoever judges with a
    bundle hands over both numbers of its threshold.
    """
    if not math.isfinite(score):
        return "unknown", "not_finite"  # NaN >= x is False: it would pass as "ok"
    if not score < ng_at_or_above:  # in this order a NaN threshold passes nothing
        return "ng", "defect"
    if review_at_or_above is None or score < review_at_or_above:
        return "ok", None
    return "unknown", "review"
