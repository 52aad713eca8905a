"""WATCHDOG=1 says that every stage of the pipeline moves or has nothing to do."""

import contextlib
import pkgutil
import threading
import time

import pytest

from edge.daemon import Daemon
from edge.notify import Notifier
from edge.settings import load_settings
from edge.signals import Signals
from edge.watchdog import Beat, Done, Stage, Watchdog
from tests import tiny
from tests.edge.box import wait_for
from tests.edge.manager import Manager

LIMIT_S = 0.2


@pytest.fixture
def manager(tmp_path):
    with Manager(tmp_path / "notify", watchdog_s=0.04) as made:
        yield made


class Pipeline:
    """Two stages; a look at both."""

    def __init__(self, manager: Manager) -> None:
        self.capture, self.publish = Beat(), Beat()
        stages = [Stage("capture-top", self.capture.done, LIMIT_S), Stage("publish", self.publish.done, LIMIT_S)]
        self._watchdog = Watchdog(Notifier(manager.environment), stages, lambda: "well")
        self._manager = manager

    def is_alive(self, *moving: Beat) -> bool:
        """Whether the manager hears so in the next look; these stages come round before."""
        while self._manager.hear():
            pass
        self._manager.heard.clear()
        time.sleep(0.02)  # the watchdog does not tell more often than it must
        for beat in moving:
            beat()
        self._watchdog.look()
        self._manager.hear(0.01)
        return "WATCHDOG=1" in self._manager.heard


def test_stages_that_move_are_alive(manager):
    line = Pipeline(manager)
    assert all(line.is_alive(line.capture, line.publish) for _ in range(10))


def test_one_stage_that_stands_still_is_named_and_no_longer_alive_though_the_others_move(manager, caplog):
    line = Pipeline(manager)
    wait_for(lambda: not line.is_alive(line.capture))
    assert [record.message.split(" for ")[0] for record in caplog.records] == ["stuck: publish has not moved"]
    assert any(text.startswith("STATUS=stuck: publish") for text in manager.heard)
    assert not line.is_alive(line.capture)


def test_it_is_alive_again_when_it_moves_again(manager, caplog):
    line = Pipeline(manager)
    wait_for(lambda: not line.is_alive(line.capture))
    assert line.is_alive(line.capture, line.publish)
    assert caplog.records[-1].message == "the pipeline moves again"


def test_a_stage_that_rests_until_a_known_moment_is_no_stuck_one(manager):
    line = Pipeline(manager)
    with line.capture.resting():
        time.sleep(LIMIT_S * 1.5)
        assert line.is_alive(line.publish)
    time.sleep(LIMIT_S / 2)
    assert line.is_alive(line.publish)
    wait_for(lambda: not line.is_alive(line.publish))


def test_a_lane_with_one_inference_for_too_long_is_stuck_and_one_without_any_is_not():
    done = Done(1, is_idle=True)
    stage = Stage("infer-0", lambda: done, LIMIT_S)
    time.sleep(LIMIT_S * 1.5)
    assert stage.stuck_s() is None
    done = Done(2, is_idle=False)
    assert stage.stuck_s() is None
    wait_for(lambda: stage.stuck_s() is not None)


@pytest.mark.parametrize(
    ("step", "stage"),
    [
        ("edge.capture.Capture._count", "capture-top"),
        ("edge.engine.Engine._watch_lanes", "inspect"),
        ("edge.bus.Bus.publish", "publish"),
    ],
)
def test_a_daemon_one_of_whose_threads_is_stuck_says_which_and_no_longer_that_it_is_alive(
    box, tmp_path, monkeypatch, step, stage
):
    held, stuck = threading.Event(), threading.Event()
    where, _, name = step.rpartition(".")
    original = getattr(pkgutil.resolve_name(where), name)

    def holding(*arguments, **named):
        if stuck.is_set():
            held.wait(60)
        return original(*arguments, **named)

    monkeypatch.setattr(step, holding)
    box.images("line", [tiny.OK])
    settings = load_settings(box.write_folder("line", "loop = true\nfps = 50"))
    with Manager(tmp_path / "notify", watchdog_s=1) as manager, contextlib.ExitStack() as stack:
        for variable, value in manager.environment.items():
            monkeypatch.setenv(variable, value)
        signals = Signals()
        daemon = threading.Thread(target=Daemon(settings, signals, stack).run)
        daemon.start()
        manager.wait_for("WATCHDOG=1")
        stuck.set()
        wait_for(lambda: any(line.startswith(f"STATUS=stuck: {stage} ") for line in manager.hear(0.1)))
        manager.heard.clear()
        manager.hear(0.6)
        assert "WATCHDOG=1" not in manager.heard
        held.set()
        manager.wait_for("WATCHDOG=1")
        signals.note(15, None)
        daemon.join(20)
        assert not daemon.is_alive()
