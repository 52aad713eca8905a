"""One class per kind of camera, behind one protocol."""

from typing import Protocol, assert_never

from edge.cameras.frame import Grab
from edge.config import CameraConfig


class Camera(Protocol):
    """One source of pictures.

    `open` first, on the main thread; from then on one capture thread owns it: `read` until it gives
    None or raises, `close` last or before another `open`. `close` may be called twice.
    """

    live: bool  # it does not wait for us: frames that come too fast are dropped, and it may come back

    def open(self) -> None:
        """Raises CameraError, with what to do, when there is no such camera or nothing to read."""

    def read(self) -> Grab | None:
        """The next picture; None at the end of a finite source.

        A picture that cannot be read is a Grab with a fault. Raises CameraError when the camera
        itself is lost: close it and open it again.
        """

    def frame_size_px(self) -> tuple[int, int] | None:
        """(height, width) of the frames to come, None when it is not known. After `open`."""

    def close(self) -> None:
        """Lets the device go. Never raises."""


def open_camera(config: CameraConfig) -> Camera:
    """An opened camera. Raises CameraError."""
    camera = _camera(config)
    camera.open()
    return camera


def _camera(config: CameraConfig) -> Camera:
    match config.kind:
        case "folder":
            from edge.cameras.folder import FolderCamera

            return FolderCamera(config)
        case "opencv":
            from edge.cameras.opencv import OpenCVCamera

            return OpenCVCamera(config)
        case never:
            assert_never(never)
