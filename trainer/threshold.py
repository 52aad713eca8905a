"""Puts the threshold, and says how much evidence stands behind it. What a person asks for is in trainer/policy.py."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from models.drift import usual_of
from models.errors import DatasetError
from models.manifest import Threshold

COVERAGE = 0.99
DEFECT_MARGIN = 0.1
CONFIDENCE = 0.95
_ODD, _ONE_OF, _DOUBTED_OF = 0.01, 10, 20


def recall_1(
    good: Sequence[float], defect: Sequence[float], seen: Sequence[str] = (), least_margin: float = DEFECT_MARGIN
) -> Threshold:
    """Below the lowest defect score, so that every defect seen is rejected.

    Halfway down to the highest good score where the two are apart, and always at least
    `least_margin` of the way down to the median good score, even at the price of false rejects.
    `margin` is the distance below the lowest defect, as a share of the distance from there to the
    median good score.
    """
    refuse_not_finite([*good, *defect])
    lowest, highest = min(defect), max(good)
    middle = sorted(good)[len(good) // 2]
    reach = max(abs(lowest - middle), 1e-6 * abs(lowest), 1e-12)
    margin = max(least_margin, (lowest - highest) / 2 / reach) if lowest > highest else least_margin
    threshold = lowest - margin * reach
    rejected = sum(score >= threshold for score in good)
    return Threshold(
        ng_at_or_above=threshold,
        policy="recall_1",
        margin=margin,
        n_good=len(good),
        n_defect=len(defect),
        recall_lower_95=lower_bound(len(defect), len(defect)),
        false_reject_upper_95=upper_bound(rejected, len(good)),
        usual=usual_of(good),
        seen=tuple(seen),
    )


def normal_quantile(good: Sequence[float], seen: Sequence[str] = ()) -> Threshold:
    """Above the scores of good parts that the bank had not seen, and above what such scores scatter to.

    The one-sided normal tolerance limit, mean + k s (ISO 16269-6; k from the noncentral t): if the
    scores are normal, at least `COVERAGE` of good parts lie below it with 95 % confidence. Those that
    `standing_out` names are not counted among them, and of twenty one may even lie above the limit: a
    defect among the good parts would else lift it above all others of its kind. It is never below
    any other score seen. What holds whatever the distribution is in `false_reject_upper_95`; of recall
    nothing is known without defects. `margin` is the distance above the highest other good score, as
    a share of the distance from there to the median.
    """
    refuse_not_finite(good)
    odd = standing_out(good)
    usual = [score for index, score in enumerate(good) if index not in odd]
    kept = [score for index, score in enumerate(good) if index not in odd[: len(good) // _DOUBTED_OF]]
    highest, middle = max(kept), sorted(kept)[len(kept) // 2]
    reach = max(highest - middle, 1e-3 * abs(highest), 1e-12)
    limit = max(_tolerance_limit(usual), highest + 1e-3 * reach)
    return Threshold(
        ng_at_or_above=limit,
        policy="normal_quantile",
        margin=(limit - highest) / reach,
        n_good=len(good),
        n_defect=0,
        recall_lower_95=None,
        false_reject_upper_95=upper_bound(sum(score >= limit for score in good), len(good)),
        usual=usual_of(good),
        seen=tuple(seen),
    )


def standing_out(good: Sequence[float]) -> list[int]:
    """Indices of scores too high to be of the others' kind, highest first; of ten scores at most one.

    One-sided Grubbs test (Technometrics 11, 1969), from the highest down, at 1 % each. None of fewer than ten.
    """
    from scipy.stats import t

    order = sorted(range(len(good)), key=lambda index: good[index])
    found: list[int] = []
    while len(found) < len(good) // _ONE_OF:
        rest = [good[index] for index in order]
        n, spread = len(rest), statistics.stdev(rest)
        quantile = float(t.ppf(1 - _ODD / n, n - 2)) ** 2
        critical = (n - 1) / math.sqrt(n) * math.sqrt(quantile / (n - 2 + quantile))
        if not rest[-1] - statistics.fmean(rest) > critical * spread:
            break
        found.append(order.pop())
    return found


def _tolerance_limit(good: Sequence[float]) -> float:
    from scipy.stats import nct, norm

    n = len(good)
    if n < 2:
        return good[0]
    factor = nct.ppf(CONFIDENCE, df=n - 1, nc=norm.ppf(COVERAGE) * math.sqrt(n)) / math.sqrt(n)
    return statistics.fmean(good) + float(factor) * statistics.stdev(good)


def lower_bound(hits: int, n: int, confidence: float = CONFIDENCE) -> float:
    """One-sided Clopper-Pearson lower bound of a share (Biometrika 26, 1934): 5 of 5 gives 0.55."""
    from scipy.stats import beta

    return 0.0 if hits == 0 else float(beta.ppf(1 - confidence, hits, n - hits + 1))


def upper_bound(hits: int, n: int, confidence: float = CONFIDENCE) -> float:
    """One-sided Clopper-Pearson upper bound of a share; 1 when nothing was seen."""
    from scipy.stats import beta

    return 1.0 if hits >= n else float(beta.ppf(confidence, hits + 1, n - hits))


def refuse_not_finite(scores: Sequence[float]) -> None:
    """Raises DatasetError where a score is NaN or infinite: no threshold may rest on it."""
    if bad := [score for score in scores if not math.isfinite(score)]:
        raise DatasetError(f"{len(bad)} of {len(scores)} scores are not finite; see the weights and the images")
