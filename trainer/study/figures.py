"""What scores are worth, each figure with how sure it is; and the same over all splits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from models.threshold import Threshold
from trainer.evaluate import figures as figures_at
from trainer.study.types import Cell, Figures, Interval, Summary
from trainer.threshold import CONFIDENCE, lower_bound, upper_bound

_Z = 1.959963984540054  # 97.5 % quantile of the standard normal
_NEXT = 1e-12
_ONE_SIDED = 1 - (1 - CONFIDENCE) / 2  # of a two-sided interval


def figures_of(good: Sequence[float], defect: Sequence[float], limit: Threshold, aupro: float | None) -> Figures:
    """All figures of two lists of scores, neither of them empty, at the threshold of the bundle."""
    from sklearn.metrics import average_precision_score

    found = figures_at(good, defect, limit.ng_at_or_above)
    return Figures(
        n_good=len(good),
        n_defect=len(defect),
        roc_auc=auc_interval(found["roc_auc"], len(defect), len(good)),
        average_precision=float(average_precision_score([0] * len(good) + [1] * len(defect), [*good, *defect])),
        precision_at_recall_1=precision_interval(good, defect),
        threshold_at_recall_1=found["threshold_at_recall_1"],
        f1=found["f1"],
        recall=found["recall"],
        recall_lower_95=found["recall_lower_95"],
        false_rejects=found["false_rejects"],
        false_reject_upper_95=found["false_reject_upper_95"],
        aupro=aupro,
    )


def auc_interval(auc: float, n_defect: int, n_good: int) -> Interval:
    """Two-sided 95 % interval of an area under the ROC curve that is honest also at 0 and 1.

    R. G. Newcombe, Statistics in Medicine 25 (2006) 559, method 5: the areas A that solve (auc - A)^2 = z^2 V(A), with
    the variance of Hanley and McNeil (Radiology 143, 1982) for exponential scores, N = (m + n) / 2 in place of both
    sizes: V(A) = A (1 - A) [1 + (N - 1) ((1 - A) / (2 - A) + A / (1 + A))] / (m n).
    """
    from scipy.optimize import brentq

    half = (n_defect + n_good) / 2 - 1

    def reach(area: float) -> float:
        spread = 1 + half * ((1 - area) / (2 - area) + area / (1 + area))
        return _Z * math.sqrt(area * (1 - area) * spread / (n_defect * n_good))

    # At 0 and 1 themselves the variance is none, which solves the equation too and means nothing.
    low = 0.0 if auc <= 0 else brentq(lambda area: auc - area - reach(area), 0.0, min(auc, 1 - _NEXT))
    high = 1.0 if auc >= 1 else brentq(lambda area: area - auc - reach(area), max(auc, _NEXT), 1.0)
    return Interval(value=auc, low=float(low), high=float(high))


def share_interval(hits: int, n: int) -> Interval:
    """A share with its two-sided 95 % Clopper-Pearson interval (Biometrika 26, 1934)."""
    return Interval(value=hits / n, low=lower_bound(hits, n, _ONE_SIDED), high=upper_bound(hits, n, _ONE_SIDED))


def precision_interval(good: Sequence[float], defect: Sequence[float]) -> Interval:
    """Precision where every defect given is caught, among as many good parts and defects as were given.

    It falls with the share of good parts that score as high as the lowest defect, and so its interval is that share's,
    two-sided Clopper-Pearson, for this lowest defect: that a lower one may come is what recall's bound speaks of.
    """
    lowest = min(defect)
    share = share_interval(sum(score >= lowest for score in good), len(good))
    value, low, high = (len(defect) / (len(defect) + len(good) * part) for part in (share.value, share.high, share.low))
    return Interval(value=value, low=low, high=high)


def summaries_of(cells: Sequence[Cell]) -> tuple[Summary, ...]:
    """One for each candidate, protocol and condition, in the order of the cells."""
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.candidate, cell.protocol, cell.condition), []).append(cell)
    return tuple(_summary(group) for group in groups.values())


def _summary(cells: Sequence[Cell]) -> Summary:
    def over(take: Callable[[Figures], Interval]) -> Interval:
        found = [take(cell.figures) for cell in cells]
        mean = math.fsum(one.value for one in found) / len(found)
        return Interval(value=mean, low=min(one.low for one in found), high=max(one.high for one in found))

    first = cells[0]
    return Summary(
        candidate=first.candidate,
        protocol=first.protocol,
        condition=first.condition,
        n_splits=len(cells),
        roc_auc=over(lambda f: f.roc_auc),
        average_precision=over(lambda f: _alone(f.average_precision)),
        precision_at_recall_1=over(lambda f: f.precision_at_recall_1),
        f1=over(lambda f: _alone(f.f1)),
        recall=over(lambda f: share_interval(round(f.recall * f.n_defect), f.n_defect)),
        false_reject_rate=over(lambda f: share_interval(f.false_rejects, f.n_good)),
    )


def _alone(value: float) -> Interval:
    """Of what has no interval in one split: the splits' own spread is left."""
    return Interval(value=value, low=value, high=value)
