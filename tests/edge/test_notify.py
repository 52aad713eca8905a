"""What the service manager hears, from the real daemon too."""

import os
import signal

import pytest

from edge.notify import Notifier
from tests import tiny
from tests.edge.box import Subscriber, children, wait_for
from tests.edge.manager import Manager, own_watchdog

LOOP = "loop = true\nfps = 50"


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    address = tmp_path / "notify" if request.param == "path" else f"@mekiki-test-{os.getpid()}"
    with Manager(address, watchdog_s=2) as made:
        yield made


def test_messages_reach_a_socket_by_path_and_by_abstract_name(manager):
    notifier = Notifier(manager.environment)
    notifier.ready("two cameras\nand more")
    assert manager.hear(5) == ["READY=1", "STATUS=two cameras and more"]
    notifier.reloading()
    first, second = manager.hear(5)
    assert first == "RELOADING=1"
    assert second.removeprefix("MONOTONIC_USEC=").isdecimal()


def test_without_a_manager_nothing_is_sent_and_no_watchdog_wanted():
    notifier = Notifier({"WATCHDOG_USEC": "2000000"})
    notifier.alive("well")
    assert notifier.watchdog_s is None


def test_a_watchdog_that_is_another_process_s_is_not_ours():
    assert Notifier({"NOTIFY_SOCKET": "/x"} | own_watchdog(3)).watchdog_s == 3
    assert Notifier({"NOTIFY_SOCKET": "/x"} | own_watchdog(3) | {"WATCHDOG_PID": "1"}).watchdog_s is None


def test_a_manager_that_is_gone_is_complained_of_once(tmp_path, caplog):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    notifier.alive("well")
    notifier.alive("well")
    assert len(caplog.records) == 1


def test_the_daemon_is_ready_after_its_model_and_cameras_then_alive_then_stopping(box, tmp_path):
    box.images("line", [tiny.OK])
    box.write_folder("line", LOOP)
    with Manager(tmp_path / "notify", watchdog_s=2) as manager, box.daemon(**manager.environment) as process:
        ready = manager.wait_for("READY=1")
        assert box.answers()
        assert "1 of 1 cameras deliver" in ready[1]
        manager.wait_for("WATCHDOG=1")
        manager.wait_for("WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        manager.wait_for("STOPPING=1")
        assert process.wait(10) == 0
    assert manager.heard.count("READY=1") == 1


def test_a_start_that_fails_was_never_ready(box, tmp_path):
    box.bundle = tiny.make_bundle(box.folder / "wrong.bundle", golden_error=0.2)
    box.images("line", [tiny.OK])
    box.write_folder("line", LOOP)
    with Manager(tmp_path / "notify") as manager, box.daemon(**manager.environment) as process:
        assert process.wait(30) == 1
        while manager.hear(0.1):
            pass
    assert "READY=1" not in manager.heard


def test_a_wait_for_a_subscriber_asks_for_more_time_to_start(box, tmp_path):
    box.images("line", [tiny.OK])
    box.write_folder("line", LOOP, bus="wait_for_subscriber_s = 600")
    with Manager(tmp_path / "notify") as manager, box.daemon(**manager.environment):
        manager.wait_for("EXTEND_TIMEOUT_USEC=10000000")
        assert "READY=1" not in manager.heard
        with Subscriber(box.address):
            manager.wait_for("READY=1")


def test_a_camera_s_process_that_freezes_is_replaced_and_the_daemon_is_alive_all_the_while(box, tmp_path):
    box.images("line", [tiny.OK])
    box.write_folder("line", f"{LOOP}\nread_timeout_s = 0.5\nreopen_s = 0.1")
    with Manager(tmp_path / "notify", watchdog_s=2) as manager, box.daemon(**manager.environment) as process:
        manager.wait_for("READY=1")
        (camera,) = children(process.pid)
        os.kill(camera, signal.SIGSTOP)
        wait_for(lambda: camera not in children(process.pid) and children(process.pid))
        manager.heard.clear()
        manager.wait_for("WATCHDOG=1")
        assert not [line for line in manager.heard if line.startswith("STATUS=stuck")]
