import json
import threading
import time

import zmq

from edge.cameras.frame import Grab
from edge.parts import Judged
from models.heartbeat import Heartbeat
from models.verdict import Verdict
from tests.edge.box import wait_for
from tests.edge.outlet import Outlet, Peer, local_config, verdict


def subscriber(config, topic: bytes = b"") -> Peer:
    return Peer(zmq.SUB, config.bind, subscribe=topic, rcvhwm=100_000)


def heartbeats(peer: Peer, count: int) -> list[Heartbeat]:
    return [Heartbeat.model_validate_json(peer.frames()[1]) for _ in range(count)]


def test_a_verdict_is_in_the_journal_before_it_is_on_the_bus(tmp_path):
    config = local_config(heartbeat_s=60)
    with subscriber(config, b"verdict/") as peer, Outlet(tmp_path, config, wait_s=10) as outlet:
        order = []
        write, publish = outlet.journal.write, outlet.bus.publish
        outlet.journal.write = lambda rows: (order.extend(("journal", row.seq) for row in rows), write(rows))
        outlet.bus.publish = lambda camera, text: (
            order.append(("bus", json.loads(text)["seq"])),
            publish(camera, text),
        )
        outlet.put(100)
        for seq in range(100):
            assert json.loads(peer.frames()[1])["seq"] == seq
    assert all(order.index(("journal", seq)) < order.index(("bus", seq)) for seq in range(100))


def test_a_message_is_the_topic_and_the_json_that_the_journal_has(tmp_path):
    config = local_config()
    with subscriber(config, b"verdict/") as peer, Outlet(tmp_path, config, wait_s=10) as outlet:
        outlet.put(1, "side")
        topic, text = peer.frames()
        assert topic == b"verdict/side"
        assert Verdict.model_validate_json(text) == verdict(0, "side", outlet.epoch)
        with Peer(zmq.DEALER, config.replay) as asking:
            asking.socket.send_json({"version": 1, "want": "replay", "camera": "side"})
            assert asking.frames()[1] == text


def test_heartbeats_come_in_time_and_say_how_far_each_camera_is(tmp_path):
    config = local_config(heartbeat_s=0.1)
    with subscriber(config, b"heartbeat") as peer, Outlet(tmp_path, config) as outlet:
        first = heartbeats(peer, 1)[0]
        assert first.cameras["top"].seq == -1
        outlet.put(3)
        outlet.put(1, "side")
        outlet.settle(4)
        started_s = time.monotonic()
        beats = heartbeats(peer, 5)
        assert time.monotonic() - started_s < 5
        assert {name: beat.seq for name, beat in beats[-1].cameras.items()} == {"top": 2, "side": 0}
        assert not any(beat.ending for beat in beats)


def test_the_end_publishes_what_waits_and_then_says_that_it_is_the_end(tmp_path):
    config = local_config(heartbeat_s=60)
    with subscriber(config) as peer:
        with Outlet(tmp_path, config, wait_s=10) as outlet:
            outlet.put(300)
        messages = [peer.frames()]
        while messages[-1][0] != b"heartbeat" or not json.loads(messages[-1][1])["ending"]:
            messages.append(peer.frames())
        assert [json.loads(text)["seq"] for topic, text in messages if topic != b"heartbeat"] == list(range(300))
        assert json.loads(messages[-1][1])["cameras"]["top"]["seq"] == 299
    assert len(outlet.published) == 300


def test_what_was_published_is_handed_on_in_order_and_counted(tmp_path):
    config = local_config()
    with Outlet(tmp_path, config) as outlet:
        outlet.put(200)
        outlet.settle(200)
        assert [judged.verdict.seq for judged in outlet.published] == list(range(200))
        counted = {"camera": "top", "outcome": "ok", "reason": "none"}
        assert outlet.metrics.registry.get_sample_value("mekiki_verdicts_total", counted) == 200
        for step in ("journal", "send"):
            assert outlet.metrics.registry.get_sample_value("mekiki_publish_seconds_count", {"step": step}) == 200


def test_what_waits_is_published_before_what_comes_after_any_of_it(tmp_path):
    """What comes after copies pictures: a verdict whose deadline comes must not wait for the copies of others."""
    config, order, slow = local_config(heartbeat_s=60), [], threading.Event()

    def after(judged):
        order.append(("after", judged.verdict.seq))
        slow.wait(10)

    with Outlet(tmp_path, config) as outlet:
        outlet.publisher.after = after
        publish = outlet.bus.publish
        outlet.bus.publish = lambda camera, text: (
            order.append(("bus", json.loads(text)["seq"])),
            publish(camera, text),
        )
        outlet.put(1)
        wait_for(lambda: len(order) == 2)  # the thread is in `after` of the first
        outlet.put(149)
        slow.set()
    assert order[:2] == [("bus", 0), ("after", 0)]
    assert order[2:151] == [("bus", seq) for seq in range(1, 150)]
    assert order[151:] == [("after", seq) for seq in range(1, 150)]


def test_a_flood_of_verdicts_does_not_keep_slots_for_ever(tmp_path):
    with Outlet(tmp_path, local_config(heartbeat_s=60)) as outlet:
        flooded, publish = [], outlet.bus.publish

        def publish_and_flood(camera, text):
            publish(camera, text)
            if not outlet.published:  # one more for each that goes out: something always waits
                outlet.put()
                flooded.append(1)

        outlet.bus.publish = publish_and_flood
        outlet.put()
        wait_for(lambda: outlet.published)
    assert 200 < len(flooded) < 400


def test_a_frame_whose_verdict_is_out_comes_after_it_and_is_not_published_again(tmp_path):
    config = local_config(heartbeat_s=60)
    with subscriber(config, b"verdict/") as peer, Outlet(tmp_path, config, wait_s=10) as outlet:
        for seq in range(3):
            outlet.put()
            outlet.publisher.put_late(late := Judged(verdict(seq, "top", outlet.epoch), Grab.now(None)))
        assert [json.loads(peer.frames()[1])["seq"] for _ in range(3)] == [0, 1, 2]
        assert not peer.socket.poll(200)
        outlet.settle(6)
    assert [judged.verdict.seq for judged in outlet.published] == [0, 0, 1, 1, 2, 2]
    assert outlet.published[-1] is late
    counted = {"camera": "top", "outcome": "ok", "reason": "none"}
    assert outlet.metrics.registry.get_sample_value("mekiki_verdicts_total", counted) == 3


def test_a_frame_that_a_lane_gives_back_after_the_end_gives_its_slot_back(tmp_path):
    with Outlet(tmp_path, local_config(heartbeat_s=60)) as outlet:
        beat = outlet.bus.beat

        def late_at_the_end(text):
            if json.loads(text)["ending"]:
                outlet.publisher.put_late(Judged(verdict(7), Grab.now(None)))
            beat(text)

        outlet.bus.beat = late_at_the_end
    assert [judged.verdict.seq for judged in outlet.published] == [7]


def test_a_verdict_behind_the_end_is_published_before_the_last_heartbeat(tmp_path):
    order = []
    with Outlet(tmp_path, local_config(heartbeat_s=60)) as outlet:
        beat, publish = outlet.bus.beat, outlet.bus.publish

        def publish_and_end(camera, text):
            order.append(seq := json.loads(text)["seq"])
            publish(camera, text)
            if seq == 0:
                outlet.publisher.finish()
                outlet.put()

        outlet.bus.publish = publish_and_end
        outlet.bus.beat = lambda text: (order.append("end") if json.loads(text)["ending"] else None, beat(text))
        outlet.put()
        wait_for(lambda: "end" in order)
    assert order == [0, 1, "end"]
    assert len(outlet.published) == 2


def test_newcomers_do_not_put_off_the_heartbeat_and_the_disk(tmp_path):
    config = local_config(heartbeat_s=0.3)
    with Outlet(tmp_path, config) as outlet:
        retries, write = [], outlet.journal.write
        outlet.journal.write = lambda rows: (retries.append(1), write(rows))
        until_s = time.monotonic() + 1.5
        while time.monotonic() < until_s:  # more often than heartbeats
            with subscriber(config, b"heartbeat") as newcomer:
                newcomer.frames()
        assert len(retries) >= 3


def test_publishing_goes_on_while_the_journal_takes_nothing(tmp_path):
    import sqlite3

    config = local_config(heartbeat_s=0.1)
    with subscriber(config, b"verdict/") as peer, Outlet(tmp_path, config, wait_s=10) as outlet:
        blocker = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        outlet.put(50)
        for seq in range(50):
            assert json.loads(peer.frames()[1])["seq"] == seq
        with Peer(zmq.DEALER, config.replay) as asking:
            assert len(asking.ask(want="replay", camera="top")[1]) == 50
        blocker.execute("ROLLBACK")
        until_s = time.monotonic() + 20
        while outlet.journal.pending():  # written though no verdict follows
            assert time.monotonic() < until_s
            time.sleep(0.05)
        assert blocker.execute("SELECT count(*) FROM verdict").fetchone() == (50,)
        blocker.close()
