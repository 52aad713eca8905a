"""A folder of images as a camera. Read on its capture thread."""

import os
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from edge.cameras.frame import Fault, Grab
from edge.config import FolderConfig
from models.errors import CameraError, DatasetError
from models.images import is_image_name, read_image


class FolderCamera:
    """The images directly in the folder when it was opened, in the order of their names."""

    live = False

    def __init__(self, config: FolderConfig) -> None:
        self._config = config
        self._paths: list[Path] = []
        self._next: Iterator[Path] = iter(())

    def open(self) -> None:
        """Lists the folder. Raises CameraError when it is missing or holds no image."""
        where, path = f"camera {self._config.name}: {self._config.path}", self._config.path
        try:
            self._paths = sorted(item for item in path.iterdir() if is_image_name(item) and not item.is_dir())
        except OSError as error:
            raise CameraError(f"{where}: {error.strerror}; correct `path` in the settings") from error
        if not self._paths:
            raise CameraError(f"{where}: no image in it; put images there or correct `path`")
        self._next = cycle(self._paths) if self._config.loop else iter(self._paths)

    def read(self) -> Grab | None:
        """The next image, None after the last. An unreadable one is a Grab with a fault."""
        path = next(self._next, None)
        if path is None:
            return None
        name = os.fsencode(path.name).decode("utf-8", "replace")  # a verdict is UTF-8, a file name need not be
        try:
            return Grab.now(read_image(path), name)
        except DatasetError as error:
            return Grab.now(None, name, Fault("bad_frame", str(error)))

    def frame_size_px(self) -> tuple[int, int] | None:
        """That of the first image, unless it cannot be read."""
        try:
            height, width = read_image(self._paths[0]).shape[:2]
        except DatasetError:
            return None
        return height, width

    def close(self) -> None:
        """Nothing is held."""
