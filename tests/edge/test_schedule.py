"""Whose turn it is, and what is too late: the rules alone, with the times given."""

import math

import pytest

from edge.cameras.frame import Grab
from edge.lane import Job, Lane
from edge.line import Line
from edge.model import Model, Pace
from edge.parts import Part
from edge.schedule import Schedule, pause_s
from tests import tiny
from tests.edge.engines import line

NOW_NS = 10**12
MS = 10**6


class Plan:
    """Cameras by name, the seconds that each one's model is expected to take, and lanes."""

    def __init__(self, expected_s: dict[str, float], lanes: int = 1, deadline_s: float | None = 1.0) -> None:
        self.lines = {name: line(name, queue=64, deadline_s=deadline_s) for name in expected_s}
        self.lanes = [Lane(number, lambda *_: None) for number in range(lanes)]
        models = {name: Model(None, (), pace(seconds)) for name, seconds in expected_s.items()}
        self.models, self.schedule = models, Schedule(self.lines, models, self.lanes)

    def wait(self, camera: str, count: int = 1) -> Part:
        """So many pictures wait; the last one's part."""
        for _ in range(count):
            part, _ = self.lines[camera].picture(grab())
        return part

    def busy(self, lane: int, camera: str, since_ns: int) -> None:
        part = Part(camera, 0, NOW_NS)
        self.lanes[lane].job, self.lanes[lane].since_ns = Job(part, self.models[camera], tiny.frame()), since_ns

    def taken(self, count: int) -> list[str]:
        return [self.schedule.take().camera for _ in range(count)]


def pace(seconds: float) -> Pace:
    made = Pace()
    made.took(seconds)
    return made


def grab(captured_ns: int = NOW_NS) -> Grab:
    return Grab(captured_ns, 0, captured_ns, tiny.frame())


def test_cameras_take_turns_however_many_pictures_one_of_them_has():
    plan = Plan({"a": 0, "b": 0, "c": 0})
    for camera, count in (("a", 10), ("b", 2), ("c", 1)):
        plan.wait(camera, count)
    assert plan.taken(7) == ["a", "b", "c", "a", "b", "a", "a"]


def test_who_had_its_turn_goes_to_the_back_and_who_has_nothing_keeps_its_place():
    plan = Plan({"a": 0, "b": 0})
    plan.wait("b")
    assert plan.taken(1) == ["b"]
    plan.wait("b")
    plan.wait("a")
    assert plan.taken(2) == ["a", "b"]


def test_nothing_waits_and_nothing_is_taken():
    plan = Plan({"a": 0})
    assert plan.schedule.take() is None
    plan.wait("a")
    plan.taken(1)
    assert plan.schedule.take() is None


def test_the_newest_picture_of_a_live_camera_is_taken_in_its_turn():
    live = line("live", live=True)
    schedule = Schedule({"live": live}, {"live": Model(None, (), pace(0))}, [])
    live.picture(grab(NOW_NS))
    live.picture(grab(NOW_NS + 1))
    assert schedule.take().grab.captured_ns == NOW_NS + 1
    assert schedule.take() is None


def test_a_part_is_too_late_when_its_own_inference_would_end_after_its_last_call():
    plan = Plan({"a": 0.2})
    part = plan.wait("a")
    last_start_ns = part.last_call_ns - 200 * MS
    assert not plan.schedule.is_too_late(part, last_start_ns)
    assert plan.schedule.is_too_late(part, last_start_ns + 1)


def test_a_part_without_a_deadline_is_never_too_late_and_never_hopeless():
    plan = Plan({"a": 100.0}, deadline_s=None)
    part = plan.wait("a", 50)
    assert not plan.schedule.is_too_late(part, NOW_NS + 10**15)
    assert not plan.schedule.is_hopeless(part, NOW_NS + 10**15)


def test_a_part_is_hopeless_when_those_before_it_leave_no_time():
    plan = Plan({"a": 0.2})
    hopeless = [plan.schedule.is_hopeless(plan.wait("a"), NOW_NS) for _ in range(6)]
    assert hopeless == [False] * 4 + [True] * 2  # 4 x 0.2 s end before 0.995 s, 5 x 0.2 s do not


def test_two_lanes_make_hope_for_twice_as_many():
    plan = Plan({"a": 0.2}, lanes=2)
    hopeless = [plan.schedule.is_hopeless(plan.wait("a"), NOW_NS) for _ in range(10)]
    assert hopeless == [False] * 8 + [True] * 2  # the k-th begins after (k - 1) x 0.1 s


def test_a_free_lane_is_free_now():
    plan = Plan({"a": 0.2}, lanes=2)
    plan.busy(0, "a", NOW_NS)
    plan.wait("a")
    assert plan.schedule.free_ns("a", NOW_NS) == NOW_NS


def test_when_all_lanes_work_the_first_that_ends_counts_with_what_is_left_of_its_work():
    plan = Plan({"a": 0.2, "slow": 1.0}, lanes=2)
    plan.busy(0, "slow", NOW_NS - 100 * MS)
    plan.busy(1, "a", NOW_NS - 50 * MS)
    assert plan.schedule.free_ns("a", NOW_NS) == NOW_NS + 150 * MS


def test_a_lane_that_takes_longer_than_expected_is_expected_at_any_moment_and_not_in_the_past():
    plan = Plan({"a": 0.2})
    plan.busy(0, "a", NOW_NS - 900 * MS)
    assert plan.schedule.free_ns("a", NOW_NS) == NOW_NS


def test_the_queues_of_others_count_only_as_far_as_their_turns_come_before():
    plan = Plan({"a": 0.2, "flood": 0.1})
    plan.wait("flood", 30)
    plan.wait("a")
    assert plan.schedule.free_ns("a", NOW_NS) == NOW_NS + 100 * MS  # one turn of the other, and none of its own
    plan.wait("a")
    assert plan.schedule.free_ns("a", NOW_NS) == NOW_NS + 400 * MS  # two turns of the other and one of its own


def test_a_flood_of_one_camera_does_not_make_the_parts_of_another_hopeless():
    plan = Plan({"a": 0.2, "flood": 0.2})
    plan.wait("flood", 40)
    assert not plan.schedule.is_hopeless(plan.wait("a"), NOW_NS)
    assert plan.schedule.is_hopeless(plan.wait("flood"), NOW_NS)


def test_what_is_expected_is_what_nine_of_ten_inferences_stay_below():
    made = Pace()
    for took_s in [0.01] * 9 + [5.0]:
        made.took(took_s)
    assert made.expected_s == 0.01
    for _ in range(10):
        made.took(0.5)
    assert made.expected_s == 0.5


def test_an_expectation_forgets_what_is_long_ago():
    made = pace(9.0)
    for _ in range(100):
        made.took(0.01)
    assert made.expected_s == 0.01


@pytest.mark.parametrize(
    ("moments_ns", "pause"),
    [
        ((), math.inf),
        ((None, None), math.inf),
        ((NOW_NS + 250 * MS, None, NOW_NS + 100 * MS), 0.1),
        ((NOW_NS - 1, NOW_NS + 1), 0.0),
    ],
)
def test_a_pause_ends_at_the_earliest_moment_and_is_never_negative(moments_ns, pause):
    assert pause_s(NOW_NS, *moments_ns) == pytest.approx(pause)


def test_a_line_of_a_schedule_is_the_line_of_the_engine():
    """The schedule takes the part out of the line's queue, so that nobody else gives it to a second lane."""
    plan = Plan({"a": 0})
    part = plan.wait("a")
    assert isinstance(plan.lines["a"], Line)
    assert plan.schedule.take() is part
    assert plan.lines["a"].waiting == 0
    assert plan.lines["a"].undecided() == [part]
