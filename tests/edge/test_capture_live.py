import os
import signal
import time

import cv2
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from edge.cameras.ring import Field
from edge.metrics import Metrics
from tests import tiny
from tests.edge.basket import Basket, ended, opencv, running, streaming, value
from tests.edge.box import wait_for
from tests.edge.stream import NetworkCamera


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry(), ["cam"])


def test_a_killed_camera_is_one_unknown_and_comes_back(metrics):
    sink = Basket()
    with NetworkCamera(tiny.frame()) as camera, running(opencv(camera.url), sink, metrics) as capture:
        wait_for(lambda: sink.count("picture") > 2)
        assert value(metrics, "mekiki_camera_up") == 1
        first = capture.pid
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: sink.after("restored").count("picture") > 2)
        assert capture.pid != first
    assert [event for event in sink.events if event != "picture"] == ["lost", "camera_fault", "restored", "finished"]
    assert "its process died (SIGKILL)" in sink.detail
    assert value(metrics, "mekiki_camera_faults_total") == 1
    assert value(metrics, "mekiki_camera_up") == 1


@pytest.mark.parametrize("how", ["stopped process", "silent camera"])
def test_a_hung_camera_is_replaced_within_its_timeout(metrics, how):
    sink = Basket()
    with NetworkCamera(tiny.frame()) as camera, running(opencv(camera.url), sink, metrics) as capture:
        wait_for(lambda: sink.count("picture") > 2)
        began_s = time.monotonic()
        if how == "silent camera":
            camera.hung = True
        else:
            os.kill(capture.pid, signal.SIGSTOP)
        wait_for(lambda: sink.count("lost"))
        assert 0.8 <= time.monotonic() - began_s < 3  # read_timeout_s is 1
        assert value(metrics, "mekiki_camera_up") == 0
        camera.hung = False
        wait_for(lambda: sink.after("restored").count("picture") > 2)


def test_a_stream_that_ends_gives_one_unknown_per_attempt_and_comes_back(metrics, caplog):
    caplog.set_level("INFO")
    sink = Basket()
    with NetworkCamera(tiny.frame()) as camera, running(opencv(camera.url), sink, metrics):
        wait_for(lambda: sink.count("picture"))
        camera.on = False
        wait_for(lambda: sink.count("camera_fault") == 2)
        camera.on = True
        wait_for(lambda: sink.after("restored").count("picture"))
    assert sink.count("lost") == sink.count("restored") == 1
    assert sink.count("camera_fault") == value(metrics, "mekiki_camera_faults_total")
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert messages[0].endswith("tried again after 0.1 s")
    assert messages[1] == "camera cam: delivers again"


def test_a_camera_that_repeats_one_picture_is_stale_then_lost_and_not_taken_for_new(metrics):
    sink = Basket()
    config = opencv("", read_timeout_s=0.5, max_repeats=2)
    with (
        NetworkCamera(tiny.frame()) as camera,
        running(config.model_copy(update={"source": camera.url}), sink, metrics),
    ):
        wait_for(lambda: sink.count("picture") > 2)
        camera.still = True
        wait_for(lambda: sink.count("lost"))
        seen = sink.count("picture")
        wait_for(lambda: sink.count("camera_fault") > 1)
        assert "still gives the same picture" in sink.grabs[-1].fault.detail
        assert sink.count("picture") == seen  # the frozen picture did not pass in a new process
        camera.still = False
        wait_for(lambda: sink.count("restored"))
    assert sink.count("stale_frame") > 1
    assert all(grab.image is None for grab in sink.grabs if grab.fault)


def test_repeats_are_not_asked_where_the_settings_say_so(metrics):
    sink = Basket()
    with (
        NetworkCamera(tiny.frame(), still=True) as camera,
        running(opencv(camera.url, max_repeats=0, read_timeout_s=0.5), sink, metrics),
    ):
        wait_for(lambda: sink.count("picture") > 40)  # longer than read_timeout_s
    assert set(sink.events) == {"picture", "finished"}
    assert sink.grabs[-1].repeats > 30


def test_a_picture_that_was_asked_for_is_captured_after_the_question(metrics):
    sink = Basket()
    with (
        NetworkCamera(tiny.frame(), fps=20) as camera,
        running(opencv(camera.url, trigger="external"), sink, metrics) as capture,
    ):
        for i in range(4):
            time.sleep(0.03 * i)
            asked_ns = time.monotonic_ns()
            capture.want()
            wait_for(lambda i=i: len(sink.grabs) == i + 1)
            assert sink.grabs[i].captured_ns > asked_ns
        assert sink.events == ["picture"] * 4
        capture.want()
        capture.want()
        wait_for(lambda: len(sink.grabs) == 6)
    assert sink.grabs[4].captured_ns < sink.grabs[5].captured_ns
    assert value(metrics, "mekiki_frames_dropped_total", how="undecoded") > 0


def test_one_picture_does_not_judge_two_parts(metrics):
    sink = Basket()
    with (
        NetworkCamera(tiny.frame(), still=True) as camera,
        running(opencv(camera.url, trigger="external", read_timeout_s=30), sink, metrics) as capture,
    ):
        for i in range(2):
            capture.want()
            wait_for(lambda i=i: len(sink.grabs) == i + 1)
    assert sink.events == ["picture", "stale_frame", "finished"]


def test_a_lost_camera_that_is_asked_says_that_nothing_comes_and_answers_again_later(metrics):
    sink = Basket()
    with (
        NetworkCamera(tiny.frame()) as camera,
        running(opencv(camera.url, trigger="external"), sink, metrics) as capture,
    ):
        os.kill(capture.pid, signal.SIGKILL)
        wait_for(lambda: sink.count("restored"))
        assert not sink.grabs
        capture.want()
        wait_for(lambda: sink.count("picture"))
    assert sink.events == ["lost", "restored", "picture", "finished"]


def test_pictures_that_nobody_needs_yet_are_not_decoded(metrics):
    sink = Basket()
    with NetworkCamera(tiny.frame()) as camera, running(opencv(camera.url), sink, metrics) as capture:
        wait_for(lambda: sink.count("picture") > 5)
        from_ns = time.monotonic_ns() + 500_000_000
        capture.wanted_from(from_ns)
        time.sleep(0.1)
        before = sink.count("picture")
        wait_for(lambda: sink.count("picture") > before)
        assert sink.grabs[before].captured_ns > from_ns - 250_000_000
        assert value(metrics, "mekiki_frames_dropped_total", how="undecoded") > 3


def test_a_live_camera_does_not_wait_for_slots(metrics):
    sink = Basket(hold=True)
    with NetworkCamera(tiny.frame()) as camera, running(opencv(camera.url), sink, metrics, slots=2):
        wait_for(lambda: value(metrics, "mekiki_frames_dropped_total", how="undecoded") > 5)
        held = len(sink.grabs)
        assert 2 <= held <= 5
        sink.hold = False
        for grab in sink.grabs[:held]:
            grab.release()
        wait_for(lambda: len(sink.grabs) > held + 5)
    assert sink.count("lost") == 0


def test_a_stream_that_changes_its_size_goes_on(metrics):
    sink = Basket()
    with NetworkCamera(tiny.frame()) as camera, running(opencv(camera.url), sink, metrics):
        wait_for(lambda: sink.count("picture") > 1)
        camera.image = tiny.frame(height_px=96, width_px=128)
        wait_for(lambda: sink.pixels[-1] is not None and sink.pixels[-1].shape in {(96, 128, 3), (64, 64, 3)})
        wait_for(lambda: sink.count("picture") > 10)
    assert sink.count("lost") <= 1


def belt_video(path, n_parts):
    """Parts that pass one after the other; each is as bright as its number says."""
    random, width = np.random.default_rng(0), 160
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (width, 120))
    for shift in range(-35 * 8, n_parts * 300, 8):
        image = random.integers(80, 86, (120, width, 3), np.uint8)
        for k in range(n_parts):
            left = shift - 30 - k * 300
            image[30:90, max(0, left) : max(0, left + 30)] = 130 + 30 * k
        writer.write(image)
    writer.release()
    return path


def test_a_video_whose_pictures_trigger_gives_one_picture_for_every_part(tmp_path, metrics):
    sink = Basket()
    with running(opencv(belt_video(tmp_path / "a.avi", 3), trigger="presence"), sink, metrics):
        wait_for(ended(sink))
    assert [int(pixels[60, 80, 0]) for pixels in sink.pixels] == pytest.approx([130, 160, 190], abs=6)


def test_a_live_camera_whose_pictures_trigger_sends_nothing_but_parts(metrics):
    sink = Basket()
    with streaming(sink, metrics, {"trigger": "presence"}, fps=100) as (camera, capture):
        wait_for(lambda: capture._process.ring[Field.DONE] > 40)
        assert sink.events == []
        for _ in range(2):
            for left in (*range(0, 48, 4), -1):
                camera.image = tiny.frame()
                if left >= 0:
                    camera.image[20:44, left : left + 16] = 150
                sent = camera.sent
                wait_for(lambda sent=sent: camera.sent > sent + 1)
        wait_for(lambda: sink.count("picture") == 2)
        os.kill(capture.pid, signal.SIGKILL)
        wait_for(lambda: sink.count("restored"))
    assert sink.events == ["picture", "picture", "lost", "camera_fault", "restored", "finished"]
