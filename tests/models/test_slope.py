"""A look at a frame says how far a part lies off, and a few looks lead to it."""

import math

import cv2
import numpy as np
import pytest

from models.edges import Field, planes_of
from models.match import Place, lying
from models.slope import Bounds, Slope
from models.upright import edges_of
from tests import keys
from tests.keys import SIDE_PX

ANYHOW = Bounds((0.5, 2.0), (-math.inf, math.inf))
FRAME = (128, 128)
TRUE = Place(1.0, math.radians(40), 1.05, complex(6.3, -4.7))
OFF = [(1.5 + 1j, 4, 1.03), (-2 - 1.5j, -5, 0.97), (2j, 0, 1.0), (0j, 6, 1.0), (0j, 0, 0.95)]


@pytest.fixture(scope="module")
def template() -> Field:
    return keys.template()[0]


def near(by: complex, turn_deg: float, size: float) -> Place:
    return TRUE.moved(by, math.radians(turn_deg), size)


def errors_of(place: Place) -> tuple[float, float, float]:
    """Cells, degrees, share of the size."""
    return abs(place.shift - TRUE.shift), abs(math.degrees(place.turn_rad - TRUE.turn_rad)), abs(place.size / 1.05 - 1)


@pytest.mark.parametrize("off", OFF, ids=str)
@pytest.mark.parametrize("softly", [False, True])
def test_a_few_looks_lead_from_near_a_part_to_the_part(template, off, softly):
    slope = Slope(template, ANYHOW, 1.5, soft=1.0) if softly else Slope(template, ANYHOW, 0.5)
    found = slope.climbed(planes_of(lying(template, TRUE, FRAME)), near(*off), 8)
    cells, degrees, share = errors_of(found)
    assert cells < 0.15
    assert degrees < 0.25
    assert share < 0.01


def test_one_look_sees_most_of_how_far_a_part_lies_off(template):
    planes = planes_of(lying(template, TRUE, FRAME))
    start = near(0.4 - 0.3j, 1, 1.01)
    found = Slope(template, ANYHOW, 0.5).climbed(planes, start, 2)
    assert all(now < 0.6 * before for now, before in zip(errors_of(found), errors_of(start), strict=True))


def test_more_looks_are_never_worse_and_the_first_is_at_the_place_itself(template):
    planes, slope = planes_of(edges_of(keys.key(35, seed=4, sheet=True))), Slope(template, ANYHOW, 0.5)
    start = Place(0.0, math.radians(30), 1.0, complex(2, 1))
    found = [slope.climbed(planes, start, looks) for looks in range(1, 9)]
    assert (found[0].turn_rad, found[0].size, found[0].shift) == (start.turn_rad, start.size, start.shift)
    matches = [place.match for place in found]
    assert matches == sorted(matches)
    assert matches[-1] > 1.2 * matches[0]


def test_how_clear_the_edges_are_leads_nowhere_else(template):
    field, slope = lying(template, TRUE, FRAME), Slope(template, ANYHOW, 0.5)
    sure, weak = (slope.climbed(planes_of(share * field), near(*OFF[0]), 8) for share in (1.0, 0.25))
    assert weak.shift == pytest.approx(sure.shift, abs=1e-3)
    assert weak.match == pytest.approx(sure.match / 4, rel=1e-3)


def test_no_look_leads_beyond_the_bounds(template):
    bounds = Bounds((0.98, 1.02), (math.radians(30), math.radians(37)))
    start = Place(0.0, math.radians(35), 1.0, TRUE.shift)
    found = Slope(template, bounds, 0.5).climbed(planes_of(lying(template, TRUE, FRAME)), start, 8)
    assert found.size == 1.02
    assert found.turn_rad == math.radians(37)


def test_a_ring_is_found_and_not_turned_as_nobody_can_say_how_far():
    image = np.full((SIDE_PX, SIDE_PX, 3), 60, np.uint8)
    cv2.circle(image, (SIDE_PX // 2, SIDE_PX // 2), 50, (190,) * 3, 14, cv2.LINE_AA)
    ring = edges_of(image)
    slope = Slope(ring, ANYHOW, 0.5)
    found = slope.climbed(planes_of(lying(ring, Place(1.0, 0.0, 1.0, 3 - 2j), ring.shape)), Place(0, 0, 1, 1.5 - 1j), 8)
    assert abs(found.shift - (3 - 2j)) < 0.1
    assert abs(math.degrees(found.turn_rad)) < 3


@pytest.mark.parametrize("kind", ["template", "frame"])
def test_where_there_is_no_edge_nothing_matches_and_nothing_fails(template, kind):
    nothing = np.zeros(FRAME, np.complex64)
    slope = Slope(nothing if kind == "template" else template, ANYHOW, 0.5)
    field = lying(template, TRUE, FRAME) if kind == "template" else nothing
    assert slope.climbed(planes_of(field), TRUE, 3).match == 0
