import contextlib
import json
import signal
import subprocess
import sys
import threading
import time

import pytest
import zmq

from edge.cli import main
from edge.client import Source
from edge.listen import Listening, listen
from models.files import write_whole
from tests.edge.box import ROOT, free_port, wait_for
from tests.edge.outlet import Outlet, local_config


@pytest.fixture
def config():
    return local_config(heartbeat_s=0.1)


@pytest.fixture
def listening(config):
    """Starts listeners; none outlives its test, and none waits for ever for a box that did not start."""
    started = []

    def listen(*arguments: object, timeout: str = "20") -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "edge.cli", "listen", "--connect", config.bind, "--timeout", timeout]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen([*command, *map(str, arguments)], cwd=ROOT, **pipes))
        return started[-1]

    yield listen
    for process in started:
        process.kill()
        for pipe in (process.stdout, process.stderr):
            pipe.close()
        process.wait()


def seqs(text: str) -> list[int]:
    return [json.loads(line)["seq"] for line in text.splitlines()]


def test_it_prints_one_json_line_per_verdict_and_ends_after_the_count(tmp_path, config, listening):
    listener = listening("--count", "5")
    with Outlet(tmp_path, config, wait_s=20) as outlet:
        outlet.put(8)
        out, err = listener.communicate(timeout=20)
    assert (listener.returncode, err) == (0, "")
    assert seqs(out) == [0, 1, 2, 3, 4]


def test_it_fails_clearly_when_nothing_is_there(config, listening):
    listener = listening("--count", "5", timeout="0.5")
    out, err = listener.communicate(timeout=20)
    assert (listener.returncode, out) == (1, "")
    assert err == f"mekiki-edge: {config.bind}: no verdict for 0.5 s, 0 of 5 came; is mekiki-edge running there?\n"


def test_verdicts_that_stop_while_the_box_lives_are_exit_3(tmp_path, config, listening):
    listener = listening("--count", "5", timeout="1.5")
    with Outlet(tmp_path, config, wait_s=20) as outlet:
        outlet.put(2)
        out, err = listener.communicate(timeout=20)
    assert (listener.returncode, seqs(out)) == (3, [0, 1])
    assert "no verdict for 1.5 s, 2 of 5 came; safe state" in err


def test_a_box_that_falls_silent_is_exit_3_at_once(tmp_path, config, listening):
    listener = listening("--heartbeat-timeout", "0.7")
    with Outlet(tmp_path, config, wait_s=20) as outlet:
        outlet.put(2)
        assert seqs(listener.stdout.readline()) == [0]
        outlet.bus.beat = lambda _: None  # as a stuck box: its sockets live, its heart does not
        _, err = listener.communicate(timeout=20)
    assert listener.returncode == 3
    assert "no heartbeat for 0.7 s; safe state" in err


def test_an_orderly_stop_is_told_and_waited_out(tmp_path, config, listening):
    listener = listening("--count", "4", "--heartbeat-timeout", "5")
    with Outlet(tmp_path, config, wait_s=20) as outlet:
        outlet.put(2)
        assert seqs(listener.stdout.readline() + listener.stdout.readline()) == [0, 1]
    assert "mekiki-edge stopped in order" in listener.stderr.readline()
    time.sleep(0.5)  # longer than three heartbeats
    with Outlet(tmp_path, config) as outlet:
        outlet.put(2)
        out, _ = listener.communicate(timeout=20)
    assert (listener.returncode, seqs(out)) == (0, [0, 1])


def test_a_killed_listener_goes_on_where_it_was_and_prints_every_verdict(tmp_path, config, listening):
    position = tmp_path / "position.json"
    seen = []
    with Outlet(tmp_path / "state", config) as outlet:
        first = listening("--position", position, "--from-start")
        outlet.put(200)
        for _ in range(120):
            seen.append(json.loads(first.stdout.readline()))
        first.send_signal(signal.SIGKILL)
        first.wait()
        seen += [json.loads(line) for line in first.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        outlet.put(300)
        outlet.settle(500)
    with Outlet(tmp_path / "state", config) as again:
        again.put(50)
        second = listening("--position", position, "--from-start", timeout="2")
        out, _ = second.communicate(timeout=30)
        seen += [json.loads(line) for line in out.splitlines()]
        names = list(dict.fromkeys((verdict["epoch"], verdict["seq"]) for verdict in seen))
        assert names == [(outlet.epoch, seq) for seq in range(500)] + [(again.epoch, seq) for seq in range(50)]
        assert json.loads(position.read_text())["cameras"]["top"] == {"epoch": again.epoch, "seq": 49}
        third = listening("--position", position, timeout="1")
        assert third.communicate(timeout=20)[0] == ""


@contextlib.contextmanager
def pouring(outlet):
    """Verdicts that never stop, while the block runs."""
    over = threading.Event()

    def pour():
        while not over.wait(0.002):
            outlet.put(3)

    thread = threading.Thread(target=pour)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_listener_that_is_ended_again_and_again_prints_each_verdict_exactly_once(tmp_path, config, listening, number):
    printed, position = [], tmp_path / "position.json"
    with Outlet(tmp_path / "state", config, max_verdicts=100_000) as outlet:
        with pouring(outlet):
            for pause_s in (0.0, 0.013, 0.029, 0.047):
                listener = listening("--position", position, "--from-start")
                printed.append(listener.stdout.readline())
                reader = threading.Thread(target=lambda pipe=listener.stdout: printed.append(pipe.read()))
                reader.start()
                time.sleep(pause_s)
                listener.send_signal(number)
                assert listener.wait(10) == 0
                reader.join(10)
        outlet.settle(outlet.count)
        last = listening("--position", position, timeout="0.5")
        printed.append(last.communicate(timeout=20)[0])
    assert seqs("".join(printed)) == list(range(outlet.count))


def test_a_signal_within_a_verdict_or_a_save_waits_until_it_is_done(tmp_path, config, monkeypatch):
    """The two moments at which an exception would lose a verdict, or print it twice."""
    said, position = [], tmp_path / "position.json"

    def say(text):
        if len(said) == 3:
            signal.raise_signal(signal.SIGINT)
        said.append(json.loads(text)["seq"])

    def write(path, content):
        signal.raise_signal(signal.SIGINT)
        write_whole(path, content)

    monkeypatch.setattr("edge.listen.write_whole", write)
    asked = Listening(Source(config.bind, config.replay), position=position, from_start=True, timeout_s=5)
    with Outlet(tmp_path / "state", config) as outlet:
        outlet.put(10)
        outlet.settle(10)
        for count in (4, 10):
            with pytest.raises(KeyboardInterrupt):
                listen(asked, say, print)
            assert said == list(range(count))
            assert json.loads(position.read_text())["cameras"]["top"]["seq"] == count - 1


def test_a_verdict_that_could_not_be_printed_comes_again(tmp_path, config):
    said, position = [], tmp_path / "position.json"
    asked = Listening(Source(config.bind, config.replay), count=5, position=position, from_start=True)

    def say(text):
        if len(said) == 2 and not position.exists():
            raise OSError("the disk of the reader is full")
        said.append(json.loads(text)["seq"])

    with Outlet(tmp_path / "state", config) as outlet:
        outlet.put(7)
        outlet.settle(7)
        with pytest.raises(OSError, match="full"):
            listen(asked, say, print)
        listen(asked, say, print)
    assert said == list(range(7))


def test_with_a_count_an_interrupt_is_a_failure(tmp_path, config, listening):
    listener = listening("--count", "5")
    with Outlet(tmp_path, config, wait_s=20) as outlet:
        outlet.put()
        listener.stdout.readline()
        listener.send_signal(signal.SIGINT)
        _, err = listener.communicate(timeout=10)
    assert listener.returncode == 1
    assert "interrupted" in err


def test_a_position_that_is_none_is_refused(tmp_path, config, capsys):
    for text in ("", "{}", '{"version": 2, "cameras": {}}', '{"cameras": {"top": {"epoch": "e", "seq": -5}}}'):
        (tmp_path / "position").write_text(text)
        assert main(["listen", "--connect", config.bind, "--position", str(tmp_path / "position")]) == 2
        assert "delete it" in capsys.readouterr().err


def test_what_cannot_be_had_any_more_is_told_on_stderr(tmp_path, config, listening):
    with Outlet(tmp_path, config, max_verdicts=100) as outlet:
        outlet.put(300)
        outlet.settle(300)
        listener = listening("--from-start", "--count", "1")
        out, err = listener.communicate(timeout=20)
    assert listener.returncode == 0
    assert f"seq 0 to {seqs(out)[0] - 1} cannot be had any more" in err


def test_without_a_count_ctrl_c_is_how_it_ends(tmp_path, config, listening):
    listener = listening()
    with Outlet(tmp_path, config, wait_s=20) as outlet:
        outlet.put()
        assert seqs(listener.stdout.readline()) == [0]
        listener.send_signal(signal.SIGINT)
        _, err = listener.communicate(timeout=10)
    assert (listener.returncode, err) == (0, "")


def test_each_line_is_there_as_soon_as_its_verdict_came(tmp_path, config, listening):
    """A gateway reads the pipe: a line kept in a buffer would miss the gate."""
    listener = listening()
    with Outlet(tmp_path, config, wait_s=20) as outlet:
        for seq in range(3):
            outlet.put()
            assert seqs(listener.stdout.readline()) == [seq]


def test_a_reader_that_has_had_enough_ends_it_quietly(tmp_path, config, listening):
    listener = listening()
    with Outlet(tmp_path, config, wait_s=20) as outlet:
        outlet.put()
        listener.stdout.readline()
        listener.stdout.close()
        outlet.put(3)
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
        ["--connect", "tcp://127.0.0.1:5555", "--replay", "nonsense"],
        ["--connect", "tcp://127.0.0.1:5555", "--keys", "/nowhere"],
    ],
)
def test_wrong_arguments_exit_2_with_one_line(capsys, arguments):
    try:
        code = main(["listen", *arguments])
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("message", [[b"verdict/one part"], [b"verdict/top", b"\xff\xfe"], [b"heartbeat", b"{}"]])
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
