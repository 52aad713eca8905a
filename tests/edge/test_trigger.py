"""Triggers: the server alone with an engine that answers late or never, and the command against a real daemon."""

import json
import threading
import time
from concurrent.futures import Future

import pytest
import zmq
from prometheus_client import CollectorRegistry

from edge.cli import main
from edge.keys import make_keys
from edge.metrics import Metrics
from edge.trigger import TriggerServer, ask
from models.errors import MekikiError
from models.trigger import Trigger, TriggerReply
from tests import tiny
from tests.edge.box import Box, Subscriber, free_port, no_holes, wait_for
from tests.edge.outlet import Peer
from tests.edge.stream import NetworkCamera

TWO = """
[[camera]]
name = "top"
kind = "folder"
path = "line"
loop = true
trigger = "external"
[[camera]]
name = "free"
kind = "folder"
path = "line"
loop = true
fps = 20
"""


class Admits:
    """An engine that admits at once, or never."""

    def __init__(self, *, answers: bool = True) -> None:
        self.answers, self.asked = answers, []

    def trigger(self, camera: str, part_id: str | None) -> Future[int]:
        self.asked.append((camera, part_id))
        seq: Future[int] = Future()
        if self.answers:
            seq.set_result(len(self.asked) - 1)
        return seq


class Served:
    """A server on its own thread."""

    def __init__(self, engine: Admits, **options: int) -> None:
        self.address, self.metrics = f"tcp://127.0.0.1:{free_port()}", Metrics(CollectorRegistry(), ["top"])
        self._context, self._stop = zmq.Context(), threading.Event()
        socket = self._context.socket(zmq.ROUTER)
        for name, value in options.items():
            socket.setsockopt(getattr(zmq, name.upper()), value)
        socket.bind(self.address)
        server = TriggerServer(socket, ["top", "side"], engine, "E", self.metrics, self._stop)
        self.thread = threading.Thread(target=server.run)

    def __enter__(self) -> "Served":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.thread.join(10)
        assert not self.thread.is_alive()
        self._context.destroy(linger=0)

    def refusals(self) -> float:
        return self.metrics.registry.get_sample_value("mekiki_bad_messages_total", {"socket": "trigger"})


@pytest.fixture(scope="module")
def line(tmp_path_factory, bundle):
    """A daemon with a triggered camera and a free one."""
    box = Box(tmp_path_factory.mktemp("triggered"), bundle)
    box.images("line", [tiny.OK, tiny.NG])
    box.write(TWO)
    with box.daemon():
        with Subscriber(box.address) as subscriber:
            while subscriber.next()["camera"] != "free":
                pass
        yield box


def asked(box: Box, capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(["trigger", "--connect", box.trigger, *arguments])
    return code, *capsys.readouterr()


def test_every_trigger_is_one_verdict_with_its_part_id_and_the_seq_that_was_told(line):
    told = []
    with Subscriber(line.address) as subscriber:
        assert subscriber.next()["camera"]  # it is connected
        for i in range(10):
            told.append(ask(line.trigger, Trigger(camera="top", part_id=f"A-{i}"), 10, None))
        found = [next(v for v in iter(subscriber.next, None) if v["part_id"] == f"A-{i}") for i in range(10)]
    assert [(v["epoch"], v["camera"], v["seq"]) for v in found] == [(t.epoch, t.camera, t.seq) for t in told]
    assert [v["seq"] for v in found] == list(range(found[0]["seq"], found[0]["seq"] + 10))
    assert {v["outcome"] for v in found} <= {"ok", "ng"}


def test_the_command_prints_which_verdict_will_be_the_part_s_own(line, capsys):
    code, out, err = asked(line, capsys, "--camera", "top", "--part-id", "目利き 17")
    assert (code, err) == (0, "")
    reply = TriggerReply.model_validate_json(out)
    assert (reply.accepted, reply.camera, reply.part_id) == (True, "top", "目利き 17")
    wait_for(lambda: (reply.epoch, "top", reply.seq) in line.journal())
    assert line.journal()[(reply.epoch, "top", reply.seq)]["part_id"] == "目利き 17"


def test_a_trigger_needs_no_part_id(line, capsys):
    code, out, _ = asked(line, capsys, "--camera", "top")
    assert code == 0
    assert "part_id" not in json.loads(out)


@pytest.mark.parametrize("camera", ["free", "none", "x" * 500])
def test_a_camera_that_is_not_triggered_from_outside_is_refused_with_those_that_are(line, capsys, camera):
    code, out, err = asked(line, capsys, "--camera", camera)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert err.endswith('cameras with trigger = "external" here: top\n')


@pytest.mark.parametrize("part_id", ["", "x" * 129, "two\nlines"])
def test_a_part_id_that_no_gateway_could_carry_is_wrong_usage(line, capsys, part_id):
    code, _, err = asked(line, capsys, "--camera", "top", "--part-id", part_id)
    assert code == 2
    assert "--part-id: " in err


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "Invalid JSON"),
        (b"\xff\xfe\x00", "Invalid JSON"),
        (b"[]", "Input should be an object"),
        (b"{}", "camera: missing"),
        (b'{"camera": 7}', "camera: Input should be a valid string"),
        (b'{"version": 2, "camera": "top"}', "version: Input should be 1"),
        (b'{"camera": "top", "part": "A"}', "part: unknown key"),
        (b'{"camera": "top", "part_id": ""}', "part_id: "),
    ],
)
def test_what_is_no_trigger_is_refused_with_the_form_that_is_wanted_and_counted(line, body, complaint):
    before = line.metric("mekiki_bad_messages_total", socket="trigger")
    with Peer(zmq.REQ, line.trigger) as peer:
        peer.socket.send(body)
        reply = TriggerReply.model_validate_json(peer.frames()[-1])
    assert not reply.accepted
    assert reply.seq is None
    assert complaint in reply.error
    assert 'send {"version":1,"camera":"NAME","part_id":"ID"}' in reply.error
    assert line.metric("mekiki_bad_messages_total", socket="trigger") == before + 1


def test_a_dealer_and_a_req_are_both_answered(line):
    for kind in (zmq.REQ, zmq.DEALER):
        with Peer(kind, line.trigger) as peer:
            peer.socket.send_json({"version": 1, "camera": "top", "part_id": "P"})
            assert json.loads(peer.frames()[-1])["accepted"]


def test_without_a_daemon_the_command_says_so_in_one_line(capsys):
    address = f"tcp://127.0.0.1:{free_port()}"
    assert main(["trigger", "--connect", address, "--camera", "top", "--timeout", "0.2"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"mekiki-edge: {address}: no answer within 0.2 s; is mekiki-edge running there, "
        "with a camera whose trigger is external or an [activation] hold, and with this key?\n"
    )


def test_an_address_that_is_none_is_wrong_usage(capsys):
    assert main(["trigger", "--connect", "nowhere", "--camera", "top"]) == 2
    assert "give an address like tcp://" in capsys.readouterr().err


def test_a_peer_that_is_no_mekiki_is_told_apart():
    with zmq.Context() as context, context.socket(zmq.ROUTER) as stranger:
        port = stranger.bind_to_random_port("tcp://127.0.0.1")

        def answer() -> None:
            name, *_ = stranger.recv_multipart()
            stranger.send_multipart([name, b"hello"])

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(MekikiError, match="this is no mekiki-edge"):
            ask(f"tcp://127.0.0.1:{port}", Trigger(camera="top"), 10, None)
        thread.join(10)


def test_an_engine_that_does_not_answer_is_said_and_the_next_trigger_is_served():
    engine = Admits(answers=False)
    with Served(engine) as served:
        with pytest.raises(MekikiError, match="the daemon is stopping, or its engine hangs"):
            ask(served.address, Trigger(camera="top"), 10, None)
        engine.answers = True
        assert ask(served.address, Trigger(camera="side"), 10, None).seq == 1
        assert served.refusals() == 1


def test_a_client_that_asks_and_does_not_read_holds_up_nobody():
    with Served(Admits(), sndhwm=1, sndbuf=4096) as served, Peer(zmq.DEALER, served.address, rcvhwm=1) as deaf:
        for _ in range(2000):
            deaf.socket.send_json({"version": 1, "camera": "top"})
        assert ask(served.address, Trigger(camera="top"), 10, None).accepted


def test_triggers_from_many_clients_get_a_seq_each():
    found: list[int] = []
    with Served(Admits()) as served:

        def client() -> None:
            found.extend(ask(served.address, Trigger(camera="top"), 10, None).seq for _ in range(20))

        clients = [threading.Thread(target=client) for _ in range(5)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join(20)
    assert sorted(found) == list(range(100))


def test_a_finite_camera_gives_each_trigger_its_next_picture_and_the_daemon_ends_after_the_last(box):
    box.images("line", [tiny.OK, tiny.NG])
    box.write_folder("line", 'trigger = "external"', bus="wait_for_subscriber_s = 20")
    with Subscriber(box.address) as subscriber, box.daemon() as process:
        for i in range(2):
            assert ask(box.trigger, Trigger(camera="top", part_id=str(i)), 20, None).seq == i
        verdicts = subscriber.take(2)
        assert process.wait(10) == 0
        verdicts += subscriber.rest()
    assert [(v["part_id"], v["outcome"], v["source"]) for v in verdicts] == [
        ("0", "ok", "0000.png"),
        ("1", "ng", "0001.png"),
    ]


def test_a_live_camera_gives_each_trigger_a_picture_that_was_taken_after_it(box):
    with NetworkCamera(tiny.frame()) as camera:
        box.write_source(camera.url, 'trigger = "external"\ndeadline_s = 10', bus="wait_for_subscriber_s = 20")
        with Subscriber(box.address) as subscriber, box.daemon():
            verdicts = []
            for i, patch in enumerate([tiny.OK, tiny.NG, tiny.OK, tiny.NG]):
                camera.image = tiny.frame(patch)
                sent = camera.sent
                wait_for(lambda sent=sent: camera.sent > sent + 2)  # the old picture is no longer on its way
                asked_ns = time.monotonic_ns()
                ask(box.trigger, Trigger(camera="side", part_id=str(i)), 20, None)
                verdicts.append(subscriber.next())
                assert verdicts[-1]["captured_ns"] > asked_ns
            assert subscriber.rest() == []
    assert [(v["part_id"], v["outcome"]) for v in verdicts] == [("0", "ok"), ("1", "ng"), ("2", "ok"), ("3", "ng")]
    assert no_holes(verdicts)


def test_without_the_key_no_trigger_is_heard_and_with_it_each_is(box, capsys):
    make_keys(box.folder / "keys", ["plc"])
    box.images("line", [tiny.OK])
    box.write_folder("line", 'loop = true\ntrigger = "external"', bus='keys = "keys"')
    handed = box.folder / "keys" / "handover" / "plc"
    with box.daemon():
        asked_ = ["--camera", "top", "--part-id", "A", "--timeout"]
        code, out, err = asked(box, capsys, *asked_, "30", "--keys", str(handed))
        assert code == 0, err
        assert json.loads(out)["seq"] == 0
        assert asked(box, capsys, *asked_, "0.5")[0] == 1
        assert json.loads(asked(box, capsys, *asked_, "30", "--keys", str(handed))[1])["seq"] == 1
