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
