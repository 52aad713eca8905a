"""The engine with real threads and a real model."""

import time

import pytest

from edge.cameras.frame import Checkup
from edge.worker import HangError
from models.health import Range
from models.measure import measure
from tests import tiny
from tests.edge.box import wait_for
from tests.edge.engines import Gate, Rig, gated, line


def test_parts_are_judged_in_order_and_their_slots_given_back_once(bundle):
    with Rig(gated(bundle, Gate()), [line()]).running() as rig:
        for i in range(20):
            rig.send(patch=(tiny.OK, tiny.NG)[i % 2])
        found = rig.outlet.take(20)
        rig.finish()
    assert [(v["seq"], v["source"], v["outcome"]) for v in found] == [
        (i, str(i), ("ok", "ng")[i % 2]) for i in range(20)
    ]
    assert sorted(rig.released) == list(range(20))


def test_with_two_lanes_the_verdicts_still_leave_in_order(bundle):
    gate = Gate(is_open=False)
    with Rig(gated(bundle, gate, lanes=2), [line()]).running() as rig:
        for _ in range(6):
            rig.send()
        assert gate.entered.acquire(timeout=10)
        assert gate.entered.acquire(timeout=10)
        gate.open()
        assert [v["seq"] for v in rig.outlet.take(6)] == list(range(6))
        rig.finish()


def test_a_free_running_camera_is_judged_on_its_newest_picture_and_the_rest_is_counted(bundle):
    gate = Gate(is_open=False)
    with Rig(gated(bundle, gate), [line(live=True)]).running() as rig:
        rig.send()
        assert gate.entered.acquire(timeout=10)
        for _ in range(5):
            rig.send()
        wait_for(lambda: len(rig.released) == 4)
        gate.open()
        assert [(v["seq"], v["source"]) for v in rig.outlet.take(2)] == [(0, "0"), (1, "5")]
        rig.finish()
    dropped = rig.metrics.registry.get_sample_value("mekiki_frames_dropped_total", {"camera": "top", "how": "replaced"})
    assert dropped == 4


def test_a_camera_that_floods_does_not_starve_the_others(bundle):
    gate = Gate(is_open=False)
    lines = [line(name, queue=64) for name in ("flood", "a", "b", "c")]
    with Rig(gated(bundle, gate), lines).running() as rig:
        for _ in range(30):
            rig.send("flood")
        assert gate.entered.acquire(timeout=10)
        for name in ("a", "b", "c"):
            rig.send(name)
            rig.send(name)
        gate.open()
        order = [v["camera"] for v in rig.outlet.take(36)]
        rig.finish()
    assert max(i for i, name in enumerate(order) if name != "flood") < 9


def test_a_trigger_brings_its_part_id_back_and_names_its_verdict_before_it_is_made(bundle):
    with Rig(gated(bundle, Gate()), [line(trigger="external")]).running() as rig:
        seqs = [rig.engine.trigger("top", f"part-{i}").result(10) for i in range(2)]
        wait_for(lambda: len(rig.asked.wants) == 2)
        rig.send(patch=tiny.NG)
        rig.send()
        found = rig.outlet.take(2)
        rig.finish()
    assert [(v["seq"], v["part_id"], v["outcome"]) for v in found] == [(0, "part-0", "ng"), (1, "part-1", "ok")]
    assert seqs == [0, 1]


def test_triggered_parts_that_do_not_fit_are_unknown_and_never_dropped(bundle):
    gate = Gate(is_open=False)
    with Rig(gated(bundle, gate), [line(trigger="external", queue=2)]).running() as rig:
        for i in range(5):
            rig.engine.trigger("top", str(i)).result(10)
        for _ in range(2):
            rig.send()
        gate.open()
        found = rig.outlet.take(5)
        rig.finish()
    assert [(v["part_id"], v["reason"]) for v in found] == [
        ("0", None), ("1", None), ("2", "overload"), ("3", "overload"), ("4", "overload"),
    ]  # fmt: skip


def test_triggers_of_a_lost_camera_are_camera_faults_at_once_and_of_a_restored_one_are_not(bundle):
    with Rig(gated(bundle, Gate()), [line(trigger="external")]).running() as rig:
        rig.engine.trigger("top", "before").result(10)
        rig.engine.lost("top", "the cable is out")
        rig.engine.trigger("top", "during").result(10)
        found = rig.outlet.take(2)
        rig.engine.restored("top")
        rig.engine.trigger("top", "after").result(10)
        wait_for(lambda: len(rig.asked.wants) == 2)
        rig.send()
        found += rig.outlet.take(1)
        rig.finish()
    assert [(v["part_id"], v["reason"]) for v in found] == [
        ("before", "camera_fault"), ("during", "camera_fault"), ("after", None),
    ]  # fmt: skip
    assert found[0]["detail"] == "the cable is out"


def test_a_trigger_whose_picture_does_not_come_is_unknown_before_its_deadline(bundle):
    with Rig(gated(bundle, Gate()), [line(trigger="external", deadline_s=0.2)]).running() as rig:
        asked_s = time.monotonic()
        rig.engine.trigger("top", "A").result(10)
        verdict = rig.outlet.next()
        took_s = time.monotonic() - asked_s
        rig.finish()
    assert (verdict["reason"], verdict["deadline_s"]) == ("deadline", 0.2)
    assert 0.1 < took_s < 0.25


def test_a_part_that_the_device_keeps_too_long_is_unknown_in_time_and_its_slot_free_only_after_the_device(bundle):
    gate = Gate(is_open=False)
    with Rig(gated(bundle, gate), [line(deadline_s=0.2)]).running() as rig:
        rig.send(patch=tiny.NG)
        verdict = rig.outlet.next()
        assert (verdict["outcome"], verdict["reason"]) == ("unknown", "deadline")
        assert verdict["stages"]["total_s"] < 0.2
        assert rig.released == []
        gate.open()
        wait_for(lambda: len(rig.outlet.late) == 1)
        rig.finish()
    late = rig.outlet.late[0]
    assert late.grab.image is not None
    assert late.verdict.reason == "deadline"
    late.grab.release()
    assert rig.released == [0]


def test_what_cannot_be_judged_in_time_is_said_at_once_when_the_queue_and_the_pace_say_so(bundle):
    gate = Gate(is_open=False)
    with Rig(gated(bundle, gate, expected_s=0.5), [line(deadline_s=1.2)]).running() as rig:
        for _ in range(4):
            rig.send()
        gate.let(2)
        found = rig.outlet.take(4)
        rig.finish()
    assert [v["reason"] for v in found] == [None, None, "deadline", "deadline"]
    assert found[2]["stages"]["infer_s"] == 0
    assert "an inference takes 0.5" in found[2]["detail"]


def test_an_old_picture_is_not_judged_when_its_deadline_is_over(bundle):
    gate = Gate()
    with Rig(gated(bundle, gate), [line(deadline_s=0.5)]).running() as rig:
        rig.send(age_s=2)
        verdict = rig.outlet.next()
        rig.finish()
    assert verdict["reason"] == "deadline"
    assert gate.frames == []


@pytest.mark.parametrize("reason", ["camera_fault", "bad_frame", "stale_frame"])
def test_a_fault_of_the_camera_is_unknown_with_its_reason(bundle, reason):
    with Rig(gated(bundle, Gate()), [line(live=True)]).running() as rig:
        rig.send(fault=reason)
        verdict = rig.outlet.next()
        rig.finish()
    assert (verdict["outcome"], verdict["reason"], verdict["detail"]) == ("unknown", reason, "drawn by the test")
    assert rig.released == [0]


def test_a_model_is_switched_between_two_frames_and_what_is_in_flight_keeps_the_old_one(bundle, newer, old, new):
    gate = Gate(is_open=False)
    with Rig(gated(bundle, gate), [line()]).running() as rig:
        rig.send()
        assert gate.entered.acquire(timeout=10)
        rig.send()
        assert rig.engine.swap(["top"], gated(newer, Gate())).wait(10)
        gate.open()
        found = rig.outlet.take(2)
        rig.finish()
    assert [(v["bundle"], v["threshold"]) for v in found] == [(old, 0.5), (new, 0.6)]


def test_a_device_that_hangs_ends_the_engine_with_a_verdict_for_every_open_part(bundle):
    gate = Gate(is_open=False)
    with Rig(gated(bundle, gate), [line()], hang_s=0.2).running() as rig:
        for _ in range(3):
            rig.send()
        found = rig.outlet.take(3)
        rig.thread.join(10)
        gate.open()
    assert [(v["seq"], v["reason"]) for v in found] == [(i, "model_error") for i in range(3)]
    assert isinstance(rig.error, HangError)
    assert "has not returned for 0.2 s" in str(rig.error)


def test_a_stop_gives_every_open_part_a_verdict(bundle):
    gate = Gate(is_open=False)
    with Rig(gated(bundle, gate), [line(), line("side", "external")]).running() as rig:
        rig.send()
        rig.send()
        rig.engine.trigger("side", "A").result(10)
        rig.engine.stop_by(time.monotonic_ns())
        rig.thread.join(10)
        found = rig.outlet.take(3)
        gate.open()
    assert rig.error is None
    assert sorted((v["camera"], v["reason"]) for v in found) == [
        ("side", "deadline"),
        ("top", "deadline"),
        ("top", "deadline"),
    ]


def test_a_finished_camera_leaves_no_trigger_without_a_verdict(bundle):
    with Rig(gated(bundle, Gate()), [line(trigger="external")]).running() as rig:
        rig.engine.trigger("top", "A").result(10)
        rig.finish()
        assert rig.outlet.next()["reason"] == "camera_fault"


def test_a_camera_is_told_from_when_on_its_pictures_are_worth_decoding(bundle):
    gate = Gate(is_open=False)
    with Rig(gated(bundle, gate, expected_s=0.5), [line(live=True)]).running() as rig:
        rig.send()
        assert gate.entered.acquire(timeout=10)
        wait_for(lambda: rig.asked.from_ns.get("top", 0) > time.monotonic_ns() + 200_000_000)
        gate.open()
        rig.outlet.next()
        wait_for(lambda: rig.asked.from_ns["top"] <= time.monotonic_ns())
        rig.finish()


def test_a_verdict_waits_until_its_picture_was_measured(unhealthy):
    gate = Gate()
    with Rig(gated(unhealthy, gate), [line()]).running() as rig:
        dark, fit = Checkup(), Checkup()
        rig.send(checkup=dark)
        rig.send(checkup=fit)
        assert gate.entered.acquire(timeout=10)
        assert gate.entered.acquire(timeout=10)
        rig.measured(1, measure(tiny.frame()))
        assert rig.outlet.is_empty
        rig.measured(0, measure(tiny.frame() * 0))
        found = rig.outlet.take(2)
        rig.finish()
    assert [verdict["reason"] for verdict in found] == ["too_dark", None]
    assert sorted(rig.released) == [0, 1]


def test_a_picture_that_is_known_to_be_unfit_is_not_given_to_the_device(unhealthy):
    gate = Gate()
    with Rig(gated(unhealthy, gate), [line()]).running() as rig:
        rig.send(checkup=Checkup(measure(tiny.frame() * 0), is_done=True))
        assert rig.outlet.next()["reason"] == "too_dark"
        rig.finish()
    assert gate.frames == []


def test_a_picture_that_is_measured_too_late_for_its_deadline_is_unknown_in_time_and_its_slot_free(unhealthy):
    with Rig(gated(unhealthy, Gate()), [line(deadline_s=0.2)]).running() as rig:
        rig.send(checkup=Checkup())
        assert rig.outlet.next()["reason"] == "deadline"
        wait_for(lambda: rig.released == [0])
        rig.measured(0, measure(tiny.frame()))
        rig.finish()
    assert rig.outlet.is_empty


def test_a_picture_whose_camera_dies_before_it_was_measured_is_unknown(unhealthy):
    with Rig(gated(unhealthy, Gate()), [line()]).running() as rig:
        rig.send(checkup=Checkup())
        rig.measured(0, None)
        assert rig.outlet.next()["reason"] == "camera_fault"
        rig.finish()


def test_a_device_that_was_slow_once_is_tried_again_though_it_was_expected_to_be_too_slow(bundle):
    with Rig(gated(bundle, Gate(), expected_s=1.0), [line(deadline_s=0.5)]).running() as rig:
        reasons = []
        for _ in range(20):
            rig.send()
            reasons.append(rig.outlet.next()["reason"])
        rig.finish()
    assert reasons[0] == "deadline"
    assert reasons[-1] is None


def test_a_queue_that_is_long_does_not_make_the_device_look_quicker_than_it_is(bundle):
    gate = Gate(is_open=False)
    rig = Rig(gated(bundle, gate, expected_s=0.4), [line(deadline_s=1.0)])
    with rig.running():
        for _ in range(20):
            rig.send()
        wait_for(lambda: rig.engine.lines["top"].waiting <= 2)
        assert rig.engine.models["top"].pace.expected_s == pytest.approx(0.4)
        gate.open()
        rig.finish()


def test_a_result_that_comes_after_the_deadline_is_never_ok(bundle):
    """As when the machine stood still: the result is there before anybody looked at the clock."""
    gate = Gate(is_open=False)
    with Rig(gated(bundle, gate), [line(deadline_s=0.3)]).running() as rig:
        rig.send()
        assert gate.entered.acquire(timeout=10)
        with rig.engine._turns.working:
            gate.open()
            time.sleep(0.35)
        assert rig.outlet.next()["reason"] == "deadline"
        wait_for(lambda: rig.released == [0] or rig.outlet.late)
        rig.finish()


def test_what_comes_after_the_engine_was_stopped_is_given_back_and_gets_no_seq(bundle):
    with Rig(gated(bundle, Gate()), [line()]).running() as rig:
        rig.finish()
        rig.send()
        assert rig.released == [0]
    assert rig.outlet.is_empty


def test_open_parts_get_their_verdict_though_the_inspect_thread_is_gone(bundle):
    gate = Gate(is_open=False)
    rig = Rig(gated(bundle, gate), [line(trigger="external")])
    rig.engine.trigger("top", "A").result(10)  # no thread was ever started
    rig.engine.stop_by(time.monotonic_ns())
    assert rig.outlet.next()["reason"] == "deadline"


def test_a_trigger_that_was_told_no_is_no_part(bundle):
    rig = Rig(gated(bundle, Gate()), [line(trigger="external")])
    with rig.engine._turns.working:  # the engine is at something else
        seq = rig.engine.trigger("top", "A")
        assert seq.cancel()
    with rig.running():
        assert rig.engine.trigger("top", "B").result(10) == 0
        rig.finish()


@pytest.fixture(scope="module")
def unhealthy(tmp_path_factory):
    """A bundle that knows how bright a picture must be."""
    path = tmp_path_factory.mktemp("health") / "b"
    return tiny.make_bundle(path, health=tiny.limits(brightness=Range(low=10, high=256)))
