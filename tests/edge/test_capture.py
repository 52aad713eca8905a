import threading
import time

import pytest
from prometheus_client import CollectorRegistry

from edge.cameras.frame import Fault, Grab
from edge.capture import Capture
from edge.config import FolderConfig, OpenCVConfig
from edge.inbox import Inbox
from edge.metrics import Metrics
from models.errors import CameraError
from tests import tiny

LIVE = OpenCVConfig(kind="opencv", name="cam", source=0, reopen_s=0.1)
FINITE = FolderConfig(kind="folder", name="cam", path=".")


class ScriptedCamera:
    """Plays a list of grabs and errors; an error in `opens` is raised by the next `open`."""

    def __init__(self, live, script, opens=()):
        self.live, self.script, self.opens, self.closed = live, list(script), list(opens), 0

    def open(self):
        if self.opens:
            raise self.opens.pop(0)

    def read(self):
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        return step

    def frame_size_px(self):
        return None

    def close(self):
        self.closed += 1


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry(), ["cam"])


def played(camera, metrics, config):
    """Runs the loop to its end; what the inbox holds then, as (seq, reason)."""
    inbox = Inbox(["cam"])
    Capture(config, camera, inbox, metrics, threading.Event()).run()
    frames = []
    while (frame := inbox.take()) is not None:
        frames.append((frame.seq, frame.grab.fault.reason if frame.grab.fault else None))
    return frames


def value(metrics, name):
    return metrics.registry.get_sample_value(name, {"camera": "cam"})


def picture():
    return Grab.now(tiny.frame())


def test_a_finite_camera_is_read_to_its_end_and_closed(metrics):
    camera = ScriptedCamera(False, [picture(), Grab.now(None, fault=Fault("bad_frame", "torn")), picture()])
    assert played(camera, metrics, FINITE) == [(0, None), (1, "bad_frame"), (2, None)]
    assert camera.closed == 1


def test_a_pace_is_kept(metrics):
    started_s = time.monotonic()
    camera = ScriptedCamera(False, [picture()] * 4)
    assert len(played(camera, metrics, FINITE.model_copy(update={"fps": 50}))) == 4
    assert time.monotonic() - started_s >= 4 / 50


def test_a_live_camera_that_fails_gives_one_unknown_per_attempt_and_comes_back(metrics):
    gone = CameraError("camera cam: gone")
    camera = ScriptedCamera(True, [picture(), gone, picture()], opens=[gone, gone])
    started_s = time.monotonic()
    assert played(camera, metrics, LIVE) == [
        (0, None),
        (1, "camera_fault"),
        (2, "camera_fault"),
        (3, "camera_fault"),
        (4, None),
    ]
    assert time.monotonic() - started_s >= 0.3  # three pauses of reopen_s
    assert value(metrics, "mekiki_camera_faults_total") == 3
    assert camera.closed >= 3


def test_frames_of_a_live_camera_that_nobody_takes_are_replaced_and_counted(metrics):
    camera = ScriptedCamera(True, [picture() for _ in range(10)])
    assert played(camera, metrics, LIVE) == [(0, None)]
    assert value(metrics, "mekiki_frames_dropped_total") == 9


def test_the_time_of_the_last_picture_is_that_of_its_capture(metrics):
    last = picture()
    played(ScriptedCamera(True, [picture(), last]), metrics, LIVE)
    assert value(metrics, "mekiki_last_frame_timestamp_seconds") == pytest.approx(last.captured_at_ns / 1e9)


def test_a_lost_camera_is_logged_when_it_goes_and_when_it_returns_and_not_in_between(metrics, caplog):
    caplog.set_level("INFO")
    gone = CameraError("camera cam: gone")
    played(ScriptedCamera(True, [gone, picture()], opens=[gone, gone, gone]), metrics, LIVE)
    assert [record.getMessage() for record in caplog.records] == [
        "camera cam: gone; tried again every 0.1 s",
        "camera cam: delivers again",
    ]


def test_a_stop_ends_the_pause_before_the_next_attempt(metrics):
    stop, inbox = threading.Event(), Inbox(["cam"])
    config = LIVE.model_copy(update={"reopen_s": 600})
    capture = Capture(config, ScriptedCamera(True, [CameraError("gone")]), inbox, metrics, stop)
    thread = threading.Thread(target=capture.run)
    thread.start()
    assert inbox.take().grab.fault.reason == "camera_fault"
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def test_the_camera_is_closed_and_finished_though_its_code_breaks(metrics):
    camera, inbox = ScriptedCamera(False, [RuntimeError("a bug")]), Inbox(["cam"])
    with pytest.raises(RuntimeError, match="a bug"):
        Capture(FINITE, camera, inbox, metrics, threading.Event()).run()
    assert camera.closed == 1
    assert inbox.take() is None
