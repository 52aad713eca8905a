"""The figures of a study and how sure they are."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from models.prediction import Prediction
from tests import tiny
from trainer.evaluate import Scored
from trainer.study.aupro import aupro_of
from trainer.study.figures import auc_interval, figures_of, precision_interval, share_interval, summaries_of
from trainer.study.types import Cell, Interval


def test_an_auc_of_one_is_not_certain_and_more_parts_make_it_surer():
    few, more = auc_interval(1, 5, 5), auc_interval(1, 50, 50)
    assert few.high == more.high == 1
    assert 0.5 < few.low < 0.75
    assert 0.93 < more.low < 1


@pytest.mark.parametrize(("auc", "m", "n"), [(0.5, 25, 21), (0.9, 10, 40), (0.992, 25, 21), (0.03, 7, 7), (1, 3, 9)])
def test_the_ends_of_the_interval_solve_newcombes_equation(auc, m, n):
    found = auc_interval(auc, m, n)
    assert found.low < auc or auc == 0
    for end in {found.low, found.high} - {0.0, 1.0}:
        more = (m + n) / 2 - 1
        variance = end * (1 - end) * (1 + more * ((1 - end) / (2 - end) + end / (1 + end))) / (m * n)
        assert (auc - end) ** 2 == pytest.approx(1.959964**2 * variance, rel=1e-5)


def test_the_interval_holds_the_true_area_in_about_95_of_100_draws():
    """Normal scores, 25 defects and 21 good parts, a true area of 0.921."""
    rng, inside = np.random.default_rng(0), 0
    for _ in range(400):
        good, bad = rng.normal(0, 1, 21), rng.normal(2, 1, 25)
        area = float((bad[:, None] > good[None]).mean())
        found = auc_interval(area, 25, 21)
        inside += found.low <= 0.92135 <= found.high
    assert 0.92 <= inside / 400 <= 0.99


def test_the_interval_of_an_area_of_nothing_mirrors_that_of_one():
    none, all_ = auc_interval(0, 6, 9), auc_interval(1, 6, 9)
    assert (none.low, none.high) == (0, pytest.approx(1 - all_.low))


def test_a_share_has_the_clopper_pearson_interval_of_the_tables():
    found = share_interval(0, 10)
    assert (found.value, found.low, found.high) == (0, 0, pytest.approx(0.3085, abs=1e-4))
    found = share_interval(3, 10)
    assert (found.low, found.high) == (pytest.approx(0.0667, abs=1e-4), pytest.approx(0.6525, abs=1e-4))


def test_precision_at_recall_1_follows_the_share_of_good_parts_above_the_lowest_defect():
    found = precision_interval([1, 2, 3, 6], [5, 7, 9, 9])
    assert found.value == pytest.approx(4 / 5)
    share = share_interval(1, 4)
    assert (found.low, found.high) == (pytest.approx(4 / (4 + 4 * share.high)), pytest.approx(4 / (4 + 4 * share.low)))


@pytest.mark.parametrize("seed", range(4))
def test_areas_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    good, bad = rng.normal(0, 1, 20).round(1).tolist(), rng.normal(1, 1, 15).round(1).tolist()
    found = figures_of(good, bad, tiny.threshold_at(0.5), None)
    labels = [0] * 20 + [1] * 15
    assert found.roc_auc.value == pytest.approx(roc_auc_score(labels, good + bad))
    assert found.average_precision == pytest.approx(average_precision_score(labels, good + bad))
    assert found.false_rejects == sum(score >= 0.5 for score in good)
    assert found.recall == sum(score >= 0.5 for score in bad) / 15
    assert found.roc_auc.low < found.roc_auc.value < found.roc_auc.high


def cell(candidate="a", split=0, condition="original", good=(1, 2), bad=(3, 4)):
    limit = tiny.threshold_at(2.5)
    found = figures_of(good, bad, limit, None)
    return Cell(
        candidate=candidate,
        split=split,
        protocol="frozen",
        condition=condition,
        threshold=limit,
        figures=found,
        parts=(),
    )


def test_a_summary_is_the_mean_over_the_splits_and_the_worst_that_any_of_them_allows():
    cells = [cell(), cell(split=1, good=(1, 3.5)), cell(condition="noise"), cell("b")]
    first, *others = summaries_of(cells)
    assert [(one.candidate, one.condition, one.n_splits) for one in (first, *others)] == [
        ("a", "original", 2),
        ("a", "noise", 1),
        ("b", "original", 1),
    ]
    one, two = (item.figures for item in cells[:2])
    assert first.roc_auc == Interval(value=(1 + 0.75) / 2, low=two.roc_auc.low, high=1)
    assert first.false_reject_rate.value == 0.25
    assert first.f1 == Interval(value=(one.f1 + two.f1) / 2, low=two.f1, high=one.f1)
    assert first.recall.value == 1
    assert first.recall.low == pytest.approx(share_interval(2, 2).low)


def scored(label, heat, side=32):
    return Scored(None, "0" * 64, label, Prediction(float(heat.max()), heat, side, side, 0, 0))


@pytest.fixture
def mask(tmp_path):
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[8:16, 8:16] = 255
    return tiny.write_image(tmp_path / "mask.png", picture)


def test_aupro_is_high_where_the_heat_lies_on_the_defect_and_low_beside_it(torch, mask):
    on, beside = np.zeros((8, 8), np.float32), np.zeros((8, 8), np.float32)
    on[2:4, 2:4], beside[5:8, 5:8] = 1, 1
    cold = np.zeros((8, 8), np.float32)
    assert aupro_of([(scored("good", cold), None), (scored("dent", on), mask)]) > 0.9
    assert aupro_of([(scored("good", cold), None), (scored("dent", beside), mask)]) < 0.5


def test_aupro_is_none_without_masks_without_heat_and_where_the_defect_left_the_picture(mask, tmp_path):
    heat = np.ones((8, 8), np.float32)
    assert aupro_of([(scored("good", heat), None), (scored("dent", heat), None)]) is None
    empty = tiny.write_image(tmp_path / "empty.png", np.zeros((32, 32, 3), np.uint8))
    assert aupro_of([(scored("dent", heat), empty)]) is None
    flat = Scored(None, "0" * 64, "dent", Prediction(1.0, None, 32, 32, 0, 0))
    assert aupro_of([(flat, mask)]) is None
