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
    monkeypatch.setattr("models.runner.score_of", lambda *_: float("nan"))
    with pytest.raises(ModelError, match="says unknown nan"):
        check_golden(opened, Runner.of(opened))
