"""What OpenCV can open: devices, network streams, video files. Read on its capture thread."""

import dataclasses
import os
from typing import cast

import cv2

from edge.cameras.frame import Fault, Grab
from edge.config import OpenCVConfig
from models.errors import CameraError
from models.prediction import Image

_ADVICE = {
    "device": "check the cable, `source` and that no other program holds it",
    "stream": "check the address, the network and the password",
    "file": "correct `source` in the settings",
}


class OpenCVCamera:
    """One cv2.VideoCapture."""

    def __init__(self, config: OpenCVConfig) -> None:
        self.live = config.origin != "file"
        self._config = config
        self._capture: cv2.VideoCapture | None = None
        self._first: Grab | None = None  # of a file: read by `open` to see that there is a picture
        _quiet()

    def open(self) -> None:
        """Opens the source, and reads the first picture of a file. Raises CameraError."""
        self.close()
        self._capture = self._opened()
        if not self._capture.isOpened():
            self.close()
            raise CameraError(self._said("does not open"))
        if not self.live:
            self._first = self._grabbed()
            if self._first is None:
                self.close()
                raise CameraError(self._said("no picture in it"))

    def read(self) -> Grab | None:
        """The next picture; None at the end of a file. Raises CameraError when a live source fails."""
        if self._first is not None:
            first, self._first = self._first, None
            return dataclasses.replace(Grab.now(first.image), fault=first.fault)
        grab = self._grabbed()
        if grab is None and self.live:
            raise CameraError(self._said("gives no picture"))
        return grab

    def frame_size_px(self) -> tuple[int, int] | None:
        """What OpenCV says of the source."""
        if self._capture is None:
            return None
        height, width = (int(self._capture.get(p)) for p in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH))
        return (height, width) if height > 0 and width > 0 else None

    def close(self) -> None:
        """Lets the device go."""
        if self._capture is not None:
            self._capture.release()
        self._capture, self._first = None, None

    def _opened(self) -> cv2.VideoCapture:
        source, origin = self._config.source, self._config.origin
        if origin == "stream":
            limit_ms = int(self._config.read_timeout_s * 1000)
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit_ms]
            return cv2.VideoCapture(str(source), cv2.CAP_FFMPEG, limits)
        if origin == "file":
            return cv2.VideoCapture(str(source))
        if isinstance(source, int) or source.isdigit():
            capture = cv2.VideoCapture(int(source))
        else:  # without a back-end named, FFmpeg would try to read the device as a file
            capture = cv2.VideoCapture(source, cv2.CAP_V4L2)
        self._ask(capture)
        return capture

    def _ask(self, capture: cv2.VideoCapture) -> None:
        wanted = {
            cv2.CAP_PROP_FRAME_WIDTH: self._config.width_px,
            cv2.CAP_PROP_FRAME_HEIGHT: self._config.height_px,
            cv2.CAP_PROP_FPS: self._config.fps,
        }
        for name, value in wanted.items():
            if value is not None:
                capture.set(name, value)

    def _grabbed(self) -> Grab | None:
        """Time is taken between the grab and the decoding, which may be long."""
        if self._capture is None or not self._capture.grab():
            return None
        stamp = Grab.now(None)
        taken, image = self._capture.retrieve()
        if not taken:
            return dataclasses.replace(stamp, fault=Fault("bad_frame", self._said("a picture that cannot be decoded")))
        return dataclasses.replace(stamp, image=cast(Image, image))

    def _said(self, what: str) -> str:
        return f"camera {self._config.name}: {self._config.shown}: {what}; {_ADVICE[self._config.origin]}"


def _quiet() -> None:
    """OpenCV and FFmpeg write their own lines to stderr; what matters comes as our errors."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
