"""A folder of images as a camera. Runs in the camera's own process."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge.camera_config import FolderConfig
from edge.cameras import Buffer
from edge.cameras.ring import SIDE_PX, is_size
from models.errors import CameraError, DatasetError
from models.images import is_image_name, read_image
from models.prediction import Image


class FolderCamera:
    """The images directly in the folder when it was opened, in the order of their names."""

    live = False
    stamp_ns: int | None = None

    def __init__(self, config: FolderConfig) -> None:
        self.source: str | None = None
        self._config = config
        self._paths: list[Path] = []
        self._loaded: list[Image | DatasetError] = []
        self._lies_in: dict[int, int] = {}  # address of a slot -> index of the loaded image that it holds
        self._next = 0

    def open(self, beat: Callable[[], None]) -> None:
        """Lists the folder, and reads it when asked to. Raises CameraError when it is missing or holds no image."""
        where, path = f"camera {self._config.name}: {self._config.path}", self._config.path
        try:
            self._paths = sorted(item for item in path.iterdir() if is_image_name(item) and not item.is_dir())
        except OSError as error:
            raise CameraError(f"{where}: {error.strerror}; correct `path` in the settings") from error
        if not self._paths:
            raise CameraError(f"{where}: no image in it; put images there or correct `path`")
        self._next = 0
        for item in self._paths if self._config.preload else ():
            self._loaded.append(_read(item))
            beat()

    def skip(self, count: int) -> None:
        """Passes over the first images; round again where the folder loops."""
        self._next += count

    @property
    def home(self) -> int:
        """An image that is in memory keeps to its slot while there are enough: it is copied there once."""
        return self._next % max(1, len(self._loaded))

    @property
    def ended(self) -> bool:
        """After the last image, unless the folder loops."""
        return self._next >= len(self._paths) and not self._config.loop

    def grab(self) -> bool:
        """Goes to the next image, False after the last."""
        if self.ended:
            return False
        name = self._paths[self._next % len(self._paths)].name
        self.source = os.fsencode(name).decode("utf-8", "replace")  # a verdict is UTF-8, a file name need not be
        self._next += 1
        return True

    def retrieve(self, buffer: Buffer) -> Image:
        """Reads the image. Raises DatasetError when it cannot be read."""
        at = (self._next - 1) % len(self._paths)
        image = self._loaded[at] if self._loaded else _read(self._paths[at])
        if isinstance(image, DatasetError):
            raise image
        room = buffer(*image.shape[:2])
        if not self._loaded or self._lies_in.get(room.ctypes.data) != at:
            np.copyto(room, image)
            self._lies_in[room.ctypes.data] = at
        return room

    def frame_size_px(self) -> tuple[int, int] | None:
        """That of the first image, unless it cannot be read."""
        image = self._loaded[0] if self._loaded else _read(self._paths[0])
        return None if isinstance(image, DatasetError) else (image.shape[0], image.shape[1])

    def close(self) -> None:
        """Nothing is held."""


def _read(path: Path) -> Image | DatasetError:
    try:
        image = read_image(path)
    except DatasetError as error:
        return error
    if not is_size(*image.shape[:2]):
        height, width = image.shape[:2]
        return DatasetError(f"{path}: {width}x{height} px, at most {SIDE_PX}x{SIDE_PX} px fit; make it smaller")
    return image
