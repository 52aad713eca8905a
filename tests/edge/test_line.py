"""The rules of one camera's parts, without threads."""

import time

import pytest

from edge.camera_config import FolderConfig
from edge.cameras.frame import Fault, Grab
from edge.line import Line
from edge.parts import GUARD_S, Judged, Part
from tests import tiny


def line(trigger: str = "free", *, live: bool = True, deadline_s: float | None = None, queue: int = 3) -> Line:
    config = FolderConfig(name="top", kind="folder", path="x", trigger=trigger, deadline_s=deadline_s, queue=queue)
    return Line(config, live=live)


def grab(captured_ns: int = 0, fault: str | None = None) -> Grab:
    image = None if fault else tiny.frame()
    return Grab(captured_ns, 0, captured_ns, image, fault=Fault(fault, "x") if fault else None)


def judged(part: Part) -> Judged:
    part.judged = Judged(f"verdict of {part.seq}", part.grab)  # type: ignore[arg-type]
    return part.judged


def test_of_a_free_running_camera_the_newest_picture_replaces_the_waiting_one_and_leaves_no_hole():
    ours, first, second = line(), grab(1), grab(2)
    assert ours.picture(first) == (None, None)
    assert ours.picture(second) == (None, first)
    assert ours.waiting == 1
    part = ours.take()
    assert (part.seq, part.grab) == (0, second)
    assert ours.take() is None


@pytest.mark.parametrize("trigger", ["free", "presence"])
def test_of_a_finite_camera_and_of_a_presence_gate_every_picture_is_a_part(trigger):
    ours = line(trigger, live=trigger == "presence")
    parts = [ours.picture(grab(i))[0] for i in range(3)]
    assert [part.seq for part in parts] == [0, 1, 2]
    assert [ours.take() for _ in range(4)] == [*parts, None]


def test_a_fault_is_a_part_at_once_and_comes_after_the_picture_that_waited_before_it():
    ours = line()
    ours.picture(grab(1))
    part, replaced = ours.picture(grab(2, "bad_frame"))
    assert (part.seq, replaced) == (1, None)
    assert ours.take().grab.captured_ns == 1


def test_verdicts_leave_in_order_of_seq_however_they_are_made():
    ours = line(live=False)
    parts = [ours.picture(grab(i))[0] for i in range(3)]
    third, first = judged(parts[2]), judged(parts[0])
    assert ours.ready() == [first]
    assert ours.undecided() == [parts[1]]
    second = judged(parts[1])
    assert ours.ready() == [second, third]
    assert ours.ready() == []


def test_a_picture_answers_the_trigger_that_asked_first_and_brings_back_its_part_id():
    ours = line("external")
    (first, _), (second, _) = ours.trigger(10, "A"), ours.trigger(20, "B")
    assert ours.picture(grab(15))[0] is first
    assert ours.picture(grab(25))[0] is second
    assert [part.part_id for part in (ours.take(), ours.take())] == ["A", "B"]


def test_a_picture_that_nobody_asked_for_comes_back_to_be_released():
    ours, odd = line("external"), grab()
    assert ours.picture(odd) == (None, odd)
    assert ours.waiting == 0


def test_the_late_picture_of_a_part_that_was_given_up_does_not_judge_the_next_part():
    ours = line("external")
    (first, _), (second, _) = ours.trigger(10, "A"), ours.trigger(20, "B")
    ours.give_up(first)
    judged(first)
    late, good = grab(12), grab(25)
    assert ours.picture(late) == (None, late)
    assert ours.picture(good) == (second, None)


def test_a_trigger_more_than_fits_is_admitted_without_a_place_and_still_has_its_seq():
    ours = line("external", queue=2)
    found = [ours.trigger(i, None) for i in range(3)]
    assert [(part.seq, has_room) for part, has_room in found] == [(0, True), (1, True), (2, False)]


def test_a_lost_camera_answers_no_trigger_and_says_which():
    ours = line("external")
    part, _ = ours.trigger(1, None)
    given_up, _ = ours.trigger(2, None)
    judged(given_up)
    assert ours.camera_lost() == [part]
    picture = grab(3)
    assert ours.picture(picture) == (None, picture)


def test_a_line_is_over_when_nothing_comes_and_every_verdict_is_out():
    ours = line(live=False)
    part, _ = ours.picture(grab())
    ours.finished = True
    assert not ours.is_over
    judged(part)
    assert not ours.is_over
    ours.ready()
    assert ours.is_over


def test_a_waiting_newest_picture_keeps_a_line_from_being_over():
    ours = line()
    ours.picture(grab())
    ours.finished = True
    assert not ours.is_over


def test_the_last_call_of_a_part_comes_before_its_deadline_and_counts_from_capture():
    ours = line(live=False, deadline_s=1.0)
    ours.picture(grab(5_000_000_000))
    ours.picture(grab(6_000_000_000))
    assert ours.last_call_ns() == 5_000_000_000 + int((1.0 - GUARD_S) * 1e9)


def test_the_last_call_of_a_trigger_counts_from_the_trigger_until_its_picture_comes():
    ours = line("external", deadline_s=0.01)
    part, _ = ours.trigger(1_000_000_000, None)
    before = ours.last_call_ns()
    ours.picture(grab(1_005_000_000))
    assert (before, part.last_call_ns) == (1_008_000_000, 1_013_000_000)


def test_without_a_deadline_there_is_no_last_call():
    ours = line(live=False)
    ours.picture(grab(time.monotonic_ns()))
    assert ours.last_call_ns() is None


def test_the_picture_that_waits_to_become_a_part_has_a_last_call_too():
    ours = line(deadline_s=1.0)
    ours.picture(grab(0))
    assert ours.last_call_ns() == int((1.0 - GUARD_S) * 1e9)


def test_no_part_holds_up_the_deadline_of_one_behind_it():
    """The first picture came late, so its own deadline is late; the second part has none yet."""
    ours = line("external", deadline_s=1.0)
    (first, _), (second, _) = ours.trigger(0, "A"), ours.trigger(0, "B")
    ours.picture(grab(900_000_000))
    assert first.last_call_ns > second.last_call_ns
    assert ours.due(second.last_call_ns) == [first, second]
    assert ours.due(second.last_call_ns - 1) == []
    judged(second)
    assert ours.due(second.last_call_ns) == [first]
