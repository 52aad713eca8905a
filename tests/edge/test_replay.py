import json
import socket
import time

import pytest
import zmq

from edge.journal import Row
from models.replay import Replayed, Snapshot
from tests.edge.outlet import Outlet, Peer, local_config, verdict


@pytest.fixture
def config():
    return local_config(heartbeat_s=60)


@pytest.fixture
def outlet(tmp_path, config):
    with Outlet(tmp_path, config) as made:
        yield made


@pytest.fixture
def asking(config):
    with Peer(zmq.DEALER, config.replay) as peer:
        yield peer


def filled(outlet: Outlet, count: int) -> Outlet:
    before = len(outlet.published)
    outlet.put(count)
    outlet.settle(before + count)
    return outlet


def test_what_follows_a_verdict_comes_in_order_page_by_page(outlet, asking):
    filled(outlet, 25)
    got, after, more = [], 3, True
    while more:
        head, rows = asking.ask(want="replay", camera="top", epoch=outlet.epoch, after_seq=after, limit=10)
        assert (head["kind"], head["camera"], head["count"], head["complete"]) == ("replay", "top", len(rows), True)
        got += [row["seq"] for row in rows]
        after, more = got[-1], head["more"]
    assert got == list(range(4, 25))
    assert outlet.metrics.registry.get_sample_value("mekiki_replayed_verdicts_total") == 21


def test_a_replay_goes_on_into_later_epochs(tmp_path, config, asking):
    with Outlet(tmp_path, config) as outlet:
        filled(outlet, 3)
        first = outlet.epoch
    with Outlet(tmp_path, config) as outlet:
        filled(outlet, 2)
        head, rows = asking.ask(want="replay", camera="top", epoch=first, after_seq=1)
        assert [(row["epoch"], row["seq"]) for row in rows] == [(first, 2), (outlet.epoch, 0), (outlet.epoch, 1)]
        assert Replayed.model_validate(head).epoch == outlet.epoch
        for older in (None, "20000101T000000.000000Z"):
            assert len(asking.ask(want="replay", camera="top", epoch=older)[1]) == 5


def test_an_epoch_of_the_future_is_answered_from_the_oldest_as_incomplete(outlet, asking):
    """The journal it came from is no more and the clock went back: to answer nothing would be silence for ever."""
    filled(outlet, 2)
    head, rows = asking.ask(want="replay", camera="top", epoch="29990101T000000.000000Z", after_seq=7)
    assert ([row["seq"] for row in rows], head["complete"]) == ([0, 1], False)


def test_a_start_that_was_pruned_is_said(tmp_path, config, asking):
    with Outlet(tmp_path, config, max_verdicts=100) as outlet:
        filled(outlet, 500)
        head, rows = asking.ask(want="replay", camera="top", epoch=outlet.epoch, after_seq=0)
        assert not head["complete"]
        assert rows[-1]["seq"] == 499


def test_a_snapshot_has_the_last_verdict_of_each_camera(outlet, asking):
    assert asking.ask(want="snapshot")[0]["cameras"] == {}
    filled(outlet, 4)
    outlet.put(2, "side")
    outlet.settle(6)
    snapshot = Snapshot.model_validate(asking.ask(want="snapshot")[0])
    assert snapshot.epoch == outlet.epoch
    assert {name: (last.seq, last.verdict.seq) for name, last in snapshot.cameras.items()} == {
        "top": (3, 3),
        "side": (1, 1),
    }
    assert snapshot.oldest["top"].seq == 0


def test_a_verdict_that_this_version_cannot_read_is_left_out_of_the_snapshot_and_replayed_as_it_was(outlet, asking):
    """The software was rolled back: an older one meets the journal of a newer one."""
    newer = verdict(0, "side", outlet.epoch).model_dump_json().replace('"reason":null', '"reason":"invented_later"')
    outlet.journal.write([Row(outlet.epoch, "side", 0, newer), Row(outlet.epoch, "back", 0, "no json")])
    filled(outlet, 2)
    for _ in range(2):
        snapshot = Snapshot.model_validate(asking.ask(want="snapshot")[0])
        assert {name: last.seq for name, last in snapshot.cameras.items()} == {"top": 1}
        assert set(snapshot.oldest) == {"top", "side", "back"}
    assert asking.ask(want="replay", camera="side")[1][0]["reason"] == "invented_later"


def test_a_camera_that_is_not_there_has_nothing(outlet, asking):
    head, rows = asking.ask(want="replay", camera="nobody")
    assert (head["count"], head["more"], rows) == (0, False, [])


def test_a_req_client_is_served_too(outlet, config):
    filled(outlet, 2)
    with Peer(zmq.REQ, config.replay) as req:
        for _ in range(2):
            _, rows = req.ask(want="replay", camera="top")
            assert [row["seq"] for row in rows] == [0, 1]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[" * 4000,
        b'{"version": 1}',
        b'{"version": 2, "want": "snapshot"}',
        b'{"version": 1, "want": "everything"}',
        b'{"version": 1, "want": "replay"}',
        b'{"version": 1, "want": "replay", "camera": "top", "after_seq": -2}',
        b'{"version": 1, "want": "replay", "camera": "top", "after_seq": 99999999999999999999}',
        b'{"version": 1, "want": "replay", "camera": "top", "limit": 0}',
        b'{"version": 1, "want": "replay", "camera": "top", "epoch": NaN}',
        b'{"version": 1, "want": "replay", "camera": "top\\u0000", "limit": "many"}',
    ],
)
def test_what_is_no_request_is_answered_with_what_to_do(outlet, asking, message):
    asking.socket.send(message)
    (text,) = asking.frames()
    answer = json.loads(text)
    assert answer["kind"] == "error"
    assert "snapshot" in answer["error"]
    assert outlet.metrics.registry.get_sample_value("mekiki_bad_messages_total", {"socket": "replay"}) == 1
    assert asking.ask(want="snapshot")[0]["kind"] == "snapshot"


def test_a_message_of_many_frames_is_refused(outlet, asking):
    asking.socket.send_multipart([b'{"version": 1}', b"two", b"three"])
    assert json.loads(asking.frames()[-1])["kind"] == "error"
    assert asking.ask(want="snapshot")[0]["kind"] == "snapshot"


def test_a_client_that_never_reads_does_not_keep_others_waiting(outlet, config, asking):
    filled(outlet, 900)
    with Peer(zmq.DEALER, config.replay, rcvhwm=1, rcvbuf=4096, sndhwm=2000) as deaf:
        for _ in range(300):
            deaf.socket.send_json({"version": 1, "want": "replay", "camera": "top", "limit": 900})
        started_s = time.monotonic()
        assert asking.ask(want="replay", camera="top", limit=1)[0]["count"] == 1
        assert time.monotonic() - started_s < 15


def test_a_connection_that_says_nothing_is_no_matter(outlet, config, asking):
    with socket.create_connection(("127.0.0.1", int(config.replay.rpartition(":")[2]))):
        assert asking.ask(want="snapshot")[0]["kind"] == "snapshot"
