"""What a report is made of: numbers, tables, drawings."""

import numpy as np
import pytest

from tests.trainer.studies import make_study
from tests.trainer.test_study_report import ONE, Page, found_of
from trainer.study.report.cost import axis_end, cycle_is_drawn
from trainer.study.report.curves import precision_recall_points, roc_points
from trainer.study.report.histogram import draw_histogram
from trainer.study.report.matrix import tables
from trainer.study.report.numbers import duration, milliseconds, shade, share
from trainer.study.report.overview import thresholds
from trainer.study.report.pictures import MOST_PICTURES, N_OPEN, shared_out
from trainer.study.report.slope import slopes_of
from trainer.study.report.svg import Drawing, shortened, spread, ticks
from trainer.study.report.write import words_of


@pytest.fixture(scope="module")
def study():
    return make_study(n_splits=2, apart=3.0)


def test_svg_escapes_what_stands_in_it():
    drawing = Drawing(10, 10, '"><script>')
    drawing.text((1, 1), "<b>&", title="</title><script>")
    assert Page(str(drawing)).tags == ["svg", "text", "title"]


def test_pictures_are_shared_out_so_that_every_group_shows_some():
    assert shared_out([10, 5, 3]) == [10, 5, 3]
    assert shared_out([1000, 100, 100]) == [MOST_PICTURES - 2 * N_OPEN, N_OPEN, N_OPEN]
    assert sum(shared_out([100, 1000, 2])) == MOST_PICTURES


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1.000"), (0.99996, "0.999"), (0.00004, "0.001"), (0, "0.000"), (0.5, "0.500")]
)
def test_a_share_is_never_written_better_or_worse_than_it_is(value, text):
    assert share(value) == text


def test_colours_go_by_steps_and_worse_than_a_coin_has_its_own():
    assert [shade(value) for value in (1, 0.99, 0.98, 0.95, 0.9, 0.8, 0.5, 0.49)] == [0, 0, 1, 1, 2, 3, 4, 5]


def test_times_are_written_as_people_say_them():
    assert [milliseconds(0.0224), milliseconds(0.25), milliseconds(20)] == ["22.4 ms", "250 ms", "20 s"]
    assert [duration(3.24), duration(61.6), duration(7260)] == ["3.24 s", "1 min 02 s", "2 h 01 min"]


def test_the_area_under_the_drawn_roc_curve_is_the_auc_of_the_figures(study):
    for cell in study.cells[:12]:
        across, up = zip(*roc_points(cell), strict=True)
        assert np.trapezoid(up, across) == pytest.approx(cell.figures.roc_auc.value, abs=1e-9)


def test_the_area_under_the_drawn_precision_recall_curve_is_the_average_precision(study):
    for cell in study.cells[:12]:
        across, up = zip(*precision_recall_points(cell), strict=True)
        assert -np.trapezoid(up, across) == pytest.approx(cell.figures.average_precision, abs=1e-9)
        assert up[0] == pytest.approx(cell.figures.precision_at_recall_1.value)


def test_a_failed_measurement_is_a_marked_cell_and_not_a_number():
    study = make_study(conditions=ONE, failed=[("rtmdet", "frozen", "position")], n_splits=2)
    last = tables(found_of(study), "roc_auc")[0].rows[1].entries[-1]
    assert (last.text, last.failed, last.shade) == ("failed", True, None)


def test_a_summary_over_fewer_splits_than_planned_says_so():
    study = make_study(conditions=ONE, n_splits=2)
    fewer = tuple(one.model_copy(update={"n_splits": 1}) for one in study.summaries)
    entries = tables(found_of(study.model_copy(update={"summaries": fewer})), "recall")[0].rows[0].entries
    assert {entry.note for entry in entries} == {"1 of 2 splits"}


def test_the_original_pictures_of_a_shared_bundle_are_told_once_and_shown_in_both_protocols():
    study = make_study(conditions=ONE)
    kept = study.model_copy(
        update={
            "cells": tuple(c for c in study.cells if (c.protocol, c.condition) != ("matched", "original")),
            "summaries": tuple(s for s in study.summaries if (s.protocol, s.condition) != ("matched", "original")),
        }
    )
    for one in (study, kept):
        found = found_of(one)
        assert found.shown_protocols("original") == ("frozen",)
        assert found.shown_protocols("position") == ("matched", "frozen")
        assert len(found.told) == 9
        matched, frozen, *_ = tables(found, "roc_auc")[0].rows[0].entries
        assert matched == frozen
        assert matched.bounds


def test_thresholds_are_one_for_each_bundle():
    study = make_study(conditions=ONE, n_splits=2)
    put = thresholds(found_of(study))
    assert len(put) == 3 * 2 * 2  # candidates, splits, and two conditions that one was trained under
    assert sum(one.is_base for one in put) == 6


def test_a_slope_leads_to_the_worst_condition():
    study = make_study()
    for slope in slopes_of(found_of(study), "frozen", "roc_auc"):
        means = {
            s.condition: s.roc_auc.value
            for s in study.summaries
            if (s.candidate, s.protocol) == (slope.candidate, "frozen")
        }
        assert slope.start == means.pop("original")
        assert slope.end == min(means.values()) == means[slope.worst]


def test_a_cycle_time_far_beyond_the_bars_is_written_and_not_drawn():
    near, far = (make_study(conditions=ONE, cycle_time_s=seconds).times for seconds in (0.25, 60.0))
    assert (cycle_is_drawn(near), cycle_is_drawn(far)) == (True, False)
    assert axis_end(far) < 1


def test_labels_keep_their_distance_order_and_margin():
    placed = spread([50.0, 10.0, 51.0, 52.0, 9.0], 14, 8)
    assert np.diff(sorted(placed)).min() >= 14 - 1e-9
    assert np.argsort(placed).tolist() == [4, 1, 0, 2, 3]
    assert min(placed) >= 8


def test_ticks_are_round_and_few():
    assert ticks(0.83, 1) == [0.85, 0.9, 0.95, 1.0]
    assert ticks(0, 47_000) == [0, 10_000, 20_000, 30_000, 40_000]


def test_long_texts_are_shortened_by_how_wide_they_are():
    assert [shortened("position", 8), shortened("positions", 8), shortened("位置ずれ", 7)] == [
        "position",
        "position…",
        "位置ず…",
    ]


def test_scores_that_are_all_the_same_have_a_histogram():
    cell = make_study(conditions=ONE[:1]).cells[0]
    parts = tuple(part.model_copy(update={"score": 0.0}) for part in cell.parts)
    threshold = cell.threshold.model_copy(update={"ng_at_or_above": 0.0})
    svg = draw_histogram(cell.model_copy(update={"parts": parts, "threshold": threshold}), words_of("en"))
    assert 'class="good"' in svg
    assert "nan" not in svg
