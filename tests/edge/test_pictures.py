"""Pictures over real sockets, to who subscribes and to nobody else."""

import contextlib
import threading
import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import zmq
from prometheus_client import CollectorRegistry

from edge.metrics import Metrics
from edge.pictures import HIGH_WATER, Pictures, overlay
from models.prediction import Boxes, Image, Prediction
from models.verdict import Stages, Verdict
from tests.edge.box import wait_for

LIMIT_MS = 20_000


def verdict(seq: int, camera: str = "top", threshold: float | None = 0.5) -> Verdict:
    return Verdict(
        epoch="e",
        camera=camera,
        seq=seq,
        outcome="ng",
        reason="defect",
        score=0.9,
        threshold=threshold,
        bundle=None,
        device=None,
        precision=None,
        captured_at_ns=1,
        captured_ns=1,
        stages=Stages(read_s=0, queue_s=0, infer_s=0, decode_s=0, total_s=0),
    )


def flat(grey: int, height_px: int = 48, width_px: int = 64) -> Image:
    return np.full((height_px, width_px, 3), grey, np.uint8)


def hot(value: float = 1.0, height_px: int = 48, width_px: int = 64) -> Prediction:
    """Hot in its top left quarter."""
    heat = np.zeros((6, 8), np.float32)
    heat[:3, :4] = value
    return Prediction(value, heat, height_px, width_px, 0, 0)


class Line:
    """Pictures with their thread, and subscribers."""

    def __init__(self) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        socket = self.context.socket(zmq.XPUB)
        socket.setsockopt(zmq.SNDHWM, HIGH_WATER)
        self.port = socket.bind_to_random_port("tcp://127.0.0.1")
        self.metrics = Metrics(CollectorRegistry(), ["top", "side"])
        self.pictures = Pictures(socket, self.metrics)
        self.thread = threading.Thread(target=self.pictures.run, name="pictures", daemon=True)

    def subscriber(self, *topics: str, high_water: int = 1000) -> "zmq.Socket[bytes]":
        """Connected, and known to the other end."""
        made = self.context.socket(zmq.SUB)
        made.setsockopt(zmq.RCVHWM, high_water)
        made.setsockopt(zmq.LINGER, 0)
        for topic in topics:
            made.subscribe(topic)
        made.connect(f"tcp://127.0.0.1:{self.port}")
        wait_for(lambda: all(topic in self.pictures._topics for topic in topics))
        return made

    def copies(self) -> int:
        """How many pictures were taken and still wait."""
        return len(self.pictures._newest)


@contextlib.contextmanager
def sending() -> Iterator[Line]:
    line = Line()
    line.thread.start()
    try:
        yield line
    finally:
        line.pictures.finish()
        line.thread.join(10)
        line.context.destroy(linger=0)
        assert not line.thread.is_alive()


def received(subscriber: "zmq.Socket[bytes]") -> tuple[str, Verdict, Image]:
    assert subscriber.poll(LIMIT_MS), "no picture came"
    topic, text, jpeg = subscriber.recv_multipart()
    return topic.decode(), Verdict.model_validate_json(text), cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1)


def test_a_subscriber_gets_the_verdict_and_the_picture_of_its_camera():
    with sending() as line:
        subscriber = line.subscriber("picture/top")
        line.pictures.offer(verdict(1, "side"), flat(10), None)
        line.pictures.offer(verdict(2), flat(120), hot())
        topic, said, shown = received(subscriber)
        assert (topic, said) == ("picture/top", verdict(2))
        assert shown.shape == (48, 64, 3)
        assert abs(shown.astype(int) - 120).max() <= 2
        assert not subscriber.poll(200), "neither another camera nor the heatmap"


def test_a_heatmap_is_the_picture_with_the_hot_place_coloured():
    with sending() as line:
        subscriber = line.subscriber("heatmap/top")
        line.pictures.offer(verdict(0), flat(120), hot(0.5))
        topic, _, shown = received(subscriber)
        assert topic == "heatmap/top"
        blue, _, red = (int(v) for v in shown[8, 8])
        assert red > blue + 60
        assert abs(shown[40, 56].astype(int) - 120).max() <= 4


def test_one_who_subscribes_to_everything_gets_both_of_every_camera():
    with sending() as line:
        subscriber = line.subscriber("")
        for camera in ("top", "side"):
            line.pictures.offer(verdict(0, camera), flat(120), hot())
        topics = {received(subscriber)[0] for _ in range(4)}
        assert topics == {"picture/top", "heatmap/top", "picture/side", "heatmap/side"}


def test_a_verdict_without_a_picture_a_heatmap_or_a_threshold_gives_what_there_is():
    with sending() as line:
        subscriber = line.subscriber("")
        line.pictures.offer(verdict(0), None, None)
        line.pictures.offer(verdict(1, "side"), flat(50), None)
        line.pictures.offer(verdict(2, threshold=None), flat(50), hot())
        assert [received(subscriber)[0] for _ in range(2)] == ["picture/side", "picture/top"]
        assert not subscriber.poll(200)


def test_nothing_is_copied_while_nobody_subscribes_to_that_camera():
    line = Line()
    try:
        line.pictures.offer(verdict(0), flat(1), hot())
        assert line.copies() == 0
    finally:
        line.context.destroy(linger=0)
    with sending() as line:
        line.subscriber("picture/side")
        line.pictures.offer(verdict(0), flat(1), hot())
        assert line.copies() == 0


def test_when_the_last_subscriber_leaves_nothing_is_copied_any_more():
    with sending() as line:
        one, other = line.subscriber("picture/"), line.subscriber("picture/t")
        one.close()
        line.pictures.offer(verdict(0), flat(50), None)
        assert received(other)[1].seq == 0
        other.close()
        wait_for(lambda: not line.pictures._topics)
        line.pictures.offer(verdict(1), flat(50), None)
        assert line.copies() == 0


def test_the_newest_picture_wins_and_no_camera_starves_another():
    line = Line()
    try:
        line.pictures._topics = frozenset({"picture/"})
        for seq in range(50):
            line.pictures.offer(verdict(seq), flat(50), None)
        line.pictures.offer(verdict(7, "side"), flat(50), None)
        line.pictures.offer(verdict(50), flat(50), None)
        assert line.copies() == 2
        waiting = [line.pictures._next() for _ in range(2)]
        assert [(shot.verdict.camera, shot.verdict.seq) for shot in waiting if shot] == [("side", 7), ("top", 50)]
    finally:
        line.context.destroy(linger=0)


def test_the_picture_is_a_copy_that_the_camera_may_overwrite():
    line = Line()
    subscriber = line.context.socket(zmq.SUB)
    subscriber.subscribe("picture/top")
    subscriber.connect(f"tcp://127.0.0.1:{line.port}")
    line.pictures._topics = frozenset({"picture/top"})
    image = flat(200)
    line.pictures.offer(verdict(0), image, None)
    image[:] = 0
    assert line.pictures._socket.poll(LIMIT_MS)
    line.thread.start()
    try:
        assert received(subscriber)[2].mean() == pytest.approx(200, abs=3)
    finally:
        line.pictures.finish()
        line.thread.join(10)
        line.context.destroy(linger=0)


def test_a_subscriber_that_does_not_read_misses_pictures_and_holds_up_nobody():
    noise = np.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=np.uint8)  # a JPEG of half a megabyte
    with sending() as line:
        slow, quick = line.subscriber("picture/", high_water=1), line.subscriber("picture/top")
        count = 60
        for seq in range(count):
            line.pictures.offer(verdict(seq), noise, None)
            assert received(quick)[1].seq == seq
        missed = count
        while slow.poll(500):
            slow.recv_multipart()
            missed -= 1
        assert missed >= count // 3, f"at most {HIGH_WATER} wait here, and some in the kernel"


def test_offering_is_quick_while_the_encoder_is_busy():
    large = np.random.default_rng(0).integers(0, 256, (2000, 3000, 3), dtype=np.uint8)
    with sending() as line:
        line.subscriber("")
        line.pictures.offer(verdict(0), large, hot())
        start_s = time.monotonic()
        for seq in range(1, 6):
            line.pictures.offer(verdict(seq), flat(1), None)
        assert time.monotonic() - start_s < 1


def test_a_message_that_is_no_subscription_is_counted_and_harms_nothing():
    with sending() as line:
        subscriber = line.subscriber("picture/top")
        stranger = line.context.socket(zmq.XSUB)
        stranger.connect(f"tcp://127.0.0.1:{line.port}")
        stranger.send(b"hello")
        stranger.send(b"\x01\xff\xfe")
        name, labels = "mekiki_bad_messages_total", {"socket": "pictures"}
        wait_for(lambda: line.metrics.registry.get_sample_value(name, labels) == 1)
        line.pictures.offer(verdict(3), flat(9), None)
        assert received(subscriber)[1].seq == 3


def test_a_picture_too_large_for_jpeg_is_left_out_and_the_next_one_comes():
    with sending() as line:
        subscriber = line.subscriber("picture/")
        line.pictures.offer(verdict(0), np.zeros((1, 70_000, 3), np.uint8), None)
        line.pictures.offer(verdict(1, "side"), flat(9), None)
        assert received(subscriber)[1].camera == "side"


def test_finish_ends_the_thread_and_frees_the_port():
    with sending() as line:
        port = line.port
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    again = context.socket(zmq.XPUB)
    wait_for(lambda: _binds(again, port))
    context.destroy(linger=0)


def _binds(socket: "zmq.Socket[bytes]", port: int) -> bool:
    try:
        socket.bind(f"tcp://127.0.0.1:{port}")
    except zmq.ZMQError:
        return False
    return True


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_below_half_of_the_threshold_the_overlay_is_the_picture(share):
    shown = overlay(flat(100), hot(share * 0.5), 0.5)
    assert abs(shown.astype(int) - 100).max() <= 1


def test_the_colour_turns_red_at_the_threshold_whatever_the_threshold_is():
    def colour(share: float, threshold: float) -> tuple[int, ...]:
        return tuple(int(v) for v in overlay(flat(100), hot(share * threshold), threshold)[4, 4])

    assert colour(0.8, 0.5) == colour(0.8, 40.0)
    _, green, red = colour(1.0, 0.5)
    assert red > 150 > green
    assert colour(0.7, 0.5)[1] > colour(0.7, 0.5)[2], "green below it"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_shown_as_hot(value):
    assert overlay(flat(100), hot(value), 0.5)[4, 4, 2] > 100
    assert overlay(flat(100), hot(value), 0.5)[40, 56].tolist() == [100, 100, 100]


def boxed(score: float, height_px: int = 48, width_px: int = 64) -> Prediction:
    """One box, in the lower right of the frame."""
    boxes = Boxes(np.array([[32, 24, 60, 44]], np.float32), np.array([score], np.float32), ("spot",))
    return Prediction(score, None, height_px, width_px, 0, 0, boxes)


def test_of_a_model_that_finds_boxes_the_overlay_is_the_picture_with_them_drawn():
    image = flat(100)
    shown = overlay(image, boxed(0.9), 0.5)
    assert shown[34, 60, 2] > 200, "the right edge"
    assert shown[40, 10].tolist() == [100, 100, 100]
    assert (image == 100).all(), "`picture/NAME` is sent from the same memory"


@pytest.mark.parametrize("prediction", [boxed(0.05), Prediction(0.0, None, 48, 64, 0, 0)])
def test_where_there_is_nothing_to_draw_the_overlay_is_the_picture(prediction):
    assert (overlay(flat(100), prediction, 0.5) == 100).all()


def test_who_subscribes_to_heatmaps_gets_the_boxes_under_that_topic():
    with sending() as line:
        subscriber = line.subscriber("heatmap/top")
        line.pictures.offer(verdict(0), flat(100), boxed(0.9))
        topic, said, shown = received(subscriber)
        assert (topic, said) == ("heatmap/top", verdict(0))
        assert int(shown[34, 60, 2]) > int(shown[34, 60, 0]) + 60
