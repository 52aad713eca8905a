"""What a folder of annotated pictures holds, whatever format its boxes came in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Source = Literal["coco", "voc", "yolo", "masks"]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One image and the boxes on it."""

    path: Path
    height_px: int  # of the stored pixels, as `models.images.read_image` gives them
    width_px: int
    boxes: NDArray[np.float32]  # (n, 4): left, top, right, bottom, px, inside the image
    labels: tuple[str, ...]  # (n,): class of each box
    held_out: bool = False  # the data's own split says that it is not for learning

    @property
    def is_good(self) -> bool:
        """A part without a defect: nobody drew a box on it."""
        return not self.labels


@dataclass(frozen=True, slots=True, eq=False)
class Annotated:
    """A folder of pictures with boxes."""

    root: Path
    source: Source
    classes: tuple[str, ...]  # those that have a box, in the order of their ids, else of their names
    pictures: tuple[Picture, ...]  # by path
    notes: tuple[str, ...]  # what was read generously, a line each

    @property
    def good(self) -> tuple[Picture, ...]:
        """The pictures without a box."""
        return tuple(picture for picture in self.pictures if picture.is_good)

    @property
    def bad(self) -> tuple[Picture, ...]:
        """The pictures with boxes."""
        return tuple(picture for picture in self.pictures if not picture.is_good)

    def as_one_class(self, name: str) -> Annotated:
        """The same boxes, all of the class `name`."""
        pictures = (replace(picture, labels=(name,) * len(picture.labels)) for picture in self.pictures)
        return replace(self, classes=(name,) if self.classes else (), pictures=tuple(pictures))
