import json
import signal
import threading
import time

import pytest
import zmq

from edge.cli import main
from tests import tiny
from tests.edge.box import free_port, wait_for

WAIT = "wait_for_subscriber_s = 20"


@pytest.fixture
def listening(box):
    """Starts listeners; none outlives its test, and none waits for ever for a daemon that did not start."""
    started = []

    def listen(*arguments: str, timeout: str = "20"):
        started.append(box.popen("listen", "--connect", box.address, "--timeout", timeout, *arguments))
        return started[-1]

    yield listen
    for process in started:
        process.kill()
        for pipe in (process.stdout, process.stderr):
            pipe.close()
        process.wait()


def test_it_prints_one_json_line_per_verdict_and_ends_after_the_count(box, listening):
    box.images("line", [tiny.OK, tiny.NG, tiny.OK])
    box.write_folder("line", "loop = true\nfps = 100", bus=WAIT)
    listener = listening("--count", "5")
    with box.daemon():
        out, err = listener.communicate(timeout=20)
    assert (listener.returncode, err) == (0, "")
    verdicts = [json.loads(line) for line in out.splitlines()]
    assert [v["seq"] for v in verdicts] == [0, 1, 2, 3, 4]
    assert [v["outcome"] for v in verdicts] == ["ok", "ng", "ok", "ok", "ng"]


def test_it_fails_clearly_when_too_few_verdicts_come_in_time(box, listening):
    box.images("line", [tiny.OK, tiny.NG])
    box.write_folder("line", bus=WAIT)
    with box.daemon():
        wait_for(box.answers)
        listener = listening("--count", "5", timeout="1.5")
        out, err = listener.communicate(timeout=20)
    assert listener.returncode == 1
    assert len(out.splitlines()) == 2
    assert err == f"mekiki-edge: {box.address}: no verdict for 1.5 s, 2 of 5 came; is mekiki-edge running there?\n"


def test_without_a_count_ctrl_c_is_how_it_ends(box, listening):
    box.images("line", [tiny.OK])
    box.write_folder("line", "loop = true\nfps = 100", bus=WAIT)
    listener = listening()
    with box.daemon():
        assert json.loads(listener.stdout.readline())["seq"] == 0
        listener.send_signal(signal.SIGINT)
        _, err = listener.communicate(timeout=10)
    assert (listener.returncode, err) == (0, "")


def test_each_line_is_there_as_soon_as_its_verdict_came(box, listening):
    """A gateway reads the pipe: a line kept in a buffer would miss the gate."""
    box.images("line", [tiny.OK])
    box.write_folder("line", "loop = true\nfps = 5", bus=WAIT)
    listener = listening()
    with box.daemon():
        for seq in range(3):
            verdict = json.loads(listener.stdout.readline())
            assert verdict["seq"] == seq
            assert time.time_ns() - verdict["captured_at_ns"] < 1e9


def test_a_reader_that_has_had_enough_ends_it_quietly(box, listening):
    box.images("line", [tiny.OK])
    box.write_folder("line", "loop = true\nfps = 200", bus=WAIT)
    listener = listening()
    with box.daemon():
        listener.stdout.readline()
        listener.stdout.close()
        wait_for(lambda: listener.poll() is not None, 10)
        assert listener.stderr.read() == ""
    assert listener.returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--connect", "tcp:/nowhere"],
        ["--connect", "tcp://127.0.0.1:5555", "--count", "0"],
        ["--connect", "tcp://127.0.0.1:5555", "--timeout", "-1"],
        ["--connect", "tcp://127.0.0.1:5555", "--timeout", "2s"],
    ],
)
def test_wrong_arguments_exit_2_with_one_line(capsys, arguments):
    try:
        code = main(["listen", *arguments])
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("message", [[b"one part"], [b"top", b"\xff\xfe"]])
def test_a_publisher_that_is_no_mekiki_is_refused(capsys, message):
    context, address = zmq.Context(), f"tcp://127.0.0.1:{free_port()}"
    publisher = context.socket(zmq.XPUB)
    publisher.setsockopt(zmq.XPUB_VERBOSE, 1)
    publisher.bind(address)

    def answer() -> None:
        publisher.recv()
        publisher.send_multipart(message)

    thread = threading.Thread(target=answer)
    thread.start()
    assert main(["listen", "--connect", address, "--count", "1", "--timeout", "10"]) == 1
    assert "this is no mekiki-edge" in capsys.readouterr().err
    thread.join(5)
    context.destroy(linger=0)
