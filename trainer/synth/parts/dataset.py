"""Writes folders of made-up parts with boxes on their defects, as COCO: photographs are not needed to learn to see."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import cv2

from models.files import whole_folder
from trainer.synth.parts.render import KINDS, Damage, Photo, render_part
from trainer.synth.scene import render_screw

SEEDS = 1_000_000  # designs of one seed
MOST_DAMAGES = 4  # of one part
HELD_OUT = 0.05  # of the pictures, in `val`
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]  # noise hardly packs


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture to take."""

    file: str  # below the data set, e.g. "train/good_00000.png"
    design: int
    damages: int
    screw: bool = False  # else one of the families
    plain: bool = False  # no defect is tiny or faint

    def take(self, size_px: int) -> Photo:
        """Renders it."""
        if not self.screw:
            shot = int(self.damages > 0)
            return render_part(self.design, shot, size_px=size_px, damages=self.damages, plain=self.plain)
        image, mask = render_screw(self.design, size_px=size_px, defect="scratch_neck" if self.damages else None)
        return Photo(image, (Damage("scratch", mask),) if mask.any() else ())


def plan_shots(*, good: int, damaged: int, seed: int, screws: int = 0, plain: bool = False) -> list[Shot]:
    """Every picture of a data set. The n-th good part and the n-th damaged one are of the n-th design.

    Every second of the `screws` is scratched.
    """
    first = seed * SEEDS
    shots = [Shot(f"{_side(i, good)}/good_{i:05d}.png", first + i, 0) for i in range(good)]
    shots += [
        Shot(f"{_side(i, damaged)}/damaged_{i:05d}.png", first + i, 1 + i % MOST_DAMAGES, plain=plain)
        for i in range(damaged)
    ]
    return shots + [Shot(f"{_side(i, screws)}/screw_{i:05d}.png", first + i, i % 2, screw=True) for i in range(screws)]


def _side(number: int, of: int) -> str:
    """The last ones are held out; of a single one there is nothing to hold out."""
    return "val" if number >= max(1, of - max(1, round(HELD_OUT * of))) else "train"


def write_parts(
    out: Path,
    *,
    good: int,
    damaged: int,
    seed: int,
    screws: int = 0,
    plain: bool = False,
    size_px: int = 320,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> None:
    """Renders train/, val/, train.json and val.json below `out`, which is whole or absent.

    `progress` wraps the iterable of pictures, as tqdm does. Raises FileExistsError when `out` is there.
    """
    shots = plan_shots(good=good, damaged=damaged, seed=seed, screws=screws, plain=plain)
    with whole_folder(out) as folder:
        found = {}
        for side in ("train", "val"):
            (folder / side).mkdir()
        for shot in progress(shots):
            photo = shot.take(size_px)
            (folder / shot.file).write_bytes(cv2.imencode(".png", photo.image, _PNG)[1].tobytes())
            found[shot.file] = _boxes(photo)
        for side in ("train", "val"):
            listed = {file: boxes for file, boxes in found.items() if file.startswith(f"{side}/")}
            (folder / f"{side}.json").write_text(json.dumps(_coco(listed, size_px)))


def _boxes(photo: Photo) -> list[tuple[str, list[int]]]:
    """The kind and [x, y, width, height] in px of each defect."""
    return [(damage.kind, list(cv2.boundingRect(damage.mask))) for damage in photo.damages]


def _coco(listed: dict[str, list[tuple[str, list[int]]]], size_px: int) -> dict[str, Any]:
    number = count()
    images = [{"id": i, "file_name": file, "width": size_px, "height": size_px} for i, file in enumerate(listed)]
    annotations = [
        {"id": next(number), "image_id": i, "category_id": KINDS.index(kind), "bbox": box, "area": box[2] * box[3]}
        for i, boxes in enumerate(listed.values())
        for kind, box in boxes
    ]
    categories = [{"id": i, "name": kind} for i, kind in enumerate(KINDS)]
    return {"images": images, "annotations": annotations, "categories": categories}
