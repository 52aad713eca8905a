"""What every family proves before a bundle is written: where the threshold lies, and what a picture must look like."""

from __future__ import annotations

from collections.abc import Sequence

from models.errors import DatasetError
from models.golden import MAX_RELATIVE
from models.health import MIN_IMAGES, HealthLimits
from models.manifest import Golden, Sha256, Threshold
from models.scoring import judge
from trainer import threshold as thresholds
from trainer.evaluate import Scored, found_in
from trainer.policy import asked_words


def put_threshold(
    policy: str, held_out: Sequence[float], scored: Sequence[Scored], aside: Sequence[Sha256] = ()
) -> Threshold:
    """By `policy`; "auto" is recall_1 where defects are given and normal_quantile where none are.

    `aside` are the images of `held_out` that were not learned from: what they show later flatters. Images in which no
    part was found say nothing. Raises DatasetError for recall_1 without defects, and where there is no good score.
    """
    found = found_in(scored)
    good = [*held_out, *(item.score for item in found if item.label == "good")]
    bad = [item.score for item in found if item.label != "good"]
    if not good:
        raise DatasetError("in no good image that was not learned from a part was found: add some, or --upright off")
    if policy == "normal_quantile" or (policy == "auto" and not bad):
        return thresholds.normal_quantile(good, [*aside, *(item.sha256 for item in found if item.label == "good")])
    if not bad:
        lost = " in which a part is found" if len(found) < len(scored) else ""
        raise DatasetError(
            f"--policy recall_1 needs images of defects{lost}: add a folder of them, or use normal_quantile"
        )
    return thresholds.recall_1(good, bad, [*aside, *(item.sha256 for item in found)])


def odd_words(names: Sequence[str], held_out: Sequence[float]) -> list[str]:
    """For a person: which good images look like none of the others, though they were given as good."""
    odd = thresholds.standing_out(held_out)
    highest = max((score for index, score in enumerate(held_out) if index not in odd), default=0.0)
    return [
        f"WARNING: {names[index]} (score {held_out[index]:.4g}) stands out from the other good images (up to "
        f"{highest:.4g}): look at it, and take it away if the part is not good"
        for index in odd
    ]


def threshold_words(limit: Threshold) -> str:
    """For a person: where it lies, by which policy, and how sure that is."""
    asked = f" ({words})" if limit.asked is not None and (words := asked_words(limit.asked)) else ""
    text = f"threshold: {limit.ng_at_or_above:.4g} by {limit.policy}{asked}, "
    text += f"from {limit.n_good} good and {limit.n_defect} "
    text += f"defects; with 95 % confidence each: false rejects below {limit.false_reject_upper_95:.1%}, "
    if limit.recall_lower_95 is None:
        return text + "recall unknown, as no defects were given"
    return text + f"recall above {limit.recall_lower_95:.1%}"


def golden_words(golden: Sequence[Golden], limit: Threshold) -> list[str]:
    """For a person: where a new threshold leaves golden images that prove less, or that another device may fail."""
    words = []
    if not any(judge(one.score, limit.ng_at_or_above)[0] == "ng" for one in golden):
        words.append(
            "WARNING: no golden image is ng at this threshold: they no longer show that the model finds anything"
        )
    for at in (limit.ng_at_or_above, limit.review_at_or_above):
        if near := [one.file for one in golden if at is not None and abs(one.score - at) <= MAX_RELATIVE * abs(at)]:
            words.append(
                f"WARNING: {near[0]} lies within a thousandth of {at:.4g}: a device that computes a little differently "
                "may refuse this bundle; move that number"
            )
    return words


def health_words(limits: HealthLimits | None) -> str:
    """For a person: what a picture must look like to be judged."""
    if limits is None:
        return f"health: not checked on the line; {MIN_IMAGES} good images or more show how light, focus and place vary"
    light, x, y = limits.brightness, limits.centre_x, limits.centre_y
    return (
        f"health: a picture will be unknown unless its brightness is {light.low:.0f} to {light.high:.0f}, its "
        f"sharpness {limits.sharpness_x_low:.2f} across and {limits.sharpness_y_low:.2f} down or more, and the part "
        f"lies at {x.low:.0%} to {x.high:.0%} of the width and {y.low:.0%} to {y.high:.0%} of the height"
    )
