"""Thresholds that a person asks for: what they promise, by closed forms, by scipy, and by counting."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from models.errors import ConfigError, DatasetError
from models.scoring import judge
from models.threshold import Asked
from trainer.policy import asked_words, choose, defects_needed, false_rejects_at, good_needed, recall_at
from trainer.threshold import DEFECT_MARGIN, lower_bound, recall_1, upper_bound

GOOD = [float(score) for score in range(100)]  # 0 to 99
DEFECT = [float(score) for score in range(90, 190)]  # 90 to 189
SEEN = ["a" * 64, "b" * 64]


def count(scores, threshold) -> int:
    return sum(judge(score, threshold)[0] == "ng" for score in scores)


def scores_of(seed: int) -> tuple[list[float], list[float]]:
    """Good and bad ones that overlap, with ties."""
    rng = np.random.default_rng(seed)
    good, defect = rng.normal(0, 1, rng.integers(1, 150)), rng.normal(rng.uniform(0, 4), 1, rng.integers(1, 150))
    return good.round(1).tolist(), defect.round(1).tolist()


# What a number of images proves.


def test_five_of_five_prove_055_and_a_recall_that_more_would_prove_is_refused_with_how_many():
    assert recall_at([3.0, 1.0, 2.0, 5.0, 4.0], 0.549) == 1.0
    with pytest.raises(DatasetError, match=r"5 defects, all caught, prove a recall of 0\.549 with 95 % confidence"):
        recall_at([1.0] * 5, 0.55)


@pytest.mark.parametrize(
    ("recall", "confidence", "n"),
    [
        (0.95, 0.95, 59),
        (0.9, 0.95, 29),
        (0.99, 0.95, 299),
        (0.9, 0.9, 22),
        (0.5, 0.75, 2),
        (0.1, 0.9, 1),
        (0.5, 0.5, 1),
    ],
)
def test_so_many_defects_are_needed_and_one_less_is_too_few(recall, confidence, n):
    """The first three are in every textbook on acceptance sampling; the last three lie on the bound exactly."""
    assert defects_needed(recall, confidence) == n
    assert good_needed(1 - recall, confidence) == n
    assert recall_at([1.0] * n, recall, confidence) == 1.0
    assert false_rejects_at([1.0] * n, 1 - recall, confidence) == math.nextafter(1.0, 2)
    if n > 1:
        with pytest.raises(DatasetError, match=rf"; {n} defects, all caught, would prove it: add images of defects"):
            recall_at([1.0] * (n - 1), recall, confidence)
        with pytest.raises(DatasetError, match=rf"; {n} good images, none rejected, would prove it: add good images"):
            false_rejects_at([1.0] * (n - 1), 1 - recall, confidence)


def test_a_refusal_says_what_there_is_and_what_was_wanted():
    with pytest.raises(
        DatasetError, match=r"^5 defects, .* 0\.995 with 99\.9 % confidence|0\.251 with 99\.9 %"
    ) as found:
        recall_at([1.0] * 5, 0.9, 0.999)
    assert "0.9 was wanted; 66 defects, all caught, would prove it" in str(found.value)
    with pytest.raises(
        DatasetError, match=r"^20 good images, none rejected, prove a share of at most 0\.139 with 95 %"
    ):
        false_rejects_at([1.0] * 20, 0.01)


@pytest.mark.parametrize(("hits", "n"), [(0, 7), (7, 7), (3, 7), (58, 60), (1, 200)])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
def test_the_bounds_at_any_confidence_are_those_of_scipy(hits, n, confidence):
    exact = {side: binomtest(hits, n, alternative=side) for side in ("greater", "less")}
    low = exact["greater"].proportion_ci(confidence, method="exact").low
    high = exact["less"].proportion_ci(confidence, method="exact").high
    assert lower_bound(hits, n, confidence) == pytest.approx(low)
    assert upper_bound(hits, n, confidence) == pytest.approx(high)


# Where a threshold lies.


@pytest.mark.parametrize("seed", range(30))
def test_recall_catches_what_it_promises_and_no_higher_threshold_would(seed):
    rng, (_, defect) = np.random.default_rng((seed, 1)), scores_of(seed)
    recall, confidence = rng.uniform(0.05, 0.97), rng.choice([0.8, 0.95, 0.99])
    try:
        at = recall_at(defect, recall, confidence)
    except DatasetError:
        assert len(defect) < defects_needed(recall, confidence)
        return
    assert len(defect) >= defects_needed(recall, confidence)
    assert lower_bound(count(defect, at), len(defect), confidence) >= recall
    higher = count(defect, math.nextafter(at, math.inf))
    assert lower_bound(higher, len(defect), confidence) < recall


@pytest.mark.parametrize("seed", range(30))
def test_false_rejects_spares_what_it_promises_and_no_lower_threshold_would(seed):
    rng, (good, _) = np.random.default_rng((seed, 2)), scores_of(seed)
    share, confidence = rng.uniform(0.03, 0.95), rng.choice([0.8, 0.95, 0.99])
    try:
        at = false_rejects_at(good, share, confidence)
    except DatasetError:
        assert len(good) < good_needed(share, confidence)
        return
    assert len(good) >= good_needed(share, confidence)
    assert upper_bound(count(good, at), len(good), confidence) <= share
    lower = count(good, math.nextafter(at, -math.inf))
    assert upper_bound(lower, len(good), confidence) > share


def test_what_recall_and_false_rejects_promise_holds_for_parts_to_come_as_often_as_promised():
    """Wilks: also where the threshold is a score that was seen. Of scores between 0 and 1, a share t lies below t."""
    rng = np.random.default_rng(0)
    rounds = [rng.uniform(0, 1, 60).tolist() for _ in range(1000)]
    kept = np.mean([1 - recall_at(scores, 0.85, 0.9) >= 0.85 for scores in rounds])
    spared = np.mean([1 - false_rejects_at(scores, 0.15, 0.9) <= 0.15 for scores in rounds])
    assert 0.88 <= kept <= 0.99
    assert 0.88 <= spared <= 0.99


def test_more_recall_never_raises_the_threshold_and_fewer_false_rejects_never_lower_it():
    recalls = [recall_at(DEFECT, recall) for recall in (0.5, 0.7, 0.9, 0.95, 0.97)]
    assert recalls == sorted(recalls, reverse=True)
    shares = [false_rejects_at(GOOD, share) for share in (0.5, 0.2, 0.1, 0.05, 0.03)]
    assert shares == sorted(shares)


# What is kept of it.


def test_recall_is_kept_with_what_was_asked_and_what_it_costs():
    limit = choose("recall", Asked(recall=0.9), GOOD, DEFECT, SEEN)
    assert limit.ng_at_or_above == 94  # four may pass: 0.908, with five 0.894
    assert (limit.policy, limit.margin, limit.n_good, limit.n_defect) == ("recall", 0, 100, 100)
    assert limit.recall_lower_95 == pytest.approx(lower_bound(96, 100))
    assert limit.false_reject_upper_95 == pytest.approx(upper_bound(6, 100))
    assert (limit.seen, limit.review_at_or_above) == (tuple(SEEN), None)
    assert limit.asked == Asked(recall=0.9, confidence=0.95)


def test_bounds_in_the_manifest_are_those_at_95_per_cent_whatever_was_asked():
    limit = choose("false_rejects", Asked(false_rejects=0.1, confidence=0.5), GOOD, DEFECT)
    assert limit.ng_at_or_above == math.nextafter(90, 91)  # nine are rejected: 0.0966 at 50 %
    assert limit.false_reject_upper_95 == pytest.approx(upper_bound(9, 100)) == pytest.approx(0.1518, abs=1e-3)
    assert limit.recall_lower_95 == pytest.approx(lower_bound(99, 100))
    assert limit.asked == Asked(false_rejects=0.1, confidence=0.5)


@pytest.mark.parametrize("at", [-5.0, 0.0, 95.0, 1e9])
def test_a_persons_own_number_is_kept_to_the_last_bit_with_what_it_costs(at):
    limit = choose("fixed", Asked(at=at), GOOD, DEFECT)
    assert (limit.ng_at_or_above, limit.policy, limit.asked) == (at, "fixed", Asked(at=at))
    assert limit.recall_lower_95 == pytest.approx(lower_bound(count(DEFECT, at), 100))
    assert limit.false_reject_upper_95 == pytest.approx(upper_bound(count(GOOD, at), 100))


def test_recall_1_is_the_one_of_fit_unless_another_margin_is_asked():
    usual, fit = choose("recall_1", Asked(), GOOD, DEFECT, SEEN), recall_1(GOOD, DEFECT, SEEN)
    assert usual.model_copy(update={"asked": None}) == fit
    assert usual.asked == Asked(margin=DEFECT_MARGIN)
    wide = choose("recall_1", Asked(margin=0.5), GOOD, DEFECT)
    assert wide.ng_at_or_above == 90 - 0.5 * (90 - 50)
    assert (wide.margin, wide.asked) == (0.5, Asked(margin=0.5))
    assert choose("recall_1", Asked(margin=0), GOOD, DEFECT).ng_at_or_above == 90


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("margin", [0, 0.3, 1])
def test_recall_1_lets_no_defect_that_was_seen_pass_whatever_the_margin(seed, margin):
    good, defect = scores_of(seed)
    assert count(defect, choose("recall_1", Asked(margin=margin), good, defect).ng_at_or_above) == len(defect)


# Review.


def test_a_review_band_begins_where_a_person_says():
    limit = choose("fixed", Asked(at=120, review_from=80), GOOD, DEFECT)
    assert (limit.ng_at_or_above, limit.review_at_or_above) == (120, 80)
    assert limit.asked.confidence is None


def test_a_review_band_by_its_share_leaves_no_more_good_parts_to_a_person_than_that():
    asked = Asked(at=120, review_false_rejects=0.1)
    limit = choose("fixed", asked, GOOD, DEFECT)
    assert limit.review_at_or_above == false_rejects_at(GOOD, 0.1)
    not_ok = sum(judge(score, 120, limit.review_at_or_above)[0] != "ok" for score in GOOD)
    assert upper_bound(not_ok, 100) <= 0.1 < upper_bound(not_ok + 1, 100)
    assert limit.asked == asked.model_copy(update={"confidence": 0.95})


def test_recall_with_a_review_band_still_counts_only_what_is_ng_as_caught():
    limit = choose("recall", Asked(recall=0.9, review_false_rejects=0.3), GOOD, DEFECT)
    alone = choose("recall", Asked(recall=0.9), GOOD, DEFECT)
    assert limit.review_at_or_above < limit.ng_at_or_above == alone.ng_at_or_above
    assert limit.recall_lower_95 == alone.recall_lower_95


@pytest.mark.parametrize("review", [95.0, 95.1, 1e300])
def test_a_review_that_does_not_begin_below_the_threshold_is_refused(review):
    with pytest.raises(ConfigError, match=r"--review-from: .* is not below the threshold, 95; give a lower number"):
        choose("fixed", Asked(at=95, review_from=review), GOOD, DEFECT)


def test_a_review_by_share_that_would_begin_above_the_threshold_is_refused():
    with pytest.raises(ConfigError, match=r"--review-false-rejects: review would start at 9.*; allow a larger share"):
        choose("fixed", Asked(at=50, review_false_rejects=0.05), GOOD, DEFECT)
    with pytest.raises(DatasetError, match="299 good images, none rejected, would prove it"):
        choose("fixed", Asked(at=120, review_false_rejects=0.01), GOOD, DEFECT)


# What cannot be done.


@pytest.mark.parametrize(("good", "defect"), [([], [1.0]), ([1.0], []), ([], [])])
@pytest.mark.parametrize("policy", ["recall_1", "recall", "false_rejects", "fixed"])
def test_without_good_or_without_defects_nothing_is_chosen(policy, good, defect):
    asked = Asked(recall=0.5, false_rejects=0.5, at=1)
    with pytest.raises(DatasetError, match=rf"{len(good)} good images and {len(defect)} of defects; both are needed"):
        choose(policy, asked, good, defect)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("policy", ["recall_1", "recall", "false_rejects", "fixed"])
def test_no_threshold_rests_on_a_score_that_is_no_number(policy, bad):
    asked = Asked(recall=0.1, false_rejects=0.9, at=1)
    for good, defect in (([1.0, bad], [2.0]), ([1.0], [2.0, bad])):
        with pytest.raises(DatasetError, match="1 of 3 scores are not finite"):
            choose(policy, asked, good, defect)


@pytest.mark.parametrize("policy", ["recall", "false_rejects", "fixed"])
def test_a_policy_without_its_number_is_refused(policy):
    with pytest.raises(ConfigError, match=f"policy {policy}: its number is missing"):
        choose(policy, Asked(), GOOD, DEFECT)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Asked(), ""),
        (Asked(at=3, review_from=2), ""),
        (Asked(margin=0.1), "margin 0.1"),
        (Asked(recall=0.9, confidence=0.999), "recall 0.9 with 99.9 % confidence"),
        (
            Asked(false_rejects=0.01, review_false_rejects=0.05, confidence=0.95),
            "false rejects 0.01, false rejects and review 0.05 with 95 % confidence",
        ),
    ],
)
def test_what_was_asked_can_be_said(asked, words):
    assert asked_words(asked) == words
