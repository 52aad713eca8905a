"""Reads pictures with boxes on their defects: COCO, Pascal VOC, YOLO, or masks in folders."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

from models.errors import ConfigError, DatasetError
from trainer.annotations.boxes import Draft, picture_of
from trainer.annotations.coco import read_coco
from trainer.annotations.enough import check_enough
from trainer.annotations.formats import choose, find_formats
from trainer.annotations.masks import read_masks
from trainer.annotations.problems import Problems
from trainer.annotations.tree import Tree
from trainer.annotations.types import Annotated, Picture
from trainer.annotations.voc import read_voc
from trainer.annotations.yolo import read_yolo
from trainer.dataset import GOOD, Dataset
from trainer.progress import progress

__all__ = ["Annotated", "Picture", "as_dataset", "check_enough", "has_boxes", "read_annotations"]

_MAX_NAME = 80


def read_annotations(root: Path, merge_px: float | None = None) -> Annotated:
    """Finds out the format of the boxes below `root`, reads and checks all of them.

    `merge_px` is for masks: parts nearer than that share a box (None: 2 % of the longer side).
    Raises ConfigError for a `merge_px` that is no length, DatasetError when there is no such folder, no
    format or more than one in it, or with all that is wrong in the annotations.
    """
    if merge_px is not None and not (math.isfinite(merge_px) and merge_px >= 0):
        raise ConfigError(f"merge {merge_px} px: a length of 0 or more pixels was wanted, such as 10")
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; wanted pictures and their boxes")
    tree = Tree.of(root)
    formats = find_formats(tree)
    source = choose(root, formats)
    problems = Problems(root)
    match source:
        case "coco":
            pictures, classes = _pictures_of(read_coco(tree, formats.json, problems), problems)
        case "voc":
            pictures, classes = _pictures_of(read_voc(tree, formats.xml, problems), problems)
        case "yolo":
            pictures, classes = _pictures_of(read_yolo(tree, formats.txt, problems), problems)
        case "masks":
            pictures, classes = read_masks(tree, merge_px, problems)
        case never:
            assert_never(never)
    used = {label for picture in pictures for label in picture.labels}
    _check_classes(classes, used, problems)
    problems.raise_if_any()
    known = tuple(name for name in classes if name in used)
    return Annotated(root, source, known, tuple(sorted(pictures, key=lambda p: p.path)), problems.notes)


def has_boxes(root: Path) -> bool:
    """Whether files below `root` say of themselves that they are COCO, Pascal VOC or YOLO."""
    formats = find_formats(Tree.of(root))
    return any(source != "masks" for source in formats.certain)


def as_dataset(annotated: Annotated) -> Dataset:
    """The same pictures by role: good ones to learn from or held out, bad ones by their most frequent class."""
    defects: dict[str, list[Path]] = {name: [] for name in annotated.classes}
    for picture in annotated.bad:
        defects[Counter(picture.labels).most_common(1)[0][0]].append(picture.path)  # of equals, the first
    return Dataset(
        annotated.root,
        [picture.path for picture in annotated.good if not picture.held_out],
        [picture.path for picture in annotated.good if picture.held_out],
        {name: paths for name, paths in defects.items() if paths},
    )


def _check_classes(classes: Sequence[str], used: set[str], problems: Problems) -> None:
    for name in classes:
        if not name or len(name) > _MAX_NAME or not name.isprintable():
            problems.add("classes", f"{name!r:.90} is no name: wanted 1 to {_MAX_NAME} characters that can be printed")
        elif name == GOOD and name in used:  # its pictures would be counted as good parts
            problems.add(
                "classes", f"boxes of a class {GOOD!r}: parts without a defect have no box; rename or remove it"
            )
        elif name not in used:
            problems.note("a class without a box was left out", name)


def _pictures_of(read: tuple[Sequence[Draft], list[str]], problems: Problems) -> tuple[list[Picture], list[str]]:
    drafts, classes = read
    drawn = (picture_of(draft, problems) for draft in progress(drafts, "read boxes"))
    return [picture for picture in drawn if picture is not None], classes
