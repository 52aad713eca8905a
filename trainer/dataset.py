"""Finds the images in a folder: MVTec AD's layout, plain folders `good/` and one per defect, or boxes beside images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.errors import ConfigError, DatasetError
from models.images import is_image_name

GOOD = "good"
MASKS = "ground_truth"
_NOT_DEFECTS = {GOOD, "train", "test", MASKS, "masks"}
_IMAGE_FOLDERS = re.compile(r"(images?|imgs?|jpegimages|(train|val|valid|test)\d*)", re.IGNORECASE)
_WANTED = (
    "wanted train/good/, test/good/, test/<defect>/ (MVTec AD) or good/ and <defect>/ with images in them, "
    "or images with boxes (COCO, Pascal VOC, YOLO)"
)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Paths by role, each list in name order."""

    root: Path
    train_good: list[Path]
    test_good: list[Path]  # good parts that are not learned from
    defects: dict[str, list[Path]] = field(default_factory=dict)
    masks: dict[Path, Path] = field(default_factory=dict)  # image of a defect -> its mask

    @property
    def all_defects(self) -> list[Path]:
        """The defect images of all kinds."""
        return [path for paths in self.defects.values() for path in paths]


def scan(root: Path, limit: int | None = None) -> Dataset:
    """Sorts the images under `root`; `limit` keeps the first good images by name for learning.

    In plain folders, and where boxes tell the bad images, the good images beyond `limit` are test
    images. Raises DatasetError when there is no such folder or no good image, or with what is wrong
    in the annotations.
    """
    try:
        dataset = scan_folders(root, limit)
    except DatasetError:
        if (annotated := _annotated(root, limit)) is None:
            raise
        return annotated
    if any(_IMAGE_FOLDERS.fullmatch(name) for name in dataset.defects):  # good/ beside an annotated images/
        return _annotated(root, limit) or dataset
    return dataset


def scan_folders(root: Path, limit: int | None = None) -> Dataset:
    """As `scan`, by the names of folders only."""
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; {_WANTED}")
    mvtec = (root / "train").is_dir() or (root / "test").is_dir()
    dataset = _mvtec(root, limit) if mvtec else _plain(root, limit)
    if not dataset.train_good and not dataset.test_good:
        found = f"defects only ({', '.join(dataset.defects)})" if dataset.defects else "no images"
        raise DatasetError(f"{root}: {found}, good parts are what is learned from; {_WANTED}")
    return dataset


def choose_defects(dataset: Dataset, names: Sequence[str]) -> dict[str, list[Path]]:
    """The defects named, or all when none is named. Raises ConfigError for a name that is not there."""
    for name in names:
        if name not in dataset.defects:
            raise ConfigError(f"{dataset.root}: no defect {name!r}; it has {', '.join(dataset.defects) or 'none'}")
    return {name: paths for name, paths in dataset.defects.items() if not names or name in names}


def _annotated(root: Path, limit: int | None) -> Dataset | None:
    """By the boxes of the images; None where there are none."""
    from trainer.annotations import as_dataset, has_boxes, read_annotations

    if not root.is_dir() or not has_boxes(root):
        return None
    found = as_dataset(read_annotations(root))
    if not found.train_good and not found.test_good:
        raise DatasetError(
            f"{root}: boxes on all images, good parts are what is learned from; add images without boxes"
        )
    keep = len(found.train_good) if limit is None else limit
    test_good = sorted([*found.train_good[keep:], *found.test_good])
    return Dataset(root, found.train_good[:keep], test_good, found.defects)


def _mvtec(root: Path, limit: int | None) -> Dataset:
    test = root / "test"
    defects = _defects(test, {GOOD}) if test.is_dir() else {}
    masks = {image: mask for name, images in defects.items() for image in images if (mask := _mask(root, name, image))}
    return Dataset(root, _images(root / "train" / GOOD)[:limit], _images(test / GOOD), defects, masks)


def _plain(root: Path, limit: int | None) -> Dataset:
    defects = _defects(root, _NOT_DEFECTS)
    masks = {image: mask for name, images in defects.items() for image in images if (mask := _mask(root, name, image))}
    good = _images(root / GOOD)
    keep = len(good) if limit is None else limit
    return Dataset(root, good[:keep], good[keep:], defects, masks)


def _defects(folder: Path, others: set[str]) -> dict[str, list[Path]]:
    folders = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".") and p.name not in others)
    return {p.name: images for p in folders if (images := _images(p))}


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and is_image_name(p)) if folder.is_dir() else []


def _mask(root: Path, defect: str, image: Path) -> Path | None:
    folder = root / MASKS / defect
    for name in (f"{image.stem}_mask.png", f"{image.stem}.png"):
        if (folder / name).is_file():
            return folder / name
    return None
