"""Finds out in which format the boxes of a folder are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import DatasetError
from trainer.annotations.coco import JsonFile, find_json
from trainer.annotations.masks import find_folders
from trainer.annotations.tree import Tree
from trainer.annotations.types import Source
from trainer.annotations.voc import find_xml
from trainer.annotations.yolo import find_names, find_txt
from trainer.dataset import MASKS

NAMES: dict[Source, str] = {"coco": "COCO", "voc": "Pascal VOC", "yolo": "YOLO", "masks": "masks"}
_WANTED = (
    "wanted a COCO .json, Pascal VOC's Annotations/*.xml, YOLO's labels/*.txt with data.yaml, "
    "or ground_truth/<defect>/ with masks, each with its images"
)


@dataclass(frozen=True, slots=True)
class Formats:
    """What was found of each format."""

    json: Sequence[JsonFile]
    xml: Sequence[Path]
    txt: Sequence[Path]
    certain: dict[Source, Path]  # formats that files speak of clearly, with one such file
    possible: tuple[Source, ...]  # what the folder may be meant as, likeliest first


def find_formats(tree: Tree) -> Formats:
    """Looks at names, and into the JSON files, which look all alike from outside."""
    every_json = find_json(tree)
    coco = [file for file in every_json if file.is_coco]
    xml, txt, folders = find_xml(tree), find_txt(tree), find_folders(tree.root)
    certain: dict[Source, Path] = {}
    if coco:
        certain["coco"] = coco[0].path
    if xml:
        certain["voc"] = xml[0]
    if txt:
        certain["yolo"] = txt[0]
    if folders and folders.masks:
        certain["masks"] = min(folders.masks.values()).relative_to(tree.root)
    possible: list[Source] = []
    if (folders and folders.defects) or any(path.parts[0] == MASKS for path in tree.images):
        possible.append("masks")
    if every_json:
        possible.append("coco")
    if find_names(tree):
        possible.append("yolo")
    return Formats(coco or every_json, xml, txt, certain, tuple(possible))


def choose(root: Path, formats: Formats) -> Source:
    """The one format. Raises DatasetError where there is none, or more than one."""
    if len(formats.certain) > 1:
        found = ", ".join(f"{NAMES[source]} ({path})" for source, path in formats.certain.items())
        raise DatasetError(f"{root}: boxes in {len(formats.certain)} formats: {found}; move all but one of them away")
    found_one = [*formats.certain, *formats.possible]
    if not found_one:
        raise DatasetError(f"{root}: nothing that says where the defects are; {_WANTED}")
    return found_one[0]
