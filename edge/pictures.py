"""The picture of every verdict for those who subscribe to it, on a socket of its own.

A message is three parts: the topic `picture/NAME` or `heatmap/NAME`, the verdict as JSON, a JPEG. For a model
that finds boxes, `heatmap/NAME` is the picture with its boxes drawn. Nothing is copied or encoded for a topic that
nobody subscribes to, and a subscriber that is slow misses pictures, never verdicts. `offer` is called on the
`publish` thread; `run` is the `pictures` thread's body, and only it touches the socket.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import zmq
from numpy.typing import NDArray

from edge.evidence import step_back
from edge.metrics import Metrics
from models.drawing import draw_boxes
from models.prediction import Image, Prediction
from models.verdict import Verdict

HIGH_WATER: Final = 4  # pictures waiting per subscriber
_POLL_MS = 50  # how long a new subscription goes unseen
_QUALITY = (cv2.IMWRITE_JPEG_QUALITY, 85)
_AT_THRESHOLD = 0.85  # of the colour map: where it turns red
_SHOWN_FROM, _OPAQUE = 0.5, 0.6  # of the threshold; of the colour
_MAX_LEVEL = 255.0


@dataclass(frozen=True, slots=True)
class _Shot:
    verdict: Verdict
    image: Image  # a copy of our own
    prediction: Prediction | None


class Pictures:
    """The newest picture of each camera, on its way to who wants it."""

    def __init__(self, socket: "zmq.Socket[bytes]", metrics: Metrics) -> None:
        """`socket` is an XPUB, closed by `run`. It was bound with SNDHWM = HIGH_WATER: later libzmq ignores it."""
        self._socket, self._metrics = socket, metrics
        socket.setsockopt(zmq.LINGER, 0)
        self._changed = threading.Condition()
        self._newest: dict[str, _Shot] = {}  # by camera; a newer one takes the place of one that still waits
        self._topics: frozenset[str] = frozenset()  # prefixes subscribed to; replaced, never changed
        self._over = False

    def offer(self, verdict: Verdict, image: Image | None, prediction: Prediction | None) -> None:
        """Takes a copy of the frame (uint8, BGR) if somebody subscribes to its camera. Never waits, never raises."""
        if image is None or not any(self._wanted(topic) for topic in _topics(verdict.camera)):
            return
        shot = _Shot(verdict, image.copy(), prediction)
        with self._changed:
            self._newest.pop(verdict.camera, None)  # to the end of the line: no camera starves another
            self._newest[verdict.camera] = shot
            self._changed.notify()

    def finish(self) -> None:
        """Lets `run` end; pictures that wait are dropped. Any thread."""
        with self._changed:
            self._over = True
            self._changed.notify()

    def run(self) -> None:
        """The thread's body; ends after `finish`."""
        step_back()
        try:
            while not self._over:
                self._read_subscriptions()
                shot = self._next()
                if shot is not None:
                    self._send(shot)
        finally:
            self._socket.close()

    def _wanted(self, topic: str) -> bool:
        return any(topic.startswith(prefix) for prefix in self._topics)

    def _next(self) -> _Shot | None:
        """The shot that waits longest."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest or self._over, _POLL_MS / 1000)
            if self._over or not self._newest:
                return None
            return self._newest.pop(next(iter(self._newest)))

    def _read_subscriptions(self) -> None:
        """The first subscriber of a topic is told by a 1, the last one leaving by a 0; the rest is refused."""
        while self._socket.poll(0):
            message = self._socket.recv(zmq.NOBLOCK)
            topic = message[1:].decode("utf-8", "replace")
            match message[:1]:
                case b"\x01":
                    self._topics |= {topic}
                case b"\x00":
                    self._topics -= {topic}
                case _:
                    self._metrics.bad_message("pictures")

    def _send(self, shot: _Shot) -> None:
        text = shot.verdict.model_dump_json().encode()
        for topic, picture in self._drawn(shot):
            try:
                taken, jpeg = cv2.imencode(".jpg", picture, _QUALITY)
            except cv2.error:  # more than 65,500 pixels on a side
                continue
            if taken:  # a subscriber whose queue is full misses this one
                self._socket.send_multipart([topic.encode(), text, jpeg.tobytes()], zmq.NOBLOCK)

    def _drawn(self, shot: _Shot) -> Iterator[tuple[str, Image]]:
        """Topic and picture of each that is wanted; where the model was not asked there is no heatmap."""
        plain, hot = _topics(shot.verdict.camera)
        if self._wanted(plain):
            yield plain, shot.image
        if self._wanted(hot) and shot.prediction is not None and shot.verdict.threshold is not None:
            yield hot, overlay(shot.image, shot.prediction, shot.verdict.threshold)


def _topics(camera: str) -> tuple[str, str]:
    return f"picture/{camera}", f"heatmap/{camera}"


def jpeg(image: Image, prediction: Prediction | None, ng_at_or_above: float | None) -> bytes:
    """The frame with what a model found, as JPEG; empty where it found nothing to show, or no JPEG is so large."""
    if prediction is None or ng_at_or_above is None:
        return b""
    try:
        return cv2.imencode(".jpg", overlay(image, prediction, ng_at_or_above), _QUALITY)[1].tobytes()
    except cv2.error:  # more than 65,500 pixels on a side
        return b""


def overlay(image: Image, prediction: Prediction, ng_at_or_above: float) -> Image:
    """The frame, uint8 (H, W, 3) BGR, with its heatmap laid over it or its boxes drawn; `image` stays as it is.

    The scale of heatmaps is the same in all pictures: clear below half of the threshold, red from the threshold on.
    What is no number is shown as hot.
    """
    if prediction.boxes is not None:
        shown = image.copy()
        draw_boxes(shown, prediction.boxes, ng_at_or_above)
        return shown
    return image if prediction.heatmap is None else _heated(image, prediction.heatmap, ng_at_or_above)


def _heated(image: Image, heatmap: NDArray[np.float32], ng_at_or_above: float) -> Image:
    heat = np.nan_to_num(heatmap / max(ng_at_or_above, 1e-9), nan=2.0, posinf=2.0, neginf=0.0)
    level = (np.clip(heat * _AT_THRESHOLD, 0, 1) * _MAX_LEVEL).astype(np.uint8)
    weight = np.clip((heat - _SHOWN_FROM) * 2 * _OPAQUE, 0, _OPAQUE).astype(np.float32)
    size = (image.shape[1], image.shape[0])
    colour = cv2.applyColorMap(cv2.resize(level, size, interpolation=cv2.INTER_LINEAR), cv2.COLORMAP_TURBO)
    share = cv2.resize(weight, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.blendLinear(image, colour, 1 - share, share), np.uint8)
