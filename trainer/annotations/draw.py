"""Draws boxes on their pictures: a wrong box is seen in a second and found in numbers never."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from models.errors import ConfigError
from models.files import whole_folder
from models.images import read_image
from models.prediction import Image
from trainer.annotations.types import Annotated, Picture
from trainer.pictures import captioned, contact_sheet, write_jpeg
from trainer.progress import progress

MAX_PICTURES = 200
_SIDE_PX = 640
_SHEET, _SHEET_BAD = 24, 20  # as many as `contact_sheet` shows, and how many of these have boxes
_GREEN = (80, 200, 80)  # BGR; a good part's, so no class has it
_COLOURS = ((60, 60, 230), (0, 165, 255), (230, 120, 40), (200, 60, 200), (40, 220, 240), (230, 220, 60))


def check_out(out: Path, data: Path) -> None:
    """Raises ConfigError where `out` exists or lies in the data: drawn pictures would be read as parts."""
    if out.exists() or out.is_symlink():
        raise ConfigError(f"{out}: exists already; choose another --out or remove it first")
    if out.resolve().is_relative_to(data.resolve()):
        raise ConfigError(f"{out}: lies in the data, where its pictures would be read as parts; choose another --out")


def draw_boxes(annotated: Annotated, out: Path) -> int:
    """Makes the folder `out`, whole or not at all, with at most 200 pictures, those with boxes first, and `sheet.jpg`.

    Returns how many pictures were drawn. Raises ConfigError as `check_out`, DatasetError for an image
    that cannot be decoded.
    """
    check_out(out, annotated.root)
    chosen = [*annotated.bad, *annotated.good][:MAX_PICTURES]
    colours = {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(annotated.classes)}
    with whole_folder(out) as folder:
        drawn = []
        for number, picture in enumerate(progress(chosen, "draw"), 1):
            drawn.append(folder / f"{number:03d}_{picture.path.stem[:60]}.jpg")  # two folders may hold one name
            write_jpeg(drawn[-1], _drawn(picture, annotated.root, colours))
        if drawn:
            n_bad = sum(not picture.is_good for picture in chosen)
            bad = _spread(drawn[:n_bad], _SHEET_BAD)
            contact_sheet(folder / "sheet.jpg", bad + _spread(drawn[n_bad:], _SHEET - len(bad)))
    return len(drawn)


def _spread(paths: list[Path], count: int) -> list[Path]:
    """`count` of them from first to last: they come in the order of folders, and each should be seen."""
    return paths if len(paths) <= count else [paths[index * len(paths) // count] for index in range(count)]


def _drawn(picture: Picture, root: Path, colours: dict[str, tuple[int, int, int]]) -> Image:
    image = read_image(picture.path)
    scale = _SIDE_PX / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    shown = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    for label, box in zip(picture.labels, np.round(picture.boxes * scale).astype(int).tolist(), strict=True):
        left, top, right, bottom = box
        cv2.rectangle(shown, (left, top), (right, bottom), colours[label], 2)
        _write_name(shown, label, (left, top, right, bottom), colours[label])
    if picture.is_good:
        cv2.rectangle(shown, (0, 0), (size[0] - 1, size[1] - 1), _GREEN, 4)
    what = "good" if picture.is_good else f"{len(picture.labels)} box(es)"
    held_out = ", held out" if picture.held_out else ""
    return captioned(shown, f"{picture.path.relative_to(root)}  {what}{held_out}", not picture.is_good)


def _write_name(shown: Image, label: str, box: tuple[int, int, int, int], colour: tuple[int, int, int]) -> None:
    """Above the box, or below it and more to the left where the edge would cut the name off."""
    left, top, _, bottom = box
    (width_px, _), _ = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    at = (max(0, min(left, shown.shape[1] - width_px)), top - 5 if top > 20 else min(bottom + 16, shown.shape[0] - 4))
    cv2.putText(shown, label, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
