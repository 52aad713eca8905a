"""The table: few rows, the right ones, each true, each fit to be typed."""

import numpy as np
import pytest

from trainer.evaluate import figures
from trainer.tradeoff import MOST_PLACES, table, tradeoff

GOOD, DEFECT = [1.0, 2.0, 3.0, 6.0], [4.0, 7.0, 8.0]


def many(seed: int) -> tuple[list[float], list[float]]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, rng.integers(20, 200)).tolist(), rng.normal(2.5, 1, rng.integers(3, 200)).tolist()


def pairs(rows) -> list[tuple[float, int]]:
    return [(row["recall"], row["false_rejects"]) for row in rows]


def test_where_scores_are_few_every_place_at_which_something_changes_is_there():
    rows = tradeoff(GOOD, DEFECT, {})
    assert [round(3 * recall) for recall, _ in pairs(rows)] == [3, 3, 3, 3, 2, 2, 1, 0]
    assert [rejects for _, rejects in pairs(rows)] == [4, 3, 2, 1, 1, 0, 0, 0]
    assert [row["threshold"] for row in rows] == sorted(row["threshold"] for row in rows)


def test_every_row_is_what_evaluate_says_at_that_threshold():
    for row in tradeoff(*many(0), {"shipped": 1.0}):
        want = figures(*many(0), row["threshold"])
        assert {name: value for name, value in row.items() if name != "marks"} == {
            name: want[name] for name in row if name != "marks"
        }


@pytest.mark.parametrize("seed", range(20))
def test_where_scores_are_many_the_rows_are_a_dozen_at_most_and_the_best_ones_are_among_them(seed):
    good, defect = many(seed)
    rows = tradeoff(good, defect, {})
    assert 3 <= len(rows) <= MOST_PLACES
    assert len(set(pairs(rows))) == len(rows)
    all_caught = figures(good, defect, min(defect))
    assert (1.0, all_caught["false_rejects"]) in pairs(rows)
    none_rejected = max(recall for recall, rejects in pairs(rows) if rejects == 0)
    assert none_rejected == pytest.approx(sum(score > max(good) for score in defect) / len(defect))


@pytest.mark.parametrize("seed", range(20))
def test_a_row_of_many_is_never_worse_than_another_threshold_in_both_ways(seed):
    good, defect = many(seed)
    possible = {
        (sum(s >= at for s in defect) / len(defect), sum(s >= at for s in good))
        for at in [*good, *defect, max(good) + 9]
    }
    for recall, rejects in pairs(tradeoff(good, defect, {})):
        assert not any(other > recall and fewer < rejects for other, fewer in possible)


def test_a_threshold_has_few_digits_and_means_the_same_when_it_is_typed():
    rows = tradeoff([1.0, 1.5], [4.0, 4.0000001], {})
    assert [row["threshold"] for row in rows][2] == 2.8  # between 1.5 and 4
    for row in rows:
        typed = float(repr(row["threshold"]))
        assert pairs([figures([1.0, 1.5], [4.0, 4.0000001], typed)]) == pairs([row])
    assert 4.0 < rows[3]["threshold"] <= 4.0000001


@pytest.mark.parametrize("score", [0.0, -3.0, 1e-9, 1e9])
def test_equal_scores_leave_two_rows_all_and_none(score):
    assert pairs(tradeoff([score], [score], {})) == [(1.0, 1), (0.0, 0)]


def test_scores_that_are_neighbours_as_floats_are_still_told_apart():
    good, defect = 1.0, float(np.nextafter(1.0, 2))
    assert pairs(tradeoff([good], [defect], {})) == [(1.0, 1), (1.0, 0), (0.0, 0)]


def test_a_marked_threshold_is_exact_and_takes_the_place_of_a_chosen_one_that_tells_the_same_parts_apart():
    plain, rows = tradeoff(GOOD, DEFECT, {}), tradeoff(GOOD, DEFECT, {"shipped": 6.123, "new": 3.2, "new review": 3.1})
    assert {row["threshold"]: row["marks"] for row in rows if row["marks"]} == {
        6.123: ["shipped"],
        3.2: ["new"],
        3.1: ["new review"],
    }
    assert len(rows) == len(plain) + 1, "two of the three tell the same parts apart"
    assert [row["threshold"] for row in rows] == sorted(row["threshold"] for row in rows)


def test_two_that_are_equal_share_a_row():
    (row,) = [row for row in tradeoff(GOOD, DEFECT, {"shipped": 5.0, "new": 5.0}) if row["marks"]]
    assert row["marks"] == ["shipped", "new"]


@pytest.mark.parametrize("far", [-1e9, 1e9])
def test_a_marked_threshold_beyond_all_scores_has_its_row(far):
    (row,) = [row for row in tradeoff(*many(1), {"shipped": far}) if row["marks"]]
    assert row["recall"] == (far < 0)


def test_the_table_says_it_for_a_person():
    lines = table(tradeoff(GOOD, DEFECT, {"shipped": 6.5}), 4, 3).splitlines()
    assert lines[0] == "4 good, 3 defects; at least and at most: with 95 % confidence each"
    assert " ".join(lines[1].split()) == "threshold recall at least false rejects at most precision F1"
    (shipped,) = [line for line in lines if line.endswith("  <- shipped")]
    assert shipped.split() == ["6.5", "0.667", "0.135", "0", "of", "4", "0.527", "1.000", "0.800", "<-", "shipped"]
    assert lines[-1].split() == ["8.2", "0.000", "0.000", "0", "of", "4", "0.527", "-", "0.000"]
