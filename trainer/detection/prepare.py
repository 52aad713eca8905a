"""Writes the pictures as mmdet reads them: as large as the network sees them, lossless, with COCO files.

Scaled once here and not for every step; the same antialiased filter as in the graph that ships, so that the network
is trained on what it will be shown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.images import read_image
from models.letterbox import scaled_size
from models.prediction import Image
from trainer.annotations.types import Picture
from trainer.progress import progress

_BAD_SHARE = 0.4  # of the pictures that training draws, at least
_LEAST_PX = 3.0  # of a box: mmdet drops what is under 1, and the part with a scratch that fine would count as good


@dataclass(frozen=True, slots=True)
class Prepared:
    """A folder that mmdet can read: images/, train.json, val.json."""

    folder: Path
    classes: tuple[str, ...]
    side_px: int

    @property
    def train_json(self) -> Path:
        """COCO annotations of the pictures to learn from."""
        return self.folder / "train.json"

    @property
    def val_json(self) -> Path:
        """COCO annotations of the pictures that say when to stop."""
        return self.folder / "val.json"


def prepare(
    train: Sequence[Picture], val: Sequence[Picture], classes: tuple[str, ...], side_px: int, folder: Path
) -> Prepared:
    """Fills `folder`. Pictures with defects are drawn more often where there are few of them."""
    prepared = Prepared(folder, classes, side_px)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    entries = {p.path: _write(p, number, prepared) for number, p in enumerate(progress([*train, *val], "scale"))}
    bad, good = ([p for p in train if p.is_good is flag] for flag in (False, True))
    repeats = max(1, math.ceil(_BAD_SHARE / (1 - _BAD_SHARE) * len(good) / max(1, len(bad))))
    _write_coco(prepared.train_json, [*good, *(bad * repeats)], entries, classes)
    _write_coco(prepared.val_json, val, entries, classes)
    return prepared


def scaled(image: Image, side_px: int) -> Image:
    """The frame scaled into a square of `side_px` without filling it up, antialiased."""
    from PIL import Image as Pillow

    height, width = scaled_size(image.shape[0], image.shape[1], side_px)
    picture = Pillow.fromarray(image).resize((width, height), Pillow.Resampling.BILINEAR)
    return np.asarray(picture, np.uint8)


def _write(picture: Picture, number: int, prepared: Prepared) -> tuple[str, tuple[int, int], NDArray[np.float64]]:
    """The file's name, its (height, width), and the boxes in it."""
    image = scaled(read_image(picture.path), prepared.side_px)
    name, (height, width) = f"{number:05}.png", image.shape[:2]
    (prepared.folder / "images" / name).write_bytes(cv2.imencode(".png", image)[1].tobytes())
    factor = np.array([width / picture.width_px, height / picture.height_px] * 2)
    return name, (height, width), _not_too_thin(picture.boxes.astype(np.float64) * factor, height, width)


def _not_too_thin(boxes: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Boxes (n, 4) within the picture, grown about their middle where a side is under `_LEAST_PX`."""
    picture = np.array([width, height], np.float64)
    sides = np.minimum(np.maximum(boxes[:, 2:] - boxes[:, :2], _LEAST_PX), picture)
    corner = np.clip((boxes[:, :2] + boxes[:, 2:] - sides) / 2, 0, picture - sides)
    return np.hstack([corner, corner + sides])


def _write_coco(
    path: Path,
    pictures: Sequence[Picture],
    entries: dict[Path, tuple[str, tuple[int, int], NDArray[np.float64]]],
    classes: tuple[str, ...],
) -> None:
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, picture in enumerate(pictures):
        name, (height, width), boxes = entries[picture.path]
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        for (left, top, right, bottom), label in zip(boxes.tolist(), picture.labels, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": classes.index(label) + 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, 1)]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
