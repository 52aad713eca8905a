"""Chooses a handful of pictures of a data set to look at: good ones, and defects of every kind with their truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np

from models.errors import DatasetError
from models.images import read_image
from trainer.conditions.labelled import Labelled
from trainer.dataset import Dataset, scan

_GOOD, _BAD = 2, 4
_ABOVE = 127  # levels of a mask: brighter is a defect


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture to look at."""

    name: str  # its path below the data set, which is its key too
    picture: Labelled
    is_good: bool


def choose(root: Path) -> list[Shown]:
    """At most two good pictures and four with defects, of as many kinds as there are.

    Raises DatasetError when there is no data set, or when a picture or its truth cannot be read.
    """
    from trainer.annotations import has_boxes, read_annotations

    dataset = scan(root)
    truths = {}
    if not dataset.masks and has_boxes(root):
        annotated = read_annotations(root)
        index = {name: number for number, name in enumerate(annotated.classes)}
        for picture in annotated.pictures:
            truths[picture.path] = (picture.boxes, np.array([index[name] for name in picture.labels], np.int64))
    good = _spread(dataset.train_good or dataset.test_good, _GOOD)
    chosen = [(path, True) for path in good] + [(path, False) for path in _of_all_kinds(dataset)]
    shown = []
    for path, is_good in chosen:
        image, (boxes, labels) = read_image(path), truths.get(path, (None, None))
        mask = read_mask(dataset.masks.get(path), image.shape[:2])
        name = path.relative_to(root).as_posix()
        shown.append(Shown(name, Labelled.of(image, boxes, labels, mask), is_good))
    return shown


def _of_all_kinds(dataset: Dataset) -> list[Path]:
    """The kinds take turns."""
    turns = zip_longest(*(_spread(paths, _BAD) for paths in dataset.defects.values()))
    return [path for turn in turns for path in turn if path is not None][:_BAD]


def _spread(paths: Sequence[Path], count: int) -> list[Path]:
    """`count` of them from first to last."""
    return list(paths) if len(paths) <= count else [paths[number * len(paths) // count] for number in range(count)]


def read_mask(path: Path | None, size: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | None:
    """(H, W), 255 on the defect. Raises DatasetError for one of another `size`, (height, width), than its image."""
    if path is None:
        return None
    mask = read_image(path)[:, :, 0]
    if mask.shape != size:
        found, wanted = (f"{width} x {height} px" for height, width in (mask.shape, size))
        raise DatasetError(f"{path}: {found}, its image has {wanted}; export the mask in full size")
    return np.where(mask > _ABOVE, 255, 0).astype(np.uint8)
