from dataclasses import replace

import pytest

from models.bundle import open_bundle
from models.errors import ModelError
from models.golden import MAX_RELATIVE, check_golden
from models.runner import Runner
from tests import tiny


def checked(folder, **bundle):
    opened = open_bundle(tiny.make_bundle(folder / "b", **bundle))
    return check_golden(opened, Runner.of(opened))


def test_a_model_that_says_what_its_manifest_says_agrees(tmp_path):
    agreement = checked(tmp_path)
    assert agreement.n_images == 2
    assert agreement.max_relative < 1e-6


def test_a_small_difference_is_reported_and_passes(tmp_path):
    assert 0 < checked(tmp_path, golden_error=5e-5).max_relative <= MAX_RELATIVE


def test_a_score_off_by_more_than_a_thousandth_is_refused_with_both_numbers(tmp_path):
    with pytest.raises(ModelError, match=r"dark\.png: CPU at f32 says ok 0\.0980392, the manifest says ok 0\.0990392"):
        checked(tmp_path, golden_error=1e-3)


def test_a_score_that_is_no_number_is_refused(tmp_path, monkeypatch):
    opened = open_bundle(tiny.make_bundle(tmp_path / "b"))
    monkeypatch.setattr("models.patchcore.score_of", lambda *_: float("nan"))
    with pytest.raises(ModelError, match="says unknown nan"):
        check_golden(opened, Runner.of(opened))


def checked_boxes(folder, expected: float):
    """The dark golden image has no box: its score is 0, where `expected` was written down."""
    opened = open_bundle(tiny.make_boxes_bundle(folder / "b"))
    dark, spot = opened.manifest.golden
    golden = (dark.model_copy(update={"score": expected}), spot)
    claiming = replace(opened, manifest=opened.manifest.model_copy(update={"golden": golden}))
    return check_golden(claiming, Runner.of(opened))


def test_a_picture_without_boxes_scores_0_and_agrees(tmp_path):
    assert checked_boxes(tmp_path, 0.0).max_relative == 0


def test_near_0_a_hundred_thousandth_is_near_enough_and_the_agreement_stays_below_its_limit(tmp_path):
    assert 0 < checked_boxes(tmp_path, 9e-6).max_relative <= MAX_RELATIVE


def test_near_0_more_than_a_hundred_thousandth_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"dark\.png: CPU at f32 says ok 0, the manifest says ok 1\.1e-05"):
        checked_boxes(tmp_path, 1.1e-5)


def test_the_absolute_tolerance_is_none_where_the_score_is_large(tmp_path):
    """A tenth of a per cent of 0.098, and not a hundred thousandth more."""
    assert checked(tmp_path, golden_error=9.7e-5).max_relative <= MAX_RELATIVE
    with pytest.raises(ModelError):
        checked(tmp_path / "more", golden_error=1.01e-4)


@pytest.mark.parametrize("make", [tiny.make_bundle, tiny.make_boxes_bundle])
def test_a_golden_image_between_review_and_threshold_is_unknown_and_counted(tmp_path, make):
    """The bright one scores 0.78."""
    opened = open_bundle(make(tmp_path / "b", threshold=0.9, review=0.5))
    assert [item.outcome for item in opened.manifest.golden] == ["ok", "unknown"]
    assert check_golden(opened, Runner.of(opened)).n_review == 1
    without = open_bundle(make(tmp_path / "without"))
    assert check_golden(without, Runner.of(without)).n_review == 0


@pytest.mark.parametrize("review", [0.5, None])
def test_a_golden_image_that_review_should_have_caught_or_should_not_is_refused(tmp_path, review):
    opened = open_bundle(tiny.make_bundle(tmp_path / "b", threshold=0.9, review=review))
    other = opened.manifest.threshold.model_copy(update={"review_at_or_above": None if review else 0.5})
    claiming = replace(opened, manifest=opened.manifest.model_copy(update={"threshold": other}))
    with pytest.raises(ModelError, match=r"spot\.png: CPU at f32 says (ok|unknown) 0\.78\d*, the manifest says"):
        check_golden(claiming, Runner.of(opened))


def test_a_golden_image_for_review_whose_score_is_no_number_is_refused_though_both_are_unknown(tmp_path, monkeypatch):
    opened = open_bundle(tiny.make_bundle(tmp_path / "b", threshold=0.9, review=0.05))
    assert {item.outcome for item in opened.manifest.golden} == {"unknown"}
    monkeypatch.setattr("models.patchcore.score_of", lambda *_: float("nan"))
    with pytest.raises(ModelError, match="says unknown nan"):
        check_golden(opened, Runner.of(opened))
