import gc
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from edge.cameras.frame import Checkup
from edge.cameras.messages import Measured, Picture
from edge.cameras.ring import Ring
from edge.capture import Capture
from edge.grabs import grab_of
from edge.metrics import Metrics
from models.errors import CameraError
from models.health import Health
from tests import tiny
from tests.edge.basket import SLOTS, Basket, ended, folder, opencv, running, value, write_images
from tests.edge.box import LIMIT_S, ROOT, wait_for
from tests.edge.stream import NetworkCamera


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry(), ["cam"])


def test_a_finite_camera_is_read_to_its_end_in_order(tmp_path, metrics):
    sink = Basket()
    with running(folder(write_images(tmp_path, [0, 40, 80, 120, 160, 200])), sink, metrics) as capture:
        assert not capture.live
        wait_for(ended(sink))
    assert sink.sources == [f"{i:02}.png" for i in range(6)]
    assert [int(pixels[0, 0, 0]) for pixels in sink.pixels] == [25, 40, 80, 120, 160, 200]
    assert capture.pid is None


def test_times_are_in_order_and_the_metric_is_that_of_the_capture(tmp_path, metrics):
    sink, before_ns = Basket(), time.monotonic_ns()
    with running(folder(write_images(tmp_path, [0])), sink, metrics):
        wait_for(ended(sink))
    grab = sink.grabs[0]
    assert before_ns < grab.captured_ns <= grab.ready_ns < time.monotonic_ns()
    assert abs(time.time_ns() - grab.captured_at_ns) < 60e9
    assert value(metrics, "mekiki_last_frame_timestamp_seconds") == pytest.approx(grab.captured_at_ns / 1e9)


def test_a_pace_is_kept(tmp_path, metrics):
    sink = Basket()
    with running(folder(write_images(tmp_path, [0] * 4), fps=20), sink, metrics):
        wait_for(ended(sink))
    assert sink.grabs[-1].captured_ns - sink.grabs[0].captured_ns >= 3 / 20 * 1e9


def test_a_finite_camera_waits_for_slots_and_loses_nothing(tmp_path, metrics):
    sink = Basket(hold=True)
    with running(folder(write_images(tmp_path, [10 * i for i in range(20)])), sink, metrics, slots=2):
        wait_for(lambda: len(sink.grabs) == 5)
        time.sleep(0.1)
        assert len(sink.grabs) == 5
        for i in range(20):
            wait_for(lambda i=i: len(sink.grabs) > i)
            assert (sink.grabs[i].image == sink.pixels[i]).all()  # nobody wrote to it while it was held
            sink.grabs[i].release()
        wait_for(ended(sink))
    assert sink.sources == [f"{i:02}.png" for i in range(20)]


def test_a_bad_image_is_a_fault_and_the_next_ones_follow(tmp_path, metrics):
    write_images(tmp_path, [0, 0, 0])
    (tmp_path / "01.png").write_bytes(b"torn")
    sink = Basket()
    with running(folder(tmp_path), sink, metrics):
        wait_for(ended(sink))
    assert sink.events == ["picture", "bad_frame", "picture", "finished"]
    assert "01.png" in sink.grabs[1].fault.detail


def test_pictures_of_other_sizes_come_as_they_are(tmp_path, metrics):
    for i, size in enumerate([(8, 8), (30, 7), (1000, 1100), (1, 1)]):
        tiny.write_image(tmp_path / f"{i}.png", np.full((*size, 3), i + 1, np.uint8))
    sink = Basket()
    with running(folder(tmp_path), sink, metrics):
        wait_for(ended(sink))
    assert [pixels.shape[:2] for pixels in sink.pixels] == [(8, 8), (30, 7), (1000, 1100), (1, 1)]
    assert [int(pixels.min()) for pixels in sink.pixels] == [1, 2, 3, 4]


def test_a_killed_finite_camera_goes_on_where_it_was(tmp_path, metrics):
    sink = Basket(hold=True)
    with running(folder(write_images(tmp_path, range(0, 120, 10))), sink, metrics, slots=2) as capture:
        wait_for(lambda: len(sink.grabs) == 5)  # it waits for a slot: no picture is in work
        os.kill(capture.pid, signal.SIGKILL)
        sink.hold = False
        wait_for(ended(sink))
    assert sink.sources == [f"{i:02}.png" for i in range(12)]
    assert [event for event in sink.events if event != "picture"] == ["lost", "restored", "finished"]
    assert (sink.grabs[0].image == sink.pixels[0]).all()  # a held picture outlives its process
    assert value(metrics, "mekiki_camera_faults_total") == 1


def test_a_picture_that_kills_the_process_is_one_fault_and_is_not_tried_again(tmp_path, metrics):
    write_images(tmp_path, [0, 0, 0])
    (tmp_path / "01.png").unlink()
    os.mkfifo(tmp_path / "01.png")  # reading it blocks for ever, as a driver does
    sink = Basket()
    with running(folder(tmp_path, read_timeout_s=0.3), sink, metrics):
        wait_for(ended(sink))
    assert sink.events == ["picture", "lost", "camera_fault", "restored", "picture", "finished"]
    assert "hangs in reading" in sink.detail
    assert sink.sources == ["00.png", None, "02.png"]


def test_asked_for_pictures_come_one_for_each_question(tmp_path, metrics):
    sink = Basket()
    with running(folder(write_images(tmp_path, [0] * 3), trigger="external"), sink, metrics) as capture:
        time.sleep(0.1)
        assert not sink.grabs
        for i in range(3):
            asked_ns = time.monotonic_ns()
            capture.want()
            wait_for(lambda i=i: len(sink.grabs) == i + 1)
            assert sink.grabs[i].captured_ns >= asked_ns
        wait_for(ended(sink))
    assert sink.sources == ["00.png", "01.png", "02.png"]


def test_no_slot_is_lost_over_many_faults_and_double_releases(metrics):
    sink = Basket(hold=True)
    with NetworkCamera(tiny.frame()) as camera, running(opencv(camera.url), sink, metrics, slots=2) as capture:
        for i in range(3):
            wait_for(
                lambda i=i: sink.count("restored") == i and len([g for g in sink.grabs if g.image is not None]) > i
            )
            os.kill(capture.pid, signal.SIGKILL)
            wait_for(lambda i=i: sink.count("restored") == i + 1)
        sink.hold = False
        for _ in range(2):
            for grab in list(sink.grabs):
                grab.release()
        before = len(sink.grabs)
        wait_for(lambda: len(sink.grabs) > before + 10)
        wait_for(lambda: capture._process.ring.lent <= 1)  # all but the one that is on its way


def test_a_slot_that_was_released_twice_is_not_taken_from_its_next_holder(tmp_path, metrics):
    sink = Basket(hold=True)
    with running(folder(write_images(tmp_path, [0] * 8)), sink, metrics, slots=1) as capture:
        wait_for(lambda: len(sink.grabs) == 4)
        sink.grabs[0].release()
        wait_for(lambda: len(sink.grabs) == 5)
        sink.grabs[0].release()
        time.sleep(0.1)
        assert (len(sink.grabs), capture._process.ring.lent) == (5, 4)


def test_memory_is_given_back_when_the_last_picture_is(tmp_path, metrics):
    def mapped():
        gc.collect()
        return Path("/proc/self/maps").read_text().count("mekiki-ring")

    sink = Basket(hold=True)
    before = mapped()
    with running(folder(write_images(tmp_path, [0])), sink, metrics):
        wait_for(ended(sink))
    del sink.grabs[:]
    assert mapped() <= before + 1  # `capture` may be referenced by the frame of this test


def test_a_camera_that_does_not_open_says_why_and_leaves_no_process(tmp_path, metrics):
    capture = Capture(folder(tmp_path / "none"), Basket(), metrics, threading.Event(), SLOTS)
    with pytest.raises(CameraError, match=r"camera cam: .*none: No such file or directory; correct `path`"):
        capture.open()
    assert capture.pid is None


def test_a_camera_that_hangs_while_it_opens_is_refused_in_time(metrics):
    with socket.create_server(("127.0.0.1", 0)) as server:
        config = opencv(f"http://127.0.0.1:{server.getsockname()[1]}/x", open_timeout_s=2.0, read_timeout_s=60)
        began_s = time.monotonic()
        with pytest.raises(CameraError, match=r"does not open|hangs in opening"):
            Capture(config, Basket(), metrics, threading.Event(), SLOTS).open()
        assert time.monotonic() - began_s < 5


def test_a_stop_ends_a_hung_camera_within_a_second(metrics):
    sink, stop = Basket(), threading.Event()
    with NetworkCamera(tiny.frame()) as camera:
        capture = Capture(opencv(camera.url, read_timeout_s=60), sink, metrics, stop, SLOTS)
        capture.open()
        thread = threading.Thread(target=capture.run)
        thread.start()
        wait_for(lambda: sink.count("picture"))
        os.kill(pid := capture.pid, signal.SIGSTOP)
        stop.set()
        thread.join(2)
        assert not thread.is_alive()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_stop_ends_the_pause_before_the_next_attempt(metrics):
    sink, stop = Basket(), threading.Event()
    with NetworkCamera(tiny.frame()) as camera:
        capture = Capture(opencv(camera.url, reopen_s=600), sink, metrics, stop, SLOTS)
        capture.open()
        thread = threading.Thread(target=capture.run)
        thread.start()
        os.kill(capture.pid, signal.SIGKILL)
        wait_for(lambda: sink.count("camera_fault"))
        stop.set()
        thread.join(5)
        assert not thread.is_alive()


def test_pauses_double_and_end_at_thirty_seconds(tmp_path, metrics):
    capture = Capture(folder(tmp_path, reopen_s=2), Basket(), metrics, threading.Event(), SLOTS)
    pauses = []
    for capture._attempts in (1, 2, 3, 4, 5, 6, 1000):
        pauses.append(capture._pause_s())
    assert pauses == [2, 4, 8, 16, 30, 30, 30]


def test_the_process_is_gone_when_the_daemon_is_killed(tmp_path):
    code = """
        import threading, time
        from prometheus_client import CollectorRegistry
        from edge.capture import Capture
        from edge.metrics import Metrics
        from tests.edge.basket import Basket, folder
        capture = Capture(folder({path!r}, loop=True), Basket(hold=True), Metrics(CollectorRegistry(), ["cam"]),
                          threading.Event(), 4)
        capture.open()
        threading.Thread(target=capture.run).start()
        print(capture.pid, flush=True)
        time.sleep(60)
    """
    text = textwrap.dedent(code.format(path=str(write_images(tmp_path, [0]))))
    parent = subprocess.Popen([sys.executable, "-c", text], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        pid = int(parent.stdout.readline())
        assert is_running(pid)
    finally:
        parent.kill()
        parent.communicate(timeout=LIMIT_S)
    wait_for(lambda: not is_running(pid))


def is_running(pid):
    """A zombie that init has not collected yet runs no more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_password_is_not_among_the_arguments_of_the_process(metrics):
    sink = Basket()
    with NetworkCamera(tiny.frame()) as camera:
        url = camera.url.replace("http://", "http://user:secret@")
        with running(opencv(url), sink, metrics) as capture:
            arguments = Path(f"/proc/{capture.pid}/cmdline").read_bytes()
    assert b"edge.cameras.child" in arguments
    assert b"secret" not in arguments


@pytest.mark.parametrize(("slot", "side"), [(99, 8), (-1, 8), (0, 0), (0, 100_000)])
def test_a_process_that_names_memory_that_is_not_there_is_not_believed(tmp_path, metrics, slot, side):
    capture = Capture(folder(write_images(tmp_path, [0])), Basket(), metrics, threading.Event(), SLOTS)
    capture.open()
    said = Picture(slot=slot, height_px=side, width_px=side, captured_ns=1, captured_at_ns=1, ready_ns=1)
    with pytest.raises(CameraError, match=f"slot {slot} of"):
        grab_of(capture._process, said, capture.config, live=False)
    capture.close()
    capture.close()


def test_a_video_file_is_paced_by_nobody_and_decoded_whole(tmp_path, metrics):
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (tiny.SIDE_PX, tiny.SIDE_PX))
    for i in range(7):
        writer.write(tiny.frame(30 * i + 30))
    writer.release()
    sink = Basket()
    with running(opencv(path), sink, metrics):
        wait_for(ended(sink))
    corners = [int(pixels[5, 5, 0]) for pixels in sink.pixels]
    assert corners == pytest.approx([30, 60, 90, 120, 150, 180, 210], abs=4)


def test_a_capture_that_is_closed_ends_without_a_fault(tmp_path, metrics):
    sink = Basket()
    with running(folder(write_images(tmp_path, [0]), loop=True), sink, metrics) as capture:
        wait_for(lambda: sink.count("picture"))
        capture.close()
        wait_for(ended(sink))
        capture.want()
        capture.wanted_from(1)
    assert set(sink.events) == {"picture", "finished"}
    assert value(metrics, "mekiki_camera_faults_total") == 0


def test_what_the_process_measures_comes_with_the_picture(tmp_path, metrics):
    sink = Basket()
    with running(folder(write_images(tmp_path, [0, 200]), health=True), sink, metrics):
        wait_for(ended(sink))
    assert sink.grabs[0].checkup.health.brightness == pytest.approx(25, abs=1)
    assert sink.grabs[1].checkup.health.brightness > 40


class Script:
    """A camera's process that says this, with the memory of a real one; the stop comes with the last word."""

    def __init__(self, stop, *words):
        self.ring, memory = Ring.create(SLOTS)
        os.close(memory)
        self._stop, self._words = stop, list(words)

    def receive(self, limit_s):
        word = self._words.pop(0) if self._words else None
        if not isinstance(word, Measured) and (not self._words or isinstance(self._words[0], Measured)):
            self._stop.set()
        return word

    def wake(self):
        pass

    def close(self, grace_s=0):
        pass


HEALTH = Health(1.0, 0.5, 0.5, 0.1, 0.5, 0.5, 0.2)


def run_script(metrics, sink, *words):
    stop = threading.Event()
    capture = Capture(folder("/nowhere"), sink, metrics, stop, SLOTS)
    capture._process = Script(stop, *words)
    capture.run()


def measured_picture(slot=0):
    stamps = {"captured_ns": 1, "captured_at_ns": 1, "ready_ns": 1}
    return Picture(slot=slot, height_px=8, width_px=8, is_measured=True, **stamps)


@pytest.mark.parametrize(("words", "health"), [([Measured(HEALTH)], HEALTH), ([], None)])
def test_a_stop_between_a_picture_and_its_health_leaves_no_checkup_open(metrics, words, health):
    sink = Basket()
    run_script(metrics, sink, measured_picture(), *words)
    assert [event for event in sink.events if event != "restored"] == ["picture", "measured", "finished"]
    assert sink.grabs[0].checkup == Checkup(health, is_done=True)


def test_a_picture_whose_health_was_left_out_does_not_wait_for_it(metrics):
    sink = Basket()
    sink.measured = lambda _, grab: sink.events.append([grab is known for known in sink.grabs].index(True))
    run_script(metrics, sink, measured_picture(), measured_picture(1), Measured(HEALTH))
    assert [event for event in sink.events if event != "restored"] == ["picture", 0, "picture", 1, "finished"]
    assert [grab.checkup.health for grab in sink.grabs] == [None, HEALTH]


def test_a_stop_while_a_part_waits_for_its_health_is_told_before_the_end(tmp_path, metrics):
    """With the real process: whether it measured in time or not."""
    stop, sink = threading.Event(), Basket()
    capture = Capture(folder(write_images(tmp_path, [0] * 9), health=True, fps=5), sink, metrics, stop, SLOTS)
    keep, sink.arrived = sink.arrived, lambda camera, grab: (stop.set(), keep(camera, grab))
    capture.open()
    capture.run()
    assert sink.events == ["picture", "measured", "finished"]
    assert sink.grabs[0].checkup.is_done


def test_a_process_that_dies_between_a_picture_and_its_health_leaves_no_second_part(tmp_path, metrics, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'edge.cameras.child' in ' '.join(sys.orig_argv):\n"
        "    import models.measure\n"
        "    models.measure.measure = lambda image: os._exit(9)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    sink = Basket()
    with running(folder(write_images(tmp_path / "line", [0] * 2), health=True), sink, metrics):
        wait_for(ended(sink))
    once = ["picture", "measured", "lost"]
    assert [event for event in sink.events if event != "restored"] == [*once, *once, "finished"]
    assert sink.sources == ["00.png", "01.png"]


def test_a_stop_ends_a_camera_that_hangs_while_it_opens(metrics):
    with socket.create_server(("127.0.0.1", 0)) as server:
        config = opencv(f"http://127.0.0.1:{server.getsockname()[1]}/x", open_timeout_s=60, read_timeout_s=60)
        capture = Capture(config, Basket(), metrics, threading.Event(), SLOTS)
        began_s = time.monotonic()
        with pytest.raises(CameraError, match="camera cam: stopped while it opened"):
            capture.open(lambda: time.monotonic() > began_s + 0.2)
        assert time.monotonic() - began_s < 2
    assert capture.pid is None


def test_the_process_of_a_camera_imports_neither_the_model_nor_the_bus():
    modules = "edge.cameras.child, edge.cameras.gated, edge.cameras.opencv, edge.cameras.folder"
    code = f"import {modules}, sys; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"openvino", "zmq", "torch", "prometheus_client", "multiprocessing"} & set(out.split())
