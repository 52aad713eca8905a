"""Whether one graph decides as well as another, and what chance may say of it."""

import numpy as np
import pytest

from models.manifest import Decision
from trainer.decisions import MOST_AUC, MOST_RECALL, Told, holds

GOOD = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 1.02, 0.98]


def spread(n_good: int, n_bad: int, noise: float = 0.0, shift: float = 0.0) -> Told:
    """Good parts about 1, bad ones about 1.2, less by `shift`; both are said a little otherwise with `noise`."""
    rng, other = np.random.default_rng(0), np.random.default_rng(1)
    good, bad = rng.normal(1, 0.1, n_good), rng.normal(1.2, 0.1, n_bad) - shift
    return Told([*(good + other.normal(0, noise, n_good))], [*(bad + other.normal(0, noise, n_bad))])


def test_recall_is_counted_at_the_threshold_that_good_scores_give():
    assert Told(GOOD, [9.0, 1.03, 8.0, 7.0]).decision == Decision(auc=1 - 2 / 32, recall=0.75)


def test_the_same_scores_count_half():
    assert Told([1.0, 2.0], [2.0, 2.0]).decision.auc == 0.75


def test_without_defects_there_is_nothing_to_lose():
    nothing = Told([1.0, 2.0, 3.0], [])
    assert nothing.decision == Decision(auc=None, recall=None)
    assert holds(nothing, nothing)
    assert not holds(Told(GOOD, [9.0]), nothing)


def test_two_of_eighty_that_change_sides_by_chance_decide_nothing():
    before, after = (Told(GOOD, [9.0] * caught + [1.2] * (80 - caught)) for caught in (10, 8))
    assert before.decision.recall - after.decision.recall > MOST_RECALL
    assert holds(before, after)
    assert not holds(before, Told(GOOD, [9.0] * 5 + [1.2] * 75))


def test_one_of_five_that_is_no_longer_caught_is_not_excused():
    before, after = Told(GOOD, [9.0] * 5), Told(GOOD, [9.0] * 4 + [1.06])
    assert before.decision.recall - after.decision.recall == pytest.approx(0.2)
    assert not holds(before, after)
    assert not holds(Told(GOOD, [9.0] * 5), Told(GOOD, [9.0] * 4 + [0.5]))


@pytest.mark.parametrize(("n_good", "n_bad"), [(20, 80), (300, 900)])
def test_what_is_lost_on_most_pictures_is_no_chance(n_good, n_bad):
    before = spread(n_good, n_bad)
    assert holds(before, before)
    assert holds(before, spread(n_good, n_bad, noise=0.005))
    after = spread(n_good, n_bad, shift=0.05)
    assert before.decision.auc - after.decision.auc > MOST_AUC
    assert not holds(before, after)


def test_the_error_of_a_difference_is_what_it_scatters_by_from_one_set_of_pictures_to_the_next():
    """DeLong's, against a thousand sets drawn anew."""
    rng, found, said = np.random.default_rng(2), [], []
    for _ in range(1000):
        good, bad = rng.normal(0, 1, 30), rng.normal(1, 1, 60)
        one = Told([*good], [*bad])
        other = Told([*(good + rng.normal(0, 0.3, 30))], [*(bad + rng.normal(0, 0.3, 60))])
        lost = one.above() - other.above()
        found.append(lost.mean())
        said.append(error_of(lost))
    assert np.std(found) == pytest.approx(np.mean(said), rel=0.1)


def error_of(lost: np.ndarray) -> float:
    from trainer.decisions import _error

    return _error(lost.mean(axis=0), lost.mean(axis=1))
