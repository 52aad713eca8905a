"""The choice: feasible first, then recall, then precision, then robustness; and none where none is fit."""

import re

import pytest

from tests import tiny
from trainer.study.figures import figures_of, summaries_of
from trainer.study.recommend import Findings, recommend
from trainer.study.types import Candidate, Cell, Failure

GOOD = [1 + i / 100 for i in range(20)]
BAD = [3 + i / 100 for i in range(20)]


def cell(name, *, good=GOOD, bad=BAD, condition="original", protocol="frozen", split=0, policy="recall_1"):
    limit = tiny.threshold_at(2).model_copy(update={"policy": policy})
    return Cell(
        candidate=name,
        split=split,
        protocol=protocol,
        condition=condition,
        threshold=limit,
        figures=figures_of(good, bad, limit, None),
        parts=(),
    )


def chosen(*cells, feasible=None, cycle_time_s=None, failures=(), names=None):
    names = names or list(dict.fromkeys(one.candidate for one in cells))
    candidates = [Candidate(name=name, family="anomaly") for name in names]
    found = Findings(candidates, cells, summaries_of(cells), failures, feasible or {})
    return recommend(found, cycle_time_s)


def missing(n):
    """Scores of defects, `n` of which are below the threshold of 2 and above all good parts."""
    return [1.5] * n + BAD[n:]


def order(recommendation):
    return [verdict.candidate for verdict in recommendation.ranking]


def test_one_that_does_not_fit_the_cycle_comes_after_one_that_misses_defects():
    found = chosen(cell("slow"), cell("poor", bad=missing(3)), feasible={"slow": False, "poor": True}, cycle_time_s=0.1)
    assert order(found) == ["poor", "slow"]
    assert found.choice is None
    assert found.why == (
        "None of these yet: the best of them is poor: it misses 3 of 20 defects at its own threshold.",
    )
    assert found.ranking[1].reasons[0] == "It does not fit the cycle time."


def test_recall_goes_before_precision_and_precision_before_robustness():
    loud = [*GOOD[:18], 3.5, 3.6]  # two good parts above every defect's lowest
    frail = cell("b-frail", condition="noise", bad=[1.1] * 20)
    found = chosen(cell("d-misses", bad=missing(1)), cell("c-loud", good=loud), cell("b-frail"), frail, cell("a"))
    assert order(found) == ["a", "b-frail", "c-loud", "d-misses"]
    assert found.choice == "a"


def test_one_that_rejects_everything_misses_nothing_and_yet_comes_after_one_that_sees():
    mixed = [2.5 + i / 100 for i in range(20)]
    blind = cell("blind", good=[*mixed, *mixed], bad=[2.4, *mixed[1:]])
    found = chosen(blind, cell("sees", bad=missing(2)))
    assert order(found) == ["sees", "blind"]
    assert "catches 20 of 20 defects and rejects 40 of 40 good parts" in found.ranking[1].reasons[0]


def test_what_is_equal_in_all_goes_by_name_whatever_the_order_in_the_file():
    assert order(chosen(cell("b"), cell("a"))) == order(chosen(cell("a"), cell("b"))) == ["a", "b"]


def test_the_choice_says_why_and_against_whom():
    loud = [*GOOD[:18], 3.5, 3.6]
    found = chosen(cell("quiet"), cell("loud", good=loud))
    assert found.why == (
        "quiet: It misses none of 20 defects at its own threshold, with a precision at recall 1 of 1.000 "
        "(0.86 to 1.00).",
        "loud, the next best, has a precision at recall 1 of 0.909 (0.76 to 0.99); the intervals overlap, so more good "
        "pictures may turn them round.",
    )


def test_where_the_line_decides_the_worst_condition_is_named():
    shaken = [1.1, 1.15, *BAD[2:]]
    found = chosen(
        cell("firm"), cell("firm", condition="noise"), cell("frail"), cell("frail", condition="noise", bad=shaken)
    )
    assert found.choice == "firm"
    assert "falls further under its worst condition, noise: to an AUC of " in found.why[1]


@pytest.mark.parametrize(
    ("good", "bad", "words"),
    [
        (GOOD, [1.5, *BAD[1:]], "it misses 1 of 20 defects"),
        ([2.5, 2.6, 3.5], [2.4, 3], "its AUC of 0.333 is not surely better than chance"),
        ([*[1.0] * 5, *[4.0] * 25], [3.9, *[5.0] * 9], "rejects more good parts than it catches defects"),
    ],
)
def test_none_is_chosen_where_even_the_best_is_not_fit(good, bad, words):
    found = chosen(cell("a", good=good, bad=bad))
    assert found.choice is None
    assert found.why[0].startswith("None of these yet: a, the only one measured, is not fit: ")
    assert words in found.why[0]


def test_none_is_chosen_where_none_fits_the_cycle():
    found = chosen(cell("a"), feasible={"a": False}, cycle_time_s=0.001)
    assert (found.choice, found.why[0]) == (
        None,
        "None of these yet: a, the only one measured, is not fit: it does not fit the cycle time.",
    )


def test_it_says_how_many_defects_and_good_parts_would_prove_what_one_would_like():
    surer = chosen(cell("a")).surer
    assert surer[0] == (
        "20 of 20 defects caught support a recall of 0.86 with 95 % confidence; 59 defects without a miss would "
        "support 0.95."
    )
    assert surer[1] == (
        "0 of 20 good parts rejected: with 95 % confidence at most 14% of good parts will be; 59 good test pictures "
        "without a reject would support 5%."
    )


def test_enough_defects_and_splits_leave_nothing_to_say_of_them():
    cells = [cell("a", bad=BAD * 4, split=i) for i in range(3)]
    surer = " ".join(chosen(*cells).surer)
    assert "support a recall" not in surer
    assert "--splits" not in surer


def test_a_threshold_that_knew_no_defect_is_told_from_one_that_did():
    blind = chosen(cell("a", bad=missing(2), policy="normal_quantile")).surer
    assert blind[0] == "Look at the missed defects first: 2 of 20 are too many."
    assert "--learn-defects" in blind[1]
    assert "--learn-defects" not in " ".join(chosen(cell("a", bad=missing(2))).surer)


def test_a_condition_that_takes_the_model_down_is_named_with_what_learning_it_would_bring():
    weak = cell("a", condition="background", bad=[1.05] * 20)
    strong = cell("a", condition="background", protocol="matched")
    surer = chosen(cell("a"), weak, strong).surer[-1]
    assert re.match(r"background takes its AUC from 1\.000 to 0\.\d+; learned from such pictures, 1\.000: ", surer)


def test_misses_are_counted_over_all_splits_and_sureness_rests_on_one():
    found = chosen(cell("a"), cell("a", split=1, bad=missing(1)))
    assert "19 of 20" not in found.why[0]
    assert "it misses 1 of 40 defects" in found.why[0]


def test_a_candidate_that_failed_is_last_with_the_reason_and_the_others_are_judged():
    failure = Failure(candidate="broken", split=0, protocol="frozen", condition="original", error="weights: no use")
    found = chosen(cell("a"), failures=[failure], names=["broken", "a"])
    assert (found.choice, order(found)) == ("a", ["a", "broken"])
    assert found.ranking[1].reasons == ("It could not be measured: weights: no use",)


def test_where_all_failed_none_is_chosen_and_the_failures_are_pointed_at():
    failure = Failure(candidate="broken", split=0, protocol="frozen", condition="original", error="no use")
    found = chosen(failures=[failure], names=["broken"])
    assert (found.choice, found.why) == (None, ("None of these yet: no candidate could be measured.",))


def test_no_sentence_holds_a_time():
    found = chosen(cell("a"), cell("b"), feasible={"a": True, "b": False}, cycle_time_s=0.1234)
    said = " ".join([*found.why, *found.surer, *(reason for one in found.ranking for reason in one.reasons)])
    assert "fits the cycle time" in said
    assert "0.1234" not in said
