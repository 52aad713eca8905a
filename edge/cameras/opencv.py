"""What OpenCV can open: devices, network streams, video files. Runs in the camera's own process."""

import os
import time
from collections.abc import Callable, Mapping
from urllib.parse import quote

import cv2
import numpy as np

from edge.camera_config import OpenCVConfig
from edge.cameras import Buffer
from edge.cameras.ring import SIDE_PX, is_size
from edge.credentials import read_login
from models.errors import CameraError, ConfigError, DatasetError
from models.prediction import Image

_ADVICE = {
    "device": "check the cable, `source` and that no other program holds it",
    "stream": "check the address, the network and the password",
    "file": "correct `source` in the settings",
}
_NEAR = 0.01  # relative: 30 fps is reported as 29.97
_MANUAL = 1.0  # V4L2_EXPOSURE_MANUAL
_STAMP_MAX_AGE_NS = 10**10
Setting = float | str


class OpenCVCamera:
    """One cv2.VideoCapture."""

    source: str | None = None

    def __init__(self, config: OpenCVConfig) -> None:
        self.live = config.origin != "file"
        self.ended = False
        self.stamp_ns: int | None = None
        self._config = config
        self._capture: cv2.VideoCapture | None = None
        self._size_px: tuple[int, int] | None = None
        self._ahead = False  # the first picture of a file was grabbed by `open`, to see that there is one
        _quiet()

    def open(self, beat: Callable[[], None]) -> None:
        """Opens the source, sets it and reads back what it took. Raises CameraError."""
        self.close()
        self._capture = self._opened()
        beat()
        if not self._capture.isOpened():
            self.close()
            raise CameraError(self._said("does not open"))
        if complaint := differing(self._wanted(), self._reported()):
            self.close()
            raise CameraError(f"camera {self._config.name}: {self._config.shown}: {complaint}")
        self._size_px = self.frame_size_px()
        if not self.live:
            if not self._capture.grab():
                self.close()
                raise CameraError(self._said("no picture in it"))
            self._ahead = True

    home = 0  # no picture comes twice

    def skip(self, count: int) -> None:
        """Passes over the first pictures of a file without decoding them where the format allows it."""
        if count and self._capture is not None:
            self._ahead = False
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, count)
            for _ in range(max(0, count - int(self._capture.get(cv2.CAP_PROP_POS_FRAMES)))):
                self._capture.grab()

    def grab(self) -> bool:
        """The next picture; False at the end of a file. Raises CameraError when a live source gives none."""
        if self._capture is None:
            raise CameraError(self._said("is not open"))
        taken, self._ahead = self._ahead or self._capture.grab(), False
        if not taken and self.live:
            raise CameraError(self._said("gives no picture"))
        self.stamp_ns = self._device_stamp_ns() if taken else None
        return taken

    def retrieve(self, buffer: Buffer) -> Image:
        """Decodes straight into `buffer` unless the size has changed. Raises DatasetError."""
        if self._capture is None:
            raise CameraError(self._said("is not open"))
        room = buffer(*self._size_px) if self._size_px else None
        try:
            taken, pixels = self._capture.retrieve(room)
        except cv2.error as error:
            raise DatasetError(self._said(f"OpenCV refuses a picture ({error.err or 'no reason given'})")) from error
        if not taken or pixels is None:
            raise DatasetError(self._said("a picture that cannot be decoded"))
        if room is not None and pixels.ctypes.data == room.ctypes.data:
            return room
        return self._copied(np.asarray(pixels), buffer)

    def frame_size_px(self) -> tuple[int, int] | None:
        """What OpenCV says of the source."""
        if self._capture is None:
            return None
        height, width = (int(self._capture.get(p)) for p in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH))
        return (height, width) if is_size(height, width) else None

    def close(self) -> None:
        """Lets the device go."""
        if self._capture is not None:
            self._capture.release()
        self._capture, self._ahead = None, False

    def _copied(self, pixels: np.ndarray, buffer: Buffer) -> Image:
        """OpenCV took memory of its own: the size is new, or the picture is grey."""
        grey = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 1)
        if pixels.dtype != np.uint8 or not (grey or (pixels.ndim == 3 and pixels.shape[2] == 3)):
            raise DatasetError(self._said(f"{pixels.dtype} {pixels.shape}, wanted 8 bit grey or colour"))
        height, width = pixels.shape[:2]
        if not is_size(height, width):
            raise DatasetError(self._said(f"{width}x{height} px, at most {SIDE_PX}x{SIDE_PX} px fit"))
        self._size_px = None if grey else (height, width)
        room = buffer(height, width)
        np.copyto(room, pixels.reshape(height, width, -1))  # one grey channel becomes three
        return room

    def _opened(self) -> cv2.VideoCapture:
        source, origin = self._config.source, self._config.origin
        if origin == "stream":
            times_s = (self._config.open_timeout_s, self._config.read_timeout_s)
            names = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
            limits = [int(x) for name, s in zip(names, times_s, strict=True) for x in (name, max(1, s * 1000))]
            return cv2.VideoCapture(self._address(), cv2.CAP_FFMPEG, limits)
        if origin == "file":
            return cv2.VideoCapture(str(source))
        if isinstance(source, int) or source.isdigit():
            capture = cv2.VideoCapture(int(source))
        else:  # without a back-end named, FFmpeg would try to read the device as a file
            capture = cv2.VideoCapture(source, cv2.CAP_V4L2)
        self._ask(capture)
        return capture

    def _address(self) -> str:
        """The stream's URL, with its login. Read at each opening: a new password needs no restart of the daemon."""
        if self._config.login is None:
            return str(self._config.source)
        scheme, _, rest = str(self._config.source).partition("://")
        try:
            user, password = read_login(self._config.login)
        except ConfigError as error:
            raise CameraError(f"camera {self._config.name}: {error}") from error
        return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"

    def _ask(self, capture: cv2.VideoCapture) -> None:
        """The pixel format first: it decides which sizes there are, and the size which rates."""
        config = self._config
        if config.pixel_format is not None:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*config.pixel_format))
        sizes = {cv2.CAP_PROP_FRAME_WIDTH: config.width_px, cv2.CAP_PROP_FRAME_HEIGHT: config.height_px}
        manual = _MANUAL if config.exposure is not None else None
        exposure = {cv2.CAP_PROP_AUTO_EXPOSURE: manual, cv2.CAP_PROP_EXPOSURE: config.exposure}
        for name, value in (sizes | {cv2.CAP_PROP_FPS: config.fps} | exposure).items():
            if value is not None:
                capture.set(name, value)

    def _wanted(self) -> dict[str, Setting | None]:
        """Of a stream or file only the size can be held against it: nothing else can be asked of it."""
        config = self._config
        wanted: dict[str, Setting | None] = {"width_px": config.width_px, "height_px": config.height_px}
        if config.origin == "device":
            wanted |= {"fps": config.fps, "exposure": config.exposure, "pixel_format": config.pixel_format}
        elif config.exposure is not None or config.pixel_format is not None:
            raise CameraError(self._said("only a device takes `exposure` and `pixel_format`; remove them"))
        return wanted

    def _reported(self) -> dict[str, Setting]:
        if self._capture is None:
            return {}
        get = self._capture.get
        return {
            "width_px": get(cv2.CAP_PROP_FRAME_WIDTH),
            "height_px": get(cv2.CAP_PROP_FRAME_HEIGHT),
            "fps": get(cv2.CAP_PROP_FPS),
            "exposure": get(cv2.CAP_PROP_EXPOSURE),
            "pixel_format": fourcc_text(int(get(cv2.CAP_PROP_FOURCC))),
        }

    def _device_stamp_ns(self) -> int | None:
        """V4L2 stamps a picture when it was exposed, on the clock of time.monotonic_ns()."""
        if self._capture is None or self._config.origin != "device":
            return None
        stamp_ns = int(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        age_ns = time.monotonic_ns() - stamp_ns
        return stamp_ns if 0 <= age_ns < _STAMP_MAX_AGE_NS else None  # drivers with another clock are not believed

    def _said(self, what: str) -> str:
        return f"camera {self._config.name}: {self._config.shown}: {what}; {_ADVICE[self._config.origin]}"


def differing(wanted: Mapping[str, Setting | None], reported: Mapping[str, Setting]) -> str | None:
    """The first setting that the device did not take, with what to do; None when it took all."""
    for name, value in wanted.items():
        if value is not None and not _agree(value, reported[name]):
            return (
                f"{name} = {_shown(value)} was asked, the device says {_shown(reported[name])}; "
                "set what it can do: `v4l2-ctl --list-formats-ext` and `v4l2-ctl --list-ctrls`"
            )
    return None


def _agree(wanted: Setting, got: Setting) -> bool:
    if isinstance(wanted, str) or isinstance(got, str):
        return wanted == got
    return abs(got - wanted) <= _NEAR * abs(wanted)


def _shown(value: Setting) -> str:
    return repr(value) if isinstance(value, str) else f"{value:g}"


def fourcc_text(code: int) -> str:
    """The four characters of a FOURCC code, dots for what cannot be shown."""
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in (code & 0xFFFFFFFF).to_bytes(4, "little"))


def _quiet() -> None:
    """OpenCV and FFmpeg write their own lines to stderr; what matters comes as our errors."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
