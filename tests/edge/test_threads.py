"""What happens when a thread dies or hangs: the daemon stops and names it."""

import contextlib
import os
import threading
import time

import pytest

import edge.daemon
from edge.cameras.frame import Grab
from edge.daemon import Daemon, run_daemon
from edge.settings import load_settings
from edge.signals import Signals
from edge.startup import StoppedError
from edge.worker import HangError, Worker, died
from models.errors import MekikiError
from tests import tiny
from tests.edge.box import Subscriber, children

EVERY = {"capture-top", "inspect", "infer-0", "publish", "replay", "journal", "evidence", "metrics"}


@pytest.fixture
def settings(box):
    box.images("line", [tiny.OK, tiny.NG])
    return load_settings(box.write_folder("line", "loop = true\nfps = 200"))


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def threads_once(wanted: set[str]) -> set[str]:
    """The threads as soon as the wanted ones are among them, or after five seconds."""
    until_s = time.monotonic() + 5
    while not (now := threads()) >= wanted and time.monotonic() < until_s:
        time.sleep(0.01)
    return now


def broken(*_, **__):
    raise RuntimeError("a bug")


def test_a_worker_keeps_its_exception_and_says_that_it_ended():
    ended = threading.Event()
    worker = Worker("inspect", lambda: 1 / 0, ended)
    worker.start()
    assert ended.wait(5)
    worker.join(5)
    assert isinstance(worker.error, ZeroDivisionError)
    assert died([worker]) is worker


def test_a_worker_that_did_its_work_did_not_die():
    worker = Worker("inspect", lambda: None, threading.Event())
    worker.start()
    worker.join(5)
    assert died([worker]) is None


@pytest.mark.parametrize(
    ("step", "name"),
    [
        ("edge.capture.Capture._arrived", "capture-top"),
        ("edge.engine.Engine._watch_lanes", "inspect"),
        ("edge.inspector.Inspector.judged", "infer-0"),
        ("edge.lane._result", "infer-0"),
        ("edge.bus.Bus.publish", "publish"),
        ("edge.replay.Replay.run", "replay"),
    ],
)
def test_a_dead_thread_stops_the_daemon_and_is_named(settings, monkeypatch, step, name):
    monkeypatch.setattr(step, broken)
    before = set(children(os.getpid()))
    with pytest.raises(MekikiError, match=rf"thread {name} died \(RuntimeError: a bug\); stopped"):
        run_daemon(settings)
    assert not threads() & {"capture-top", "inspect", "infer-0", "publish", "replay", "journal", "evidence"}
    assert set(children(os.getpid())) <= before


def test_a_capture_that_does_not_end_is_named_and_what_it_gave_before_is_published(box, settings, monkeypatch):
    hang = threading.Event()

    def hanging(capture):
        capture._sink.arrived("top", Grab.now(tiny.frame(tiny.NG)))
        hang.wait(30)

    monkeypatch.setattr("edge.capture.Capture.run", hanging)
    monkeypatch.setattr(edge.daemon, "_CAPTURES_S", 0.2)
    signals = Signals()
    with Subscriber(box.address) as subscriber, contextlib.ExitStack() as stack:
        daemon = Daemon(settings.model_copy(update={"bus": _patient(settings)}), signals, stack)
        runner = threading.Thread(target=lambda: errors.append(_error_of(daemon)))
        errors: list[Exception | None] = []
        runner.start()
        assert subscriber.next()["outcome"] == "ng"
        signals.note(15, None)
        runner.join(20)
    hang.set()
    (error,) = errors
    assert isinstance(error, HangError)
    assert "thread capture-top did not end in time" in str(error)


def test_a_signal_while_the_cameras_open_ends_the_start_and_leaves_no_process(settings):
    before, signals = set(children(os.getpid())), Signals()
    signals.note(15, None)
    with contextlib.ExitStack() as stack, pytest.raises(StoppedError):
        Daemon(settings, signals, stack)
    assert set(children(os.getpid())) <= before


def test_a_signal_before_the_threads_start_ends_the_cameras_and_starts_none(settings):
    before, signals = set(children(os.getpid())), Signals()
    with contextlib.ExitStack() as stack:
        daemon = Daemon(settings, signals, stack)
        assert set(children(os.getpid())) > before
        signals.note(15, None)
        daemon.run()
        assert "inspect" not in threads()
    assert set(children(os.getpid())) <= before


def test_the_threads_have_the_names_that_the_log_shows(box, settings):
    signals = Signals()
    with Subscriber(box.address) as subscriber, contextlib.ExitStack() as stack:
        daemon = Daemon(settings.model_copy(update={"bus": _patient(settings)}), signals, stack)
        runner = threading.Thread(target=daemon.run)
        runner.start()
        subscriber.next()
        names = threads_once(EVERY)  # a verdict may come before the last of them has started
        signals.note(15, None)
        runner.join(20)
    assert names >= EVERY
    assert not threads() & EVERY


def _error_of(daemon: Daemon) -> Exception | None:
    try:
        daemon.run()
    except MekikiError as error:
        return error
    return None


def _patient(settings):
    return settings.bus.model_copy(update={"wait_for_subscriber_s": 10})
