"""What happens when a thread dies or hangs: the daemon stops and names it."""

import contextlib
import threading

import pytest

import edge.daemon
from edge.cameras.frame import Grab
from edge.daemon import Daemon, Signals, run_daemon
from edge.settings import load_settings
from edge.worker import Worker, died
from models.errors import MekikiError
from tests import tiny
from tests.edge.box import Subscriber


@pytest.fixture
def settings(box):
    box.images("line", [tiny.OK, tiny.NG])
    return load_settings(box.write_folder("line", "loop = true\nfps = 200"))


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


def test_a_dead_capture_thread_stops_the_daemon_and_is_named(settings, monkeypatch):
    def broken(_):
        raise RuntimeError("a bug")

    monkeypatch.setattr("edge.cameras.folder.FolderCamera.read", broken)
    with pytest.raises(MekikiError, match=r"thread capture-top died \(RuntimeError: a bug\); stopped"):
        run_daemon(settings)


def test_a_dead_inspect_thread_stops_the_daemon_though_a_camera_waits_for_it(settings, monkeypatch):
    def broken(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr("edge.inspector.Inspector.inspect", broken)
    with pytest.raises(MekikiError, match=r"thread inspect died \(RuntimeError: a bug\)"):
        run_daemon(settings)
    assert not [thread for thread in threading.enumerate() if thread.name == "capture-top"]


def test_a_camera_that_hangs_is_named_and_what_it_gave_before_is_published(box, settings, monkeypatch):
    hang, grabs = threading.Event(), iter([Grab.now(tiny.frame(tiny.NG))])

    def hanging(_):
        if (grab := next(grabs, None)) is None:
            hang.wait(30)
        return grab

    monkeypatch.setattr("edge.cameras.folder.FolderCamera.read", hanging)
    monkeypatch.setattr(edge.daemon, "_CAPTURES_S", 0.2)
    signals = Signals()
    with Subscriber(box.address) as subscriber, contextlib.ExitStack() as stack:
        daemon = Daemon(settings.model_copy(update={"bus": _patient(settings)}), signals, stack)
        stopper = threading.Timer(0.5, signals.note, (15, None))
        stopper.start()
        with pytest.raises(MekikiError, match="thread capture-top did not end in time"):
            daemon.run()
        assert subscriber.next(1)["outcome"] == "ng"
    hang.set()


def test_a_signal_before_the_threads_start_closes_the_cameras_and_starts_none(settings, monkeypatch):
    closed = []

    def close(camera):
        closed.append(camera)

    monkeypatch.setattr("edge.cameras.folder.FolderCamera.close", close)
    signals = Signals()
    signals.note(15, None)
    with contextlib.ExitStack() as stack:
        Daemon(settings, signals, stack).run()
    assert len(closed) == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "inspect"]


def test_verdicts_that_do_not_fit_the_bus_are_counted_and_logged_once(settings, monkeypatch, caplog):
    monkeypatch.setattr("edge.bus.Bus.publish", lambda *_: False)
    signals = Signals()
    with contextlib.ExitStack() as stack:
        daemon = Daemon(settings, signals, stack)
        threading.Timer(0.5, signals.note, (15, None)).start()
        daemon.run()
        assert daemon.metrics.registry.get_sample_value("mekiki_bus_dropped_total") > 5
    assert caplog.text.count("a subscriber reads too slowly") == 1


def _patient(settings):
    return settings.bus.model_copy(update={"wait_for_subscriber_s": 10})
