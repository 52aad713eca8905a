"""Thresholds that a person asks for, with the evidence that the images at hand give for them.

A share is proven by a one-sided Clopper-Pearson bound. That holds also for a threshold which is itself one of
the scores, as they are here: the bound is then the distribution-free tolerance limit of S. S. Wilks (Annals of
Mathematical Statistics 12, 1941), since which score it is depends on how many there are and on nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, assert_never

from models.drift import usual_of
from models.errors import ConfigError, DatasetError
from models.scoring import judge
from models.threshold import Asked, Threshold, ThresholdPolicy
from trainer.threshold import CONFIDENCE, DEFECT_MARGIN, lower_bound, recall_1, refuse_not_finite, upper_bound

Policy = Literal["recall_1", "recall", "false_rejects", "fixed"]
_ROUNDING = 1e-9  # 1 - 0.9 is a little less than 0.1: what is proven exactly counts as proven


def choose(
    policy: Policy, asked: Asked, good: Sequence[float], defect: Sequence[float], seen: Sequence[str] = ()
) -> Threshold:
    """The threshold by `policy`, and the one for review below it where that is asked for.

    `good` and `defect` are the scores of the shipped IR, `seen` the sha256 of their images. Where no margin or
    confidence was asked, the threshold's `asked` holds the one that was taken. Raises DatasetError where the images
    do not prove what was asked, ConfigError where what was asked is incomplete or contradicts itself.
    """
    if not good or not defect:
        raise DatasetError(f"{len(good)} good images and {len(defect)} of defects; both are needed: add some")
    refuse_not_finite([*good, *defect])
    confidence = CONFIDENCE if asked.confidence is None else asked.confidence
    if not {asked.recall, asked.false_rejects, asked.review_false_rejects} <= {None}:
        asked = asked.model_copy(update={"confidence": confidence})
    match policy:
        case "recall_1":
            margin = DEFECT_MARGIN if asked.margin is None else asked.margin
            limit, asked = recall_1(good, defect, seen, margin), asked.model_copy(update={"margin": margin})
        case "recall":
            limit = _put(policy, recall_at(defect, _given(policy, asked.recall), confidence), good, defect, seen)
        case "false_rejects":
            share = _given(policy, asked.false_rejects)
            limit = _put(policy, false_rejects_at(good, share, confidence), good, defect, seen)
        case "fixed":
            limit = _put(policy, _given(policy, asked.at), good, defect, seen)
        case never:
            assert_never(never)
    changed = {"asked": asked, "review_at_or_above": _review_at(asked, good, confidence, limit.ng_at_or_above)}
    return Threshold.model_validate(limit.model_dump() | changed)


def recall_at(defect: Sequence[float], recall: float, confidence: float = CONFIDENCE) -> float:
    """The highest threshold at which the recall is proven to be at least `recall`: the score of a defect.

    Raises DatasetError where catching all of them does not prove it.
    """
    n = len(defect)
    missed = [m for m in range(n) if lower_bound(n - m, n, confidence) >= recall - _ROUNDING]
    if not missed:
        raise DatasetError(
            f"{n} defects, all caught, prove a recall of {lower_bound(n, n, confidence):.3g} with "
            f"{_percent(confidence)} confidence, {recall:g} was wanted; {defects_needed(recall, confidence)} defects, "
            "all caught, would prove it: add images of defects or ask for less"
        )
    return sorted(defect)[missed[-1]]


def false_rejects_at(good: Sequence[float], share: float, confidence: float = CONFIDENCE) -> float:
    """The lowest threshold at which the share of good parts at or above it is proven to be at most `share`.

    It is the next number above the score of a good part. Raises DatasetError where none rejected does not prove it.
    """
    n = len(good)
    rejected = [k for k in range(n) if upper_bound(k, n, confidence) <= share + _ROUNDING]
    if not rejected:
        raise DatasetError(
            f"{n} good images, none rejected, prove a share of at most {upper_bound(0, n, confidence):.3g} with "
            f"{_percent(confidence)} confidence, {share:g} was wanted; {good_needed(share, confidence)} good images, "
            "none rejected, would prove it: add good images or allow more"
        )
    return math.nextafter(sorted(good, reverse=True)[rejected[-1]], math.inf)


def defects_needed(recall: float, confidence: float = CONFIDENCE) -> int:
    """How many defects prove that recall when all are caught: the least n with recall^n <= 1 - confidence."""
    return math.ceil(math.log1p(-confidence) / math.log(recall) - _ROUNDING)


def good_needed(share: float, confidence: float = CONFIDENCE) -> int:
    """How many good images prove that share of false rejects when none is rejected."""
    return math.ceil(math.log1p(-confidence) / math.log1p(-share) - _ROUNDING)


def asked_words(asked: Asked) -> str:
    """For a person: what was asked of a policy; nothing where it has its own numbers."""
    asked_for = {
        "margin": asked.margin,
        "recall": asked.recall,
        "false rejects": asked.false_rejects,
        "false rejects and review": asked.review_false_rejects,
    }
    words = ", ".join(f"{name} {number:g}" for name, number in asked_for.items() if number is not None)
    return words if asked.confidence is None else f"{words} with {_percent(asked.confidence)} confidence"


def _put(
    policy: ThresholdPolicy, at: float, good: Sequence[float], defect: Sequence[float], seen: Sequence[str]
) -> Threshold:
    caught, rejected = (sum(judge(score, at)[0] == "ng" for score in scores) for scores in (defect, good))
    return Threshold(
        ng_at_or_above=at,
        policy=policy,
        margin=0,
        n_good=len(good),
        n_defect=len(defect),
        recall_lower_95=lower_bound(caught, len(defect)),
        false_reject_upper_95=upper_bound(rejected, len(good)),
        usual=usual_of(good),
        seen=tuple(seen),
    )


def _given(policy: Policy, value: float | None) -> float:
    if value is None:
        raise ConfigError(f"policy {policy}: its number is missing; see mekiki-train threshold --help")
    return value


def _review_at(asked: Asked, good: Sequence[float], confidence: float, ng_at_or_above: float) -> float | None:
    if asked.review_from is not None:
        at, name = asked.review_from, "--review-from"
    elif asked.review_false_rejects is not None:
        at, name = false_rejects_at(good, asked.review_false_rejects, confidence), "--review-false-rejects"
    else:
        return None
    if not at < ng_at_or_above:
        raise ConfigError(
            f"{name}: review would start at {at:.6g}, which is not below the threshold, {ng_at_or_above:.6g}; "
            + ("give a lower number" if asked.review_from is not None else "allow a larger share, or leave it out")
        )
    return at


def _percent(share: float) -> str:
    return f"{100 * share:.10g} %"
