import contextlib
import json
import os
import socket
import stat
import threading
import time

import pytest
import zmq

from edge.bus import Bus
from edge.sockets import open_context
from models.errors import ConfigError, MekikiError
from tests.edge.outlet import Outlet, Peer, local_config


@pytest.fixture
def config():
    return local_config(heartbeat_s=60)


@pytest.fixture
def context(config):
    with open_context(config) as made:
        yield made


def never() -> bool:
    return False


def test_it_does_not_wait_longer_than_told_nor_past_a_stop_nor_for_heartbeats_only(context, config):
    bus = Bus(context, config)
    with Peer(zmq.SUB, config.bind, subscribe=b"heartbeat"):
        assert not bus.wait_for_subscriber(0.5, never)
        assert not bus.wait_for_subscriber(600, lambda: True)
    bus.close()


def test_all_that_was_published_arrives_though_the_bus_closes_at_once(config):
    with Peer(zmq.SUB, config.bind, subscribe=b"verdict/") as peer:
        with open_context(config) as context:
            bus = Bus(context, config)
            assert bus.wait_for_subscriber(5, never)
            for seq in range(5000):
                bus.publish("top", b"%d" % seq)
            bus.close()
        assert [int(peer.frames()[1]) for _ in range(5000)] == list(range(5000))


def test_a_subscriber_that_does_not_read_loses_alone_and_holds_up_nobody(tmp_path, config):
    with (
        Peer(zmq.SUB, config.bind, subscribe=b"", rcvhwm=1, rcvbuf=4096),
        Peer(zmq.SUB, config.bind, subscribe=b"verdict/", rcvhwm=100_000) as good,
        Outlet(tmp_path, config, max_verdicts=30_000) as outlet,
    ):
        outlet.put()
        good.frames()
        for count in range(1, 21):  # no faster than a good subscriber reads
            outlet.put(1000)
            outlet.settle(1000 * count)
        seqs = {json.loads(good.frames()[1])["seq"] for _ in range(20_000)}
        assert max(seqs) >= 19_999
        assert len(seqs) >= 20_000 - 1


def test_a_close_is_bounded_though_nobody_reads(config):
    with Peer(zmq.SUB, config.bind, subscribe=b"", rcvhwm=1, rcvbuf=4096):
        made = open_context(config)
        bus = Bus(made.__enter__(), config)
        assert bus.wait_for_subscriber(5, never)
        for seq in range(30_000):
            bus.publish("top", b"%d" % seq)

        def close() -> None:
            bus.close()
            made.__exit__(None, None, None)

        closing = threading.Thread(target=close)
        closing.start()
        closing.join(8)
        assert not closing.is_alive()


def test_who_comes_late_gets_a_heartbeat_and_then_the_last_verdict_of_each_camera_at_once(tmp_path, config):
    with Outlet(tmp_path, config) as outlet:
        outlet.put(5)
        outlet.put(2, "side")
        outlet.settle(7)
        with Peer(zmq.SUB, config.bind, subscribe=b"") as late:
            topic, text = late.frames(5)  # long before the next heartbeat is due
            assert topic == b"heartbeat"
            assert json.loads(text)["cameras"]["top"]["seq"] == 4
            last = dict(late.frames(5) for _ in range(2))
        assert {topic: json.loads(text)["seq"] for topic, text in last.items()} == {
            b"verdict/top": 4,
            b"verdict/side": 1,
        }
        with Peer(zmq.SUB, config.bind, subscribe=b"verdict/side") as late:
            assert late.frames(5)[0] == b"verdict/side"
            assert not late.socket.poll(200)


def test_a_storm_of_newcomers_is_served_together(tmp_path, config):
    with Outlet(tmp_path, config) as outlet, Peer(zmq.SUB, config.bind, subscribe=b"") as peer:
        outlet.put()
        peer.frames()
        started_s = time.monotonic()
        for _ in range(3000):
            peer.socket.subscribe(b"verdict/")
            peer.socket.unsubscribe(b"verdict/")
        with Peer(zmq.XSUB, config.bind) as storm:
            for _ in range(3000):
                storm.socket.send(b"\x01verdict/top")
            messages = 0
            while peer.socket.poll(300):
                peer.socket.recv_multipart()
                messages += 1
        assert messages <= 10 + 3 * (time.monotonic() - started_s) / 0.1
        outlet.put()
        outlet.settle(2)


def test_subscriptions_do_not_pile_up(context, config):
    bus = Bus(context, config)
    for _ in range(20):
        with Peer(zmq.SUB, config.bind, subscribe=b"verdict/"):
            assert bus.wait_for_subscriber(5, never)
            bus._wanted.clear()
    until_s = time.monotonic() + 20
    while bus._socket.poll(200):  # the last goodbye may take its time
        assert time.monotonic() < until_s
        bus.serve_newcomers(lambda: b"{}")
    bus.close()


# --- binding


def test_a_busy_port_is_named_with_what_to_do(context, config):
    bus = Bus(context, config)
    with pytest.raises(MekikiError, match=f"bus {config.bind}: port already in use; stop what holds it"):
        Bus(context, config)
    bus.close()


def test_an_address_that_cannot_be_bound_is_a_wrong_setting(context):
    wrong = local_config(bind="tcp://127.0.0.1:nowhere:5555")
    with pytest.raises(ConfigError, match=r"correct \[bus\] bind"):
        Bus(context, wrong)


def test_localhost_and_ipv6_are_addresses(context):
    for host in ("localhost", "[::1]"):
        if host == "[::1]" and not socket.has_ipv6:
            continue
        port = local_config().bind.rpartition(":")[2]
        Bus(context, local_config(bind=f"tcp://{host}:{port}")).close()


@pytest.mark.parametrize(("mode", "wanted"), [("0660", 0o660), ("600", 0o600), ("0666", 0o666)])
def test_a_socket_file_has_the_mode_that_was_set_and_was_never_more_open(context, tmp_path, mode, wanted, monkeypatch):
    file, seen = tmp_path / "bus.sock", []
    chmod = type(file).chmod
    monkeypatch.setattr(
        type(file), "chmod", lambda path, to: (seen.append(stat.S_IMODE(path.stat().st_mode)), chmod(path, to))
    )
    bus = Bus(context, local_config(bind=f"ipc://{file}", ipc_mode=mode))
    assert stat.S_IMODE(file.stat().st_mode) == wanted
    assert seen == [0o600]
    assert os.umask(0o022) == 0o022
    bus.close()


def test_a_socket_file_that_somebody_answers_on_is_not_taken_over(context, tmp_path):
    config = local_config(bind=f"ipc://{tmp_path / 'bus.sock'}")
    bus = Bus(context, config)
    with pytest.raises(MekikiError, match="socket file already in use"):
        Bus(context, config)
    with Peer(zmq.SUB, config.bind, subscribe=b"") as peer:
        assert bus.wait_for_subscriber(5, never)
        bus.publish("top", b"{}")
        assert peer.frames() == [b"verdict/top", b"{}"]
    bus.close()


def test_a_dead_socket_file_is_replaced_and_another_file_is_not(context, tmp_path):
    dead = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(dead))
    Bus(context, local_config(bind=f"ipc://{dead}")).close()
    (tmp_path / "notes.txt").write_text("keep me")
    with pytest.raises(ConfigError, match="a file that is no socket"):
        Bus(context, local_config(bind=f"ipc://{tmp_path / 'notes.txt'}"))
    assert (tmp_path / "notes.txt").read_text() == "keep me"


def test_an_address_without_a_file_or_a_folder_is_a_wrong_setting(context, tmp_path):
    for address in ("ipc://@abstract", f"ipc://{tmp_path / 'nowhere' / 'bus.sock'}", f"ipc://{tmp_path / ('x' * 200)}"):
        with pytest.raises(ConfigError, match=r"correct \[bus\] bind"):
            Bus(context, local_config(bind=address))


# --- peers that mean no good


def make_noise(address: str, size: int) -> None:
    """Random bytes until the box hangs up, or for a while."""
    where = "127.0.0.1", int(address.rpartition(":")[2])
    with socket.create_connection(where, timeout=1.0) as raw, contextlib.suppress(OSError):
        for _ in range(20):
            raw.sendall(os.urandom(size))


def test_noise_and_giants_at_every_socket_cost_the_others_nothing(tmp_path, config):
    with (
        Peer(zmq.SUB, config.bind, subscribe=b"verdict/", rcvhwm=100_000) as good,
        Outlet(tmp_path, config, max_verdicts=5000, wait_s=10) as outlet,
    ):
        for kind, address in ((zmq.XSUB, config.bind), (zmq.DEALER, config.replay)):
            for size in (1, 64, 100_000):
                make_noise(address, size)
            with Peer(kind, address) as giant:
                giant.socket.send(b"x" * 100_000_000)
                giant.socket.poll(500)
        outlet.put(1000)
        assert [json.loads(good.frames()[1])["seq"] for _ in range(1000)] == list(range(1000))
        with Peer(zmq.DEALER, config.replay) as asking:
            assert asking.ask(want="replay", camera="top", limit=1)[0]["count"] == 1
