"""When a new model may be called better: only where the numbers say so."""

import numpy as np
import pytest

from trainer.retrain.match import decide
from trainer.retrain.paired import LEVEL, Pair, compare

GOOD, BAD = False, True


def pairs(*groups: tuple[int, bool, tuple[float, float]]) -> list[Pair]:
    """Parts by (count, is it a defect, the two scores), thresholds at 1; a little apart, so that none are even."""
    found = []
    for count, is_defect, (champion, challenger) in groups:
        for number in range(count):
            scores = (champion + number / 1000, challenger + number / 1000)
            found.append(Pair(is_defect, scores, tuple((score >= 1) is is_defect for score in scores)))
    return found


def test_two_that_judge_alike_are_not_told_apart():
    found = compare(pairs((20, GOOD, (0.5, 0.5)), (20, BAD, (2, 2))))
    assert found.decision == "not shown"
    assert (found.mcnemar_p, found.auc_p, found.auc_gain.value) == (1.0, 1.0, 0.0)
    assert "neither decisions" in found.why


def test_one_that_catches_ten_more_defects_is_better():
    found = compare(pairs((20, GOOD, (0.5, 0.5)), (10, BAD, (0.2, 2)), (10, BAD, (2, 2))))
    assert found.decision == "better"
    assert (found.missed, found.only_challenger_right) == ((10, 0), 10)
    assert found.mcnemar_p == pytest.approx(2 * 0.5**10)
    assert found.auc_gain.low > 0
    assert found.auc == (0.5, 1.0)


def test_one_that_catches_three_more_is_not_shown_to_be():
    found = compare(pairs((20, GOOD, (0.5, 0.5)), (3, BAD, (0.2, 2)), (10, BAD, (2, 2))))
    assert found.only_challenger_right == 3
    assert found.mcnemar_p == pytest.approx(0.25)
    assert found.auc_p > LEVEL
    assert found.decision == "not shown"


def test_one_that_rejects_fewer_good_parts_but_misses_one_more_defect_is_not_called_better():
    found = compare(pairs((10, GOOD, (0.5, 0.5)), (20, GOOD, (1.5, 0.4)), (20, BAD, (2, 2)), (1, BAD, (2, 0.9))))
    assert found.mcnemar_p < LEVEL
    assert found.decision == "not shown"
    assert "it misses 1 defects where the champion misses 0" in found.why


def test_the_contrary_is_called_worse():
    found = compare(pairs((20, GOOD, (0.5, 0.5)), (10, BAD, (2, 0.2)), (10, BAD, (2, 2))))
    assert found.decision == "worse"
    assert found.auc_gain.high < 0


def test_scores_on_different_scales_are_compared_by_their_ranks():
    rng = np.random.default_rng(0)
    base = [Pair(i >= 30, (x := float(rng.normal(i >= 30)), 1000 * x), (True, True)) for i in range(60)]
    found = compare(base)
    assert found.auc[0] == found.auc[1]
    assert found.auc_p == 1.0


def test_models_of_the_same_worth_are_seldom_called_better():
    rng = np.random.default_rng(1)
    called = 0
    for trial in range(30):
        scores = rng.normal(np.repeat([[0.0], [1.5]], [30, 15], axis=0), 1.0, (45, 2))
        some = [
            Pair(i >= 30, (float(a), float(b)), tuple((score >= 0.75) is (i >= 30) for score in (a, b)))
            for i, (a, b) in enumerate(scores)
        ]
        called += compare(some, seed=trial).decision == "better"
    assert called <= 3, "5 of 100 at most are wanted; one side of that here"


def test_the_same_pairs_and_seed_give_the_same_result():
    some = pairs((10, GOOD, (0.5, 0.7)), (10, BAD, (0.6, 2)))
    assert compare(some, 3) == compare(some, 3)


def test_what_the_frozen_test_part_contradicts_is_not_called_better():
    new = pairs((20, GOOD, (1.5, 0.5)), (5, BAD, (2, 2)))
    frozen = pairs((10, GOOD, (0.5, 0.5)), (9, BAD, (2, 2)), (1, BAD, (2, 0.9)))
    lost = {"everything": compare(new + frozen[:-1]), "frozen": compare(frozen)}
    assert lost["everything"].decision == "better"
    decision, why = decide(lost)
    assert decision == "not shown"
    assert why.endswith("but it misses 1 defects of the frozen test part, the champion 0")
    assert decide({"everything": lost["everything"], "frozen": compare(frozen[:-1])})[0] == "better"
