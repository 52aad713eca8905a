import numpy as np
import pytest
from pydantic import ValidationError

from models.drift import BINS, Usual, excess, usual_of


def drifts(rng, n_images, shift=0.0, n_parts=200, draw="normal"):
    """Of 400 lines with as many images each, the share that counts as drifted."""
    found = []
    for _ in range(400):
        make = getattr(rng, draw) if draw == "normal" else lambda size: rng.gamma(1.0, size=size)
        usual = usual_of(list(make(size=n_images)))
        bins = [usual.bin_of(value) for value in make(size=n_parts) + shift]
        found.append(usual.drift(np.bincount(bins, minlength=BINS)) >= 1)
    return np.mean(found)


@pytest.mark.parametrize("draw", ["normal", "gamma"])
@pytest.mark.parametrize("n_images", [8, 20, 200])
def test_a_line_that_is_as_its_images_hardly_ever_counts_as_drifted(n_images, draw):
    assert drifts(np.random.default_rng(0), n_images, draw=draw) <= 0.005


def test_how_small_a_shift_is_seen_depends_on_how_many_images_there_were():
    rng = np.random.default_rng(0)
    assert drifts(rng, 20, shift=0.5) < 0.1
    assert drifts(rng, 20, shift=2.0) > 0.95
    assert drifts(rng, 200, shift=1.0) > 0.95
    assert drifts(rng, 200, shift=-1.0) > 0.95


def test_twenty_images_prove_less_than_the_customary_quarter_of_a_psi():
    few, many = (Usual(n_images=n, quartiles=(1, 2, 3)) for n in (20, 10_000))
    counts = [20, 30, 50, 100]  # a PSI of 0.36
    assert few.drift(counts) < 1 < many.drift(counts)
    assert few.drift([50, 50, 50, 50]) == pytest.approx(0, abs=1e-9)


def test_values_lie_between_the_quartiles_and_an_edge_belongs_to_what_is_below():
    usual = Usual(n_images=8, quartiles=(1, 2, 3))
    assert [usual.bin_of(value) for value in (-5, 1, 1.5, 2, 2.5, 3, 3.1)] == [0, 0, 1, 1, 2, 2, 3]


@pytest.mark.parametrize("values", [[1.0] * 7, [0.0] * 20, [0.0] * 15 + [1.0] * 5, []])
def test_too_few_or_repeating_values_have_no_quartiles(values):
    assert usual_of(values) is None


@pytest.mark.parametrize("quartiles", [(1, 1, 2), (3, 2, 1), (float("nan"), 1, 2)])
def test_quartiles_ascend(quartiles):
    with pytest.raises(ValidationError):
        Usual(n_images=8, quartiles=quartiles)


def test_more_ng_than_false_rejects_explain_is_drift_and_a_few_are_none():
    assert excess(0, 200, 0.14) == 0
    assert excess(28, 200, 0.14) < 1
    assert excess(80, 200, 0.14) > 1
    assert excess(40, 50, 0.14) > 1
    assert excess(200, 200, 1.0) < 1
