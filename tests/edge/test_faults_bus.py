"""Faults of the disk and of those who connect, survived by the whole daemon on real sockets."""

import contextlib
import json
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import zmq

from edge.epoch import new_epoch
from edge.keys import make_keys
from tests import tiny
from tests.edge.box import Box, Subscriber, free_port, no_holes, wait_for
from tests.edge.outlet import Peer

WAIT = "wait_for_subscriber_s = 20"
FLOW = "loop = true\nfps = 100"
ALL_KEPT = "[evidence]\nok_share = 1"


@pytest.fixture
def flow(box) -> Box:
    """Settings of a daemon whose verdicts never stop."""
    box.images("line", [tiny.OK, tiny.NG])
    box.write_folder("line", FLOW, bus=WAIT)
    return box


@contextlib.contextmanager
def judging(box: Box) -> Iterator[tuple[subprocess.Popen[str], Subscriber]]:
    with Subscriber(box.address) as subscriber, box.daemon() as process:
        yield process, subscriber


def ended(process: subprocess.Popen[str]) -> str:
    """Stderr of a daemon that was asked to end, and ended well."""
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return err


def names(verdicts: list[dict]) -> list[tuple[str, int]]:
    return [(v["epoch"], v["seq"]) for v in verdicts]


# The disk.


def test_a_full_disk_makes_no_part_unknown_and_the_journal_is_whole_when_it_is_free_again(flow):
    flow.write_folder("line", FLOW, bus=WAIT, tables=ALL_KEPT)
    with judging(flow) as (process, subscriber):
        verdicts = subscriber.take(30)
        hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, hard))  # no file takes a byte more
        wait_for(lambda: flow.metric("mekiki_journal_ok") == 0)
        wait_for(lambda: flow.metric("mekiki_evidence_lost_total") > 0)
        assert flow.metric("mekiki_journal_errors_total") > 0
        verdicts += subscriber.take(100)
        assert flow.metric("mekiki_journal_pending") > 0
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        wait_for(lambda: flow.metric("mekiki_journal_ok") == 1)
        wait_for(lambda: flow.metric("mekiki_journal_pending") < 20)
        err = ended(process)
        verdicts += subscriber.rest()
    assert no_holes(verdicts)
    assert {v["outcome"] for v in verdicts} == {"ok", "ng"}
    assert list(flow.journal().values()) == verdicts
    assert err.count("verdicts are published and wait in memory") == 1
    assert "writes again; 0 verdicts were lost to it" in err


def test_a_damaged_journal_is_set_aside_at_the_start_and_the_line_runs(flow):
    with judging(flow) as (process, subscriber):
        first = subscriber.take(50)
        ended(process)
    journal = flow.folder / "state" / "journal.db"
    whole = journal.read_bytes()
    journal.write_bytes(b"\xff" * 4096 + whole[4096:])
    with judging(flow) as (process, subscriber):
        verdicts = subscriber.take(20)
        assert flow.metric("mekiki_journal_damaged_total") == 1
        err = ended(process)
        verdicts += subscriber.rest()
    assert "damaged" in err
    assert len(list(journal.parent.glob("journal.damaged-*.db"))) == 1
    assert verdicts[0]["epoch"] > first[0]["epoch"]
    assert list(flow.journal().values()) == verdicts


def test_a_clock_that_jumped_back_does_not_make_the_new_epoch_older_than_what_was_published(flow):
    with judging(flow) as (process, subscriber):
        subscriber.take(5)
        ended(process)
    future = "20991231T235959.000000Z"
    with contextlib.closing(sqlite3.connect(flow.folder / "state" / "journal.db")) as journal, journal:
        journal.execute("UPDATE verdict SET epoch = ?", (future,))
        journal.execute("UPDATE epoch SET name = ?", (future,))
    with judging(flow) as (process, subscriber):
        verdict = subscriber.next()
        ended(process)
    assert verdict["epoch"] == new_epoch(future) > future
    assert verdict["seq"] == 0


# Who connects.


def bomb(kind: int, address: str, *frames: bytes) -> None:
    """Sends, waits until the daemon hung up or took it, and goes."""
    with Peer(kind, address, sndtimeo=2000) as peer, contextlib.suppress(zmq.Again):
        peer.socket.send_multipart(list(frames))
        peer.socket.poll(300)


def babble(port: int, text: bytes) -> None:
    """A client that is no ZeroMQ at all."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as line, contextlib.suppress(OSError):
        line.sendall(text)
        line.settimeout(0.2)
        line.recv(100)


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had so far."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def test_100_megabytes_and_noise_on_every_socket_cost_no_verdict(box):
    pictures = free_port()
    box.images("line", [tiny.OK, tiny.NG])
    camera = '[[camera]]\nname = "{}"\nkind = "folder"\npath = "line"\nloop = true\n{}\n'
    bus = f'{WAIT}\npictures = "tcp://127.0.0.1:{pictures}"'
    box.write(camera.format("top", "fps = 100") + camera.format("asked", 'trigger = "external"'), bus=bus)
    ports = [box.bus_port, box.replay_port, box.trigger_port, pictures, box.metrics_port]
    noise, large = os.urandom(100_000), b"x" * 100_000_000
    with judging(box) as (process, subscriber):
        verdicts, before = subscriber.take(20), peak_bytes(process.pid)
        for port in ports:
            babble(port, noise)
            babble(port, b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03" + noise)
        for kind, port in ((zmq.XSUB, box.bus_port), (zmq.XSUB, pictures)):
            bomb(kind, f"tcp://127.0.0.1:{port}", large)
            bomb(kind, f"tcp://127.0.0.1:{port}", noise[:4000])
            bomb(kind, f"tcp://127.0.0.1:{port}", b"\x01" + b"x" * 4000)
        for address in (box.replay, box.trigger):
            bomb(zmq.DEALER, address, large)
            bomb(zmq.DEALER, address, noise[:4000])
            bomb(zmq.DEALER, address, *[b""] * 50)
            bomb(zmq.REQ, address, b"{" * 4000)
        verdicts += subscriber.there() + subscriber.take(50)
        assert box.metric("mekiki_bad_messages_total", socket="replay") >= 2
        assert box.metric("mekiki_bad_messages_total", socket="trigger") >= 2
        assert peak_bytes(process.pid) - before < 60_000_000  # nobody took the 100 MB in to look at them
        ended(process)
        verdicts += subscriber.rest()
    assert no_holes(verdicts)
    assert {v["outcome"] for v in verdicts} == {"ok", "ng"}


def test_who_has_no_key_or_another_s_hears_nothing_and_the_daemon_goes_on(flow):
    make_keys(flow.folder / "keys", ["plc"])
    make_keys(flow.folder / "others", ["spy"])
    flow.write_folder("line", FLOW, bus='keys = "keys"')
    with flow.daemon() as process, Subscriber(flow.address) as without_key:
        good = heard(flow, "plc", "keys")
        assert [v["seq"] for v in good] == list(range(good[0]["seq"], good[0]["seq"] + 10))
        assert heard(flow, "spy", "others") == []
        assert without_key.there() == []
        later = heard(flow, "plc", "keys")
        assert later[0]["seq"] > good[-1]["seq"]
        ended(process)


def heard(box: Box, name: str, keys: str) -> list[dict]:
    """The ten verdicts that `mekiki-edge listen` prints with the keys of a client, none when it hears nothing."""
    folder = box.folder / keys / "handover" / name
    limit = "30" if keys == "keys" else "1"
    asked = ["listen", "--connect", box.address, "--replay", box.replay, "--keys", str(folder)]
    process = box.popen(*asked, "--count", "10", "--timeout", limit)
    out, err = process.communicate(timeout=40)
    assert process.returncode == (0 if out else 1), err
    return [json.loads(text) for text in out.splitlines()]


def test_a_subscriber_that_never_reads_takes_nothing_from_the_others(flow):
    flow.write_folder("line", "loop = true", bus=WAIT)
    with (
        judging(flow) as (process, subscriber),
        Peer(zmq.SUB, flow.address, subscribe=b"", rcvhwm=1, rcvbuf=4096),
        Peer(zmq.DEALER, flow.replay, rcvhwm=1, rcvbuf=4096) as deaf,
    ):
        verdicts = subscriber.take(20)
        for _ in range(100):
            deaf.socket.send_json({"version": 1, "want": "replay", "camera": "top"})
        verdicts += subscriber.take(1000)
        ended(process)
        verdicts += subscriber.rest()
    assert no_holes(verdicts)


# `mekiki-edge listen`, killed and started again, and the daemon too.


class Listener:
    """`mekiki-edge listen --position` that writes to a file, so that what it printed outlives it."""

    def __init__(self, box: Box) -> None:
        self._box, self._out = box, box.folder / "out.jsonl"
        self._asked = ["listen", "--connect", box.address, "--replay", box.replay, "--heartbeat-timeout", "60"]
        self._asked += ["--position", str(box.folder / "position.json"), "--from-start"]

    @contextlib.contextmanager
    def running(self, *more: str) -> Iterator[subprocess.Popen[str]]:
        process = self._box.popen_to(self._out, *self._asked, *more)
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)

    def printed(self) -> list[tuple[str, int]]:
        """Whole lines, one by one."""
        text = self._out.read_text() if self._out.exists() else ""
        return names([json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")])


def test_a_listener_that_ends_and_starts_again_prints_each_verdict_once(flow):
    flow.write_folder("line", FLOW)
    listener = Listener(flow)
    with flow.daemon() as process:
        for count in ("30", "100"):
            with listener.running("--count", count) as listening:
                assert listening.wait(30) == 0
        ended(process)
    assert [seq for _, seq in listener.printed()] == list(range(130))


def test_a_listener_that_is_killed_misses_none_and_repeats_only_the_last(flow):
    """It notes its position after it printed: what a kill can do is to print some again."""
    flow.write_folder("line", FLOW)
    listener = Listener(flow)
    with flow.daemon() as process:
        for goal in (30, 120):
            with listener.running():
                wait_for(lambda goal=goal: len(listener.printed()) >= goal)
        ended(process)
    seqs = [seq for _, seq in listener.printed()]
    assert sorted(set(seqs)) == list(range(max(seqs) + 1))
    assert sum(later != earlier + 1 for earlier, later in pairwise(seqs)) <= 1


def test_a_listener_has_each_verdict_once_across_a_kill_of_the_daemon(flow):
    flow.write_folder("line", FLOW)
    listener = Listener(flow)
    with listener.running() as listening:
        for goal in (50, 150):
            with flow.daemon() as process:
                wait_for(lambda goal=goal: len(listener.printed()) >= goal)
                process.kill()
                process.wait(10)
        with flow.daemon() as process:
            wait_for(lambda: len({epoch for epoch, _ in listener.printed()}) == 3)
            ended(process)
        journal = sorted((epoch, seq) for epoch, _, seq in flow.journal())
        wait_for(lambda: len(listener.printed()) >= len(journal))
        assert listening.poll() is None
    assert listener.printed() == journal


def test_a_newcomer_has_the_last_verdict_of_a_camera_at_once_though_none_follows(box):
    box.images("line", [tiny.OK, tiny.NG])
    camera = '[[camera]]\nname = "{}"\nkind = "folder"\npath = "line"\n{}\n'
    box.write(camera.format("top", "") + camera.format("asked", 'loop = true\ntrigger = "external"'), bus=WAIT)
    with judging(box) as (process, subscriber):
        verdicts = subscriber.take(2)
        before_s = time.monotonic()
        with Subscriber(box.address) as newcomer:
            assert newcomer.next() == verdicts[-1]
        assert time.monotonic() - before_s < 10
        ended(process)


def test_a_port_that_is_taken_while_it_starts_is_said_and_the_files_are_free_again(flow):
    with socket.create_server(("127.0.0.1", flow.replay_port)):
        code, _, err = flow.run()
    assert code == 1
    assert "set [bus] replay" in err
    with judging(flow) as (process, subscriber):
        assert subscriber.next()["seq"] == 0
        ended(process)


def test_the_state_folder_holds_what_the_manual_names_and_nothing_else(flow):
    flow.write_folder("line", FLOW, bus=WAIT, tables=ALL_KEPT)
    with judging(flow) as (process, subscriber):
        subscriber.take(20)
        ended(process)
    found = {path.name for path in Path(flow.folder / "state").iterdir()}
    assert found <= {
        "journal.db",
        "journal.db-wal",
        "journal.db-shm",
        "journal.db.lock",
        "evidence",
        "compiled",
        "qualified",
    }
    assert {"journal.db", "evidence"} <= found
