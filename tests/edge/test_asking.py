"""Which parts a person is asked about."""

import pytest
from pydantic import ValidationError

from edge.asking import Asking
from edge.config import ReviewConfig
from tests.edge.test_evidence import verdict

NONE = {"band": (1, 1), "share": 0}


@pytest.mark.parametrize(
    ("score", "asked"), [(0.44, None), (0.45, "band"), (0.5, "band"), (0.549, "band"), (0.551, None), (None, None)]
)
def test_scores_in_the_band_around_the_threshold_are_asked_about(score, asked):
    asking = Asking(ReviewConfig(band=(0.9, 1.1), share=0))
    assert asking.why(verdict(0, "ng", score)) == asked


def test_a_band_around_a_threshold_below_zero_lies_around_it_too():
    below = verdict(0, "ng", -0.52).model_copy(update={"threshold": -0.5})
    asking = Asking(ReviewConfig(band=(0.9, 1.1), share=0))
    assert asking.why(below) == "band"
    assert asking.why(below.model_copy(update={"score": -0.6})) is None


def test_what_a_bundle_leaves_to_a_person_is_asked_about_whatever_the_settings_say():
    left = verdict(0, "unknown", 0.3).model_copy(update={"reason": "review"})
    assert Asking(ReviewConfig.model_validate(NONE)).why(left) == "review"


def test_chance_asks_about_a_share_of_all_parts_and_the_same_with_the_same_seed():
    def asked(seed: int) -> list[bool]:
        asking = Asking(ReviewConfig.model_validate(NONE | {"share": 0.1}), seed)
        return [asking.why(verdict(seq, "ok", 0.1)) == "chance" for seq in range(2000)]

    assert sum(asked(1)) == pytest.approx(200, abs=60)
    assert asked(1) == asked(1) != asked(2)


def test_a_band_the_wrong_way_round_is_refused():
    with pytest.raises(ValidationError, match=r"band of 1.1 to 0.9, the lower number is wanted first"):
        ReviewConfig(band=(1.1, 0.9))
