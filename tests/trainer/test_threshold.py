import math

import numpy as np
import pytest

from models.errors import DatasetError
from trainer.threshold import DEFECT_MARGIN, lower_bound, normal_quantile, recall_1, standing_out, upper_bound

GOOD = [1.0, 1.2, 1.4, 1.6, 2.0]


def test_five_of_five_supports_only_a_recall_of_055():
    assert lower_bound(5, 5) == pytest.approx(0.05 ** (1 / 5)) == pytest.approx(0.549, abs=5e-4)


@pytest.mark.parametrize(
    ("hits", "n", "lower", "upper"),
    [(0, 5, 0, 0.4507), (5, 5, 0.5493, 1), (4, 5, 0.3426, 0.9898), (9, 10, 0.6058, 0.9949), (25, 25, 0.8871, 1)],
)
def test_bounds_are_those_of_clopper_and_pearson(hits, n, lower, upper):
    assert lower_bound(hits, n) == pytest.approx(lower, abs=1e-4)
    assert upper_bound(hits, n) == pytest.approx(upper, abs=1e-4)


@pytest.mark.parametrize(("hits", "n"), [(1, 3), (4, 5), (17, 40)])
def test_at_a_bound_what_was_seen_or_more_has_a_chance_of_one_in_twenty(hits, n):
    def chance(p, counts):
        return sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in counts)

    assert chance(lower_bound(hits, n), range(hits, n + 1)) == pytest.approx(0.05)
    assert chance(upper_bound(hits, n), range(hits + 1)) == pytest.approx(0.05)


def test_nothing_seen_proves_nothing():
    assert (lower_bound(0, 0), upper_bound(0, 0)) == (0, 1)


def test_where_scores_are_apart_recall_1_lies_halfway_between():
    limit = recall_1(GOOD, [4.0, 5.0, 9.0])
    assert limit.ng_at_or_above == pytest.approx(3.0)
    assert limit.margin == pytest.approx(1 / (4.0 - 1.4))
    assert (limit.policy, limit.n_good, limit.n_defect) == ("recall_1", 5, 3)
    assert limit.recall_lower_95 == pytest.approx(0.05 ** (1 / 3))
    assert limit.false_reject_upper_95 == pytest.approx(1 - 0.05 ** (1 / 5))


def test_where_scores_overlap_recall_1_still_rejects_every_defect_seen_at_the_price_of_good_parts():
    limit = recall_1(GOOD, [1.9, 5.0])
    assert limit.ng_at_or_above == pytest.approx(1.9 - DEFECT_MARGIN * (1.9 - 1.4))
    assert limit.false_reject_upper_95 == pytest.approx(upper_bound(1, 5))


def test_where_scores_nearly_touch_the_margin_below_the_lowest_defect_is_kept():
    limit = recall_1(GOOD, [2.01])
    assert limit.ng_at_or_above == pytest.approx(2.01 - DEFECT_MARGIN * (2.01 - 1.4))
    assert limit.false_reject_upper_95 == pytest.approx(upper_bound(1, 5))


@pytest.mark.parametrize("seed", range(20))
def test_recall_1_is_always_below_the_lowest_defect_and_margin_says_by_how_much(seed):
    rng = np.random.default_rng(seed)
    good = rng.gamma(9, 1, rng.integers(1, 30)).tolist()
    defect = rng.gamma(9, rng.uniform(0.5, 3), rng.integers(1, 30)).tolist()
    limit = recall_1(good, defect)
    assert limit.ng_at_or_above < min(defect)
    assert limit.margin >= DEFECT_MARGIN
    middle = sorted(good)[len(good) // 2]
    assert min(defect) - limit.ng_at_or_above == pytest.approx(limit.margin * abs(min(defect) - middle))


@pytest.mark.parametrize("score", [0.0, 1e-9, 5.0, 1e6])
def test_equal_scores_put_the_threshold_strictly_on_the_safe_side(score):
    assert recall_1([score] * 3, [score]).ng_at_or_above < score
    assert normal_quantile([score] * 3).ng_at_or_above > score


@pytest.mark.parametrize(("n", "factor"), [(5, 5.741), (20, 3.295)])  # tables of ISO 16269-6, 95 % and 99 %
def test_normal_quantile_is_the_tolerance_limit_of_the_tables(n, factor):
    good = np.random.default_rng(n).normal(10, 1, n).tolist()
    limit = normal_quantile(good, ["0" * 64])
    assert limit.ng_at_or_above == pytest.approx(np.mean(good) + factor * np.std(good, ddof=1), abs=2e-3)
    assert (limit.policy, limit.n_good, limit.n_defect, limit.seen) == ("normal_quantile", n, 0, ("0" * 64,))
    assert limit.recall_lower_95 is None
    assert limit.false_reject_upper_95 == pytest.approx(1 - 0.05 ** (1 / n))


def test_normal_quantile_is_never_below_a_good_score_that_was_seen():
    one_far_out = [1.0] * 8 + [9.0]  # too few to say who is odd
    assert normal_quantile(one_far_out).ng_at_or_above > 9.0
    skewed = np.random.default_rng(0).exponential(1, 200).tolist()
    rest = [score for index, score in enumerate(skewed) if index not in standing_out(skewed)]
    assert normal_quantile(skewed).ng_at_or_above > max(rest)


def test_a_good_image_unlike_all_others_does_not_lift_the_threshold_above_the_defects():
    good = np.random.default_rng(3).normal(2.5, 0.2, 19).tolist()
    limit = normal_quantile([*good[:7], 4.16, *good[7:]])
    assert limit.ng_at_or_above == normal_quantile(good).ng_at_or_above < 4.16
    assert limit.n_good == 20
    assert limit.false_reject_upper_95 == pytest.approx(upper_bound(1, 20))  # it was given as good, and is rejected


def test_of_twenty_good_images_no_more_than_one_is_rejected_however_odd():
    good = np.random.default_rng(3).normal(2.5, 0.2, 18).tolist()
    assert len(standing_out([*good, 4.2, 5.0])) == 2
    assert 4.2 < normal_quantile([*good, 4.2, 5.0]).ng_at_or_above < 4.3
    assert normal_quantile([1.0, 1.1] * 5 + [9.0]).ng_at_or_above > 9.0  # of eleven none


def test_it_is_named_and_so_are_two_but_no_more_than_one_of_ten():
    good = np.random.default_rng(3).normal(2.5, 0.2, 18).tolist()
    assert standing_out([*good, 4.2, 5.0]) == [19, 18]
    assert standing_out([*good, 4.2, 5.0, 4.9, 5.1]) in ([], [21, 19])
    assert standing_out([1.0] * 9 + [9.0]) == [9]
    assert standing_out([1.0] * 8 + [9.0]) == []


def test_normal_scores_seldom_stand_out():
    rng = np.random.default_rng(1)
    odd = sum(bool(standing_out(rng.normal(0, 1, 20).tolist())) for _ in range(500))
    assert odd <= 15  # 1 % each: 5 are expected


def test_normal_quantile_keeps_the_share_of_false_rejects_that_it_promises():
    rng = np.random.default_rng(0)
    limits = [normal_quantile(rng.normal(0, 1, 20).tolist()).ng_at_or_above for _ in range(400)]
    kept = np.mean([limit >= 2.326 for limit in limits])  # the normal 99 % quantile
    assert 0.92 <= kept <= 0.99


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_that_are_no_numbers_are_refused_and_counted(bad):
    with pytest.raises(DatasetError, match="1 of 3 scores are not finite"):
        normal_quantile([1.0, bad, 2.0])
    for good, defect in (([1.0, bad], [2.0]), ([1.0, 2.0], [bad])):
        with pytest.raises(DatasetError, match="1 of 3 scores are not finite"):
            recall_1(good, defect)
