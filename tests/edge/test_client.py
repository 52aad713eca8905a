import itertools
import json
import random
import subprocess
import sys
import time

import pytest

from edge.client import Client, Source, Watcher, replay_of
from edge.order import NOTHING, Arrived, Gap, Order
from tests.edge.box import ROOT
from tests.edge.outlet import LIMIT_S, Outlet, local_config

E1, E2, E3 = "20260101T000000.000000Z", "20260102T000000.000000Z", "20260103T000000.000000Z"


# --- the rules


def shown(events) -> list:
    return [(e.epoch, e.seq) if isinstance(e, Arrived) else ("gap", e.epoch, e.first, e.last) for e in events]


def rows(epoch: str, *seqs: int) -> list:
    return [((epoch, seq), "{}") for seq in seqs]


def test_a_verdict_in_turn_goes_out_and_one_that_is_had_does_not():
    order = Order("top", (E1, 4))
    assert shown(order.live((E1, 5), "{}")) == [(E1, 5)]
    assert order.live((E1, 5), "{}") == order.live((E1, 2), "{}") == []
    assert not order.is_behind


def test_a_hole_is_filled_before_what_followed_it():
    order = Order("top", (E1, 4))
    assert order.live((E1, 7), "{}") == order.live((E1, 8), "{}") == []
    assert order.is_behind
    assert order.ask() == (E1, 4)
    assert shown(order.replayed(rows(E1, 5, 6, 7), complete=True, more=False)) == [(E1, 5), (E1, 6), (E1, 7), (E1, 8)]
    assert not order.is_behind


def test_a_heartbeat_that_is_ahead_is_a_hole_too():
    order = Order("top", (E1, 4))
    assert order.announced((E1, 6)) == []
    assert order.is_behind
    order.ask()
    assert shown(order.replayed(rows(E1, 5, 6), complete=True, more=False)) == [(E1, 5), (E1, 6)]


def test_a_new_epoch_waits_for_the_rest_of_the_old_one():
    order = Order("top", (E1, 4))
    assert order.live((E2, 0), "{}") == []
    order.ask()
    answer = [*rows(E1, 5, 6), *rows(E2, 0)]
    assert shown(order.replayed(answer, complete=True, more=False)) == [(E1, 5), (E1, 6), (E2, 0)]


def test_an_epoch_without_verdicts_yet_moves_on_without_a_gap():
    order = Order("top", (E1, 4))
    order.announced((E2, -1))
    order.ask()
    assert order.replayed([], complete=True, more=False) == []
    assert order.at == (E2, -1)
    assert shown(order.live((E2, 0), "{}")) == [(E2, 0)]


def test_what_the_box_holds_no_more_is_a_gap_in_its_place():
    order = Order("top", (E1, 4))
    order.live((E1, 20), "{}")
    order.ask()
    answer = order.replayed(rows(E1, 10, 11), complete=False, more=False)
    assert shown(answer) == [
        ("gap", E1, 5, 9), (E1, 10), (E1, 11), ("gap", E1, 12, 19), (E1, 20)
    ]  # fmt: skip


def test_an_old_epoch_whose_end_was_pruned_is_a_gap_of_unknown_length():
    order = Order("top", (E1, 4))
    order.announced((E3, 1))
    order.ask()
    assert shown(order.replayed([*rows(E2, 3), *rows(E3, 0, 1)], complete=False, more=False)) == [
        ("gap", E1, 5, None), ("gap", E2, 0, 2), (E2, 3), (E3, 0), (E3, 1),
    ]  # fmt: skip


def test_an_end_that_a_heartbeat_had_told_is_missed_though_the_box_forgot_it():
    order = Order("top", (E1, 4))
    order.announced((E1, 9))
    order.announced((E2, 0))
    order.ask()
    assert shown(order.replayed(rows(E2, 0), complete=True, more=False)) == [("gap", E1, 5, 9), (E2, 0)]


def test_without_an_answer_what_came_goes_on_and_the_rest_is_a_gap():
    order = Order("top", (E1, 4))
    order.live((E1, 7), "{}")
    order.announced((E1, 9))
    assert shown(order.give_up()) == [("gap", E1, 5, 6), (E1, 7), ("gap", E1, 8, 9)]
    assert order.at == (E1, 9)


def test_a_box_that_lost_its_history_and_its_clock_is_heard_again():
    order = Order("top", (E3, 4))
    assert shown(order.announced((E2, 0))) == [("gap", E3, 5, None)]
    assert shown(order.live((E2, 0), "{}")) == [(E2, 0)]


def test_from_the_very_start_there_is_no_gap_before_the_first():
    order = Order("top", NOTHING)
    order.announced((E2, 1))
    order.ask()
    assert shown(order.replayed([*rows(E1, 0), *rows(E2, 0, 1)], complete=True, more=False)) == [
        (E1, 0),
        (E2, 0),
        (E2, 1),
    ]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_lost_repeated_or_late_each_verdict_comes_once_and_in_order(seed):
    chance = random.Random(seed)
    journal = [(epoch, seq) for epoch in (E1, E2) for seq in range(chance.randint(1, 40))]
    order, got, published = Order("top", NOTHING), [], []
    for key in journal:
        published.append(key)
        for _ in range(chance.choice([0, 1, 1, 2])):
            got += order.live(chance.choice([key, chance.choice(published)]), "{}")
        if chance.random() < 0.2:
            got += order.announced(published[-1])
        while order.is_behind and chance.random() < 0.5:
            at, limit = order.ask(), chance.randint(1, 5)
            page = [held for held in published if held > at]
            got += order.replayed([(k, "{}") for k in page[:limit]], complete=True, more=len(page) > limit)
    got += order.announced(published[-1])
    while order.is_behind:
        at = order.ask()
        got += order.replayed([(k, "{}") for k in published if k > at], complete=True, more=False)
    assert shown(got) == journal


# --- with a real box


class Seen(Watcher):
    def __init__(self) -> None:
        self.states, self.gaps, self.warnings = [], [], []

    def unsafe(self, why: str | None) -> None:
        self.states.append(why)

    def gap(self, gap: Gap) -> None:
        self.gaps.append(gap)

    def warning(self, text: str) -> None:
        self.warnings.append(text)


def take(client: Client, count: int) -> list:
    got = []
    for _ in range(count):
        arrived = client.receive(LIMIT_S)
        assert arrived is not None, f"{len(got)} of {count} came"
        got.append((arrived.camera, arrived.epoch, arrived.seq))
    return got


def until(client: Client, condition, limit_s: float = LIMIT_S) -> None:
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        assert client.receive(0.02) is None


@pytest.fixture
def config():
    return local_config(heartbeat_s=0.1)


@pytest.fixture
def source(config):
    return Source(config.bind, config.replay)


def test_it_begins_in_the_safe_state_until_something_is_heard(tmp_path, config, source):
    seen = Seen()
    with Client(source, seen) as client:
        assert client.why == "nothing heard yet"
        for _ in range(3):
            assert client.receive(0.05) is None
        assert seen.states == [client.why]
        with Outlet(tmp_path, config):
            until(client, lambda: client.why is None)
        assert seen.states == ["nothing heard yet", None]


def test_silence_from_the_start_is_told_once(source, monkeypatch):
    monkeypatch.setattr("edge.safe_state._UNHEARD_S", 0.1)
    seen = Seen()
    with Client(source, seen) as client:
        assert client.receive(0.4) is None
    assert seen.states == ["nothing heard yet"]


def test_a_camera_that_stays_behind_does_not_starve_the_others(tmp_path, config, source):
    """One whose verdicts never stop may be behind again with every answer."""
    with Outlet(tmp_path, config) as outlet:
        outlet.put(10)
        outlet.put(10, "side")
        outlet.settle(20)
        with Client(source, position={"top": (outlet.epoch, 0), "side": (outlet.epoch, 0)}) as client:
            top = client._orders["top"]
            top.replayed = lambda rows, *, complete, more: []  # nothing that comes is enough for it
            got = [client.receive(LIMIT_S) for _ in range(9)]
            assert [(arrived.camera, arrived.seq) for arrived in got] == [("side", seq) for seq in range(1, 10)]
            assert top.is_behind


def test_without_a_position_it_begins_with_what_is_published_from_now_on(tmp_path, config, source):
    with Outlet(tmp_path, config) as outlet:
        outlet.put(5)
        outlet.settle(5)
        with Client(source) as client:
            until(client, lambda: client.beat is not None)
            outlet.put(3)
            assert take(client, 3) == [("top", outlet.epoch, seq) for seq in (5, 6, 7)]


def test_messages_that_the_bus_lost_are_fetched(tmp_path, config, source):
    seen = Seen()
    with Client(source, seen) as client, Outlet(tmp_path, config, wait_s=10) as outlet:
        until(client, lambda: client.beat is not None)
        publish, lost = outlet.bus.publish, itertools.cycle([True, True, False, True, False])
        outlet.bus.publish = lambda camera, text: None if next(lost) else publish(camera, text)
        outlet.put(500)
        outlet.put(200, "side")
        got = take(client, 700)
        assert [seq for camera, _, seq in got if camera == "top"] == list(range(500))
        assert [seq for camera, _, seq in got if camera == "side"] == list(range(200))
        assert client.receive(0.2) is None
    assert seen.gaps == seen.warnings == []


def test_a_restart_of_the_daemon_is_the_safe_state_and_loses_nothing(tmp_path, config, source):
    seen, got = Seen(), []
    with Client(source, seen) as client:
        with Outlet(tmp_path, config, wait_s=10) as outlet:
            until(client, lambda: client.beat is not None)
            outlet.put(10)
            got += take(client, 4)
            first = outlet.epoch
        with Outlet(tmp_path, config) as outlet:
            outlet.put(5)
            got += take(client, 11)
            assert got == [("top", first, seq) for seq in range(10)] + [("top", outlet.epoch, seq) for seq in range(5)]
            until(client, lambda: seen.states[-1:] == [None])
    assert seen.states[:3] == ["nothing heard yet", None, "mekiki-edge stopped in order"]
    assert seen.gaps == []


def test_a_box_that_falls_silent_is_the_safe_state_until_it_is_back(tmp_path, config):
    seen, script = Seen(), "import sys, time; from pathlib import Path\n"
    script += "from tests.edge.outlet import Outlet\nfrom edge.config import BusConfig\n"
    script += "o = Outlet(Path(sys.argv[1]), BusConfig.model_validate_json(sys.argv[2])); o.put(5); time.sleep(60)"
    command = [sys.executable, "-c", script, str(tmp_path), config.model_dump_json()]
    with Client(Source(config.bind, config.replay, late_s=1.0), seen, position={}) as client:
        box = subprocess.Popen(command, cwd=ROOT)
        before = take(client, 5)
        box.kill()
        box.wait()
        until(client, lambda: bool(seen.states) and seen.states[-1] == "no verdict and no heartbeat for 1 s")
        with Outlet(tmp_path, config) as outlet:
            outlet.put(2)
            assert take(client, 2) == [("top", outlet.epoch, 0), ("top", outlet.epoch, 1)]
            assert outlet.epoch > before[0][1]
            assert seen.states[-1] is None
    assert seen.gaps == []


def test_verdicts_that_stop_are_the_safe_state_where_that_was_asked_for(tmp_path, config):
    seen = Seen()
    source = Source(config.bind, config.replay, verdict_late_s=0.3)
    with Client(source, seen) as client, Outlet(tmp_path, config, wait_s=10) as outlet:
        until(client, lambda: seen.states[-1:] == ["no verdict for 0.3 s"])
        outlet.put()
        take(client, 1)
        assert seen.states[-1] is None


def test_a_box_that_is_heard_without_a_verdict_in_time_stays_the_safe_state_for_that_reason(tmp_path, config):
    seen = Seen()
    with Client(Source(config.bind, config.replay, verdict_late_s=0.1), seen) as client:
        assert client.receive(0.15) is None
        with Outlet(tmp_path, config):
            until(client, lambda: client.why != "nothing heard yet")
    assert seen.states == ["nothing heard yet", "no verdict for 0.1 s"]


def test_what_was_pruned_is_reported_as_a_gap(tmp_path, config, source):
    seen = Seen()
    with Outlet(tmp_path, config, max_verdicts=100) as outlet:
        outlet.put(400)
        outlet.settle(400)
        with Client(source, seen, position={"top": (outlet.epoch, 9)}) as client:
            first = take(client, 1)[0][2]
            assert seen.gaps == [Gap("top", outlet.epoch, 10, first - 1)]
            assert [seq for _, _, seq in take(client, 399 - first)] == list(range(first + 1, 400))


def test_without_a_replay_holes_are_gaps_and_the_rest_goes_on(tmp_path, config):
    seen = Seen()
    with Client(Source(config.bind), seen) as client, Outlet(tmp_path, config, wait_s=10) as outlet:
        until(client, lambda: client.beat is not None)
        publish = outlet.bus.publish
        outlet.bus.publish = lambda camera, text: None if json.loads(text)["seq"] in (2, 3) else publish(camera, text)
        outlet.put(6)
        assert [seq for _, _, seq in take(client, 4)] == [0, 1, 4, 5]
        assert seen.gaps == [Gap("top", outlet.epoch, 2, 3)]


def test_a_replay_that_does_not_answer_is_a_warning_and_then_gaps(tmp_path, config, monkeypatch):
    monkeypatch.setattr("edge.replay_client._ANSWER_S", 0.3)
    seen = Seen()
    with (
        Client(Source(config.bind, "tcp://127.0.0.1:1"), seen) as client,
        Outlet(tmp_path, config, wait_s=10) as outlet,
    ):
        until(client, lambda: client.beat is not None)
        publish = outlet.bus.publish
        outlet.bus.publish = lambda camera, text: None if json.loads(text)["seq"] == 1 else publish(camera, text)
        outlet.put(3)
        assert [seq for _, _, seq in take(client, 2)] == [0, 2]
    assert len(seen.warnings) == 1
    assert "no answer" in seen.warnings[0]
    assert [(gap.first, gap.last) for gap in seen.gaps] == [(1, 1)]


def test_only_the_cameras_that_were_asked_for_come(tmp_path, config):
    source = Source(config.bind, config.replay, cameras=frozenset({"top"}))
    with Client(source) as client, Outlet(tmp_path, config, wait_s=10) as outlet:
        until(client, lambda: client.beat is not None)
        outlet.put(1, "top2")
        outlet.put(2)
        assert [camera for camera, _, _ in take(client, 2)] == ["top", "top"]
        assert client.receive(0.2) is None


def test_the_replay_of_usual_settings_is_the_next_port():
    assert replay_of("tcp://10.0.0.7:5555") == "tcp://10.0.0.7:5556"
    assert replay_of("ipc:///run/mekiki/bus") is None
    assert replay_of("tcp:/nowhere") is None
