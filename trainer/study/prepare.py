"""Writes each picture once under each condition, and lays them out as `mekiki-train fit` reads them.

A condition's folder holds flat, readable names: `test-scratch-004.png`, its mask beside it, and its boxes as JSON.
A fit's folder holds links to them. Under no condition the pictures are the very files that were given.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from models.errors import DatasetError
from models.files import make_folder, write_whole
from models.images import read_image
from models.prediction import Image
from trainer.annotations.masks import boxes_of
from trainer.annotations.problems import RecordError
from trainer.conditions import ORIGINAL, Condition, Labelled, apply
from trainer.conditions.shown import read_mask
from trainer.dataset import MASKS
from trainer.study.pool import Pool, Source

_COCO = "boxes.coco.json"


@dataclass(frozen=True, slots=True)
class Prepared:
    """The pictures under one condition."""

    folder: Path
    condition: Condition

    @classmethod
    def of(cls, work: Path, condition: Condition, pool: Pool, seed: int) -> Prepared:
        """A folder below `work` of its own for this condition, seed and data: what lies there already is right."""
        told = [condition.model_dump(mode="json"), seed, [(source.name, source.sha256) for source in pool.sources]]
        digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()
        return cls(work / f"{condition.name[:80]}.{digest[:12]}", condition)

    def picture(self, source: Source) -> Path:
        """Where it lies."""
        keeps = self.condition.name == ORIGINAL or source.flat.lower().endswith(".png")
        return self.folder / (source.flat if keeps else f"{source.flat}.png")

    def mask(self, source: Source) -> Path | None:
        """Where its mask lies, if there is one."""
        return None if source.mask is None else self.folder / MASKS / f"{source.flat}.png"

    def truth(self, source: Source) -> dict[str, Any]:
        """Of a picture with boxes: "boxes" [[left, top, right, bottom], ...], "classes" [...], "size_px" [h, w]."""
        found: dict[str, Any] = json.loads(self._truth_file(source).read_bytes())
        return found

    def _truth_file(self, source: Source) -> Path:
        return self.folder / "boxes" / f"{source.flat}.json"

    def write(self, source: Source, seed: int) -> None:
        """Whole or not at all; the picture last. Raises DatasetError for a picture or a mask that cannot be read."""
        if self.picture(source).exists():
            return
        for folder in (self.folder, self.folder / MASKS, self.folder / "boxes"):
            make_folder(folder)
        if self.condition.name == ORIGINAL:
            self._write_original(source)
        else:
            self._write_disturbed(source, seed)

    def _write_original(self, source: Source) -> None:
        if source.classes:
            self._write_truth(source, source.boxes, source.classes, read_image(source.path).shape)
        if (mask := self.mask(source)) is not None and source.mask is not None:
            _link(mask, source.mask)
        _link(self.picture(source), source.path)

    def _write_disturbed(self, source: Source, seed: int) -> None:
        image, names = read_image(source.path), sorted(set(source.classes))
        labels = np.array([names.index(name) for name in source.classes], np.int64)
        boxes = np.array(source.boxes, np.float32)
        given = Labelled.of(image, boxes, labels, read_mask(source.mask, image.shape[:2]))
        shown = apply(self.condition, given, seed=seed, key=source.sha256)
        if source.classes:
            self._write_truth(source, shown.boxes.tolist(), [names[i] for i in shown.labels], shown.image.shape)
        if (mask := self.mask(source)) is not None and shown.mask is not None:
            _write_png(mask, shown.mask)
        _write_png(self.picture(source), shown.image)

    def _write_truth(
        self, source: Source, boxes: Iterable[Iterable[float]], classes: Iterable[str], shape: tuple[int, ...]
    ) -> None:
        told = {"boxes": [list(box) for box in boxes], "classes": list(classes), "size_px": list(shape[:2])}
        write_whole(self._truth_file(source), json.dumps(told).encode())


def lay_out(folder: Path, prepared: Prepared, learn: Iterable[Source], *, has_boxes: bool) -> list[Source]:
    """Fills `folder` anew with train/good, test/<kind>, ground_truth/<kind>, and a COCO file where there are boxes.

    Returns the defects that were left out, because the condition moved what is wrong with them out of the picture.
    """
    shutil.rmtree(folder, ignore_errors=True)
    left_out, taken = [], []
    for source in learn:
        if not source.is_good and not _is_still_there(prepared, source):
            left_out.append(source)
            continue
        picture = prepared.picture(source)
        place = folder / ("train" if source.is_good else "test") / source.label / picture.name
        _link(place, picture)
        if (mask := prepared.mask(source)) is not None:
            _link(folder / MASKS / source.label / f"{picture.stem}_mask.png", mask)
        taken.append((source, place.relative_to(folder).as_posix()))
    if has_boxes:
        (folder / _COCO).write_text(json.dumps(_coco(prepared, taken)), encoding="utf-8")
    return left_out


def _is_still_there(prepared: Prepared, source: Source) -> bool:
    if source.classes and not prepared.truth(source)["boxes"]:
        return False
    if (mask := prepared.mask(source)) is None:
        return True
    try:
        return len(boxes_of(read_image(mask)[:, :, 0], 0)) > 0
    except RecordError:
        return False


def _coco(prepared: Prepared, taken: list[tuple[Source, str]]) -> dict[str, list[dict[str, Any]]]:
    names = sorted({name for source, _ in taken for name in source.classes})
    images: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for number, (source, name) in enumerate(taken):
        images.append({"id": number, "file_name": name})
        if not source.classes:
            continue
        truth = prepared.truth(source)
        images[-1] |= dict(zip(("height", "width"), truth["size_px"], strict=True))
        for (left, top, right, bottom), label in zip(truth["boxes"], truth["classes"], strict=True):
            box = [left, top, right - left, bottom - top]
            boxes.append({"id": len(boxes), "image_id": number, "category_id": names.index(label), "bbox": box})
    return {
        "images": images,
        "annotations": boxes,
        "categories": [{"id": number, "name": name} for number, name in enumerate(names)],
    }


def _link(place: Path, target: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(target.resolve())


def _write_png(path: Path, image: Image) -> None:
    is_written, content = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not is_written:
        raise DatasetError(f"{path}: OpenCV cannot write it; free memory and try again")
    write_whole(path, content.tobytes())
