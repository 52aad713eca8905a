import math

import numpy as np
import pytest

from models.scoring import judge


def test_below_the_threshold_is_ok():
    assert judge(0.4999, 0.5) == ("ok", None)


def test_above_the_threshold_is_ng():
    assert judge(0.5001, 0.5) == ("ng", "defect")


@pytest.mark.parametrize("threshold", [0.5, 0.1 + 0.2, 0.0, -1.0, 1e-300, 1e300])
def test_equal_to_the_threshold_is_ng_and_one_step_below_it_is_ok(threshold):
    assert judge(threshold, threshold) == ("ng", "defect")
    assert judge(math.nextafter(threshold, -math.inf), threshold) == ("ok", None)


@pytest.mark.parametrize("score", [math.nan, -math.nan, math.inf, -math.inf, np.float32("nan"), np.float64("-inf")])
@pytest.mark.parametrize("threshold", [0.5, -1.0, 0.0])
def test_a_score_that_is_no_number_is_unknown_and_never_ok(score, threshold):
    assert judge(score, threshold) == ("unknown", "not_finite")


@pytest.mark.parametrize("score", [-1e300, -0.0, 0.0, 0.5, 1e300])
def test_without_a_threshold_nothing_is_ok(score):
    """The manifest refuses a NaN threshold; this is what stands behind it."""
    assert judge(score, math.nan)[0] != "ok"


@pytest.mark.parametrize(("threshold", "review"), [(0.5, 0.4), (0.0, -1.0), (-1.0, -2.0), (1e300, 1e-300)])
def test_from_review_up_to_the_threshold_a_person_looks(threshold, review):
    assert judge(review, threshold, review) == ("unknown", "review")
    assert judge(math.nextafter(threshold, -math.inf), threshold, review) == ("unknown", "review")
    assert judge(threshold, threshold, review) == ("ng", "defect")
    assert judge(math.nextafter(review, -math.inf), threshold, review) == ("ok", None)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("review", [0.4, -1e300])
def test_a_score_that_is_no_number_is_not_left_to_review(score, review):
    assert judge(score, 0.5, review) == ("unknown", "not_finite")


def test_a_review_band_only_ever_turns_ok_into_review():
    rng = np.random.default_rng(0)
    for score, threshold, down in zip(rng.normal(0, 1, 500), rng.normal(0, 1, 500), rng.gamma(1, 1, 500), strict=True):
        without, banded = judge(score, threshold), judge(score, threshold, threshold - down)
        assert banded == without or (without[0] == "ok" and banded == ("unknown", "review"))
        assert (banded[0] == "ok") == (score < threshold - down)


@pytest.mark.parametrize("score", [-1e300, 0.0, 0.4, 1e300])
@pytest.mark.parametrize(("threshold", "review"), [(0.5, math.nan), (math.nan, 0.4), (math.nan, math.nan)])
def test_where_one_of_the_two_is_no_number_nothing_is_ok(score, threshold, review):
    assert judge(score, threshold, review)[0] != "ok"


def test_a_review_above_the_threshold_takes_nothing_from_ng():
    """The manifest refuses it; this is what stands behind it."""
    assert judge(0.55, 0.5, 0.6) == ("ng", "defect")
