"""One class per kind of camera, behind one protocol. They run in the camera's own process, `edge/cameras/child.py`."""

from collections.abc import Callable
from typing import Protocol, assert_never

from edge.camera_config import CameraConfig
from models.prediction import Image

Buffer = Callable[[int, int], Image]  # (height_px, width_px) -> memory for such a picture


class Camera(Protocol):
    """One source of pictures.

    `open` first, then `grab` until it is False or raises, each followed by at most one `retrieve`.
    """

    live: bool  # it does not wait for us: pictures that come too fast are left out, and it may come back
    source: str | None  # what the grabbed picture is called: a file name for folder cameras
    stamp_ns: int | None  # time.monotonic_ns() at which the driver had the grabbed picture, where it says so

    def open(self, beat: Callable[[], None]) -> None:
        """Calls `beat` between steps. Raises CameraError, with what to do, when there is nothing to read."""

    @property
    def home(self) -> int:
        """Of a finite camera: the slot in which the next picture may lie already."""

    @property
    def ended(self) -> bool:
        """Known to have no picture left. May be False though the next `grab` is the one that finds out."""

    def skip(self, count: int) -> None:
        """Passes over the first pictures of a finite camera."""

    def grab(self) -> bool:
        """Takes the next picture, undecoded; False at the end of a finite source.

        Raises CameraError when the camera is lost.
        """

    def retrieve(self, buffer: Buffer) -> Image:
        """Decodes the grabbed picture: uint8 (H, W, 3) BGR, in the memory that `buffer` gives for its size.

        Raises DatasetError when it is no picture that can be judged.
        """

    def frame_size_px(self) -> tuple[int, int] | None:
        """(height, width) of the frames to come, None when it is not known. After `open`."""

    def close(self) -> None:
        """Lets the device go. Never raises."""


def is_live(config: CameraConfig) -> bool:
    """Whether the camera gives pictures at its own pace, for ever."""
    return config.kind == "opencv" and config.origin != "file"


def make_camera(config: CameraConfig) -> Camera:
    """The camera, not yet open."""
    match config.kind:
        case "folder":
            from edge.cameras.folder import FolderCamera

            return FolderCamera(config)
        case "opencv":
            from edge.cameras.opencv import OpenCVCamera

            return OpenCVCamera(config)
        case never:
            assert_never(never)
