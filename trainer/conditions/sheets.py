"""Draws sheets of what conditions do: numbers do not show whether a camera could have taken such a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from models.files import whole_folder
from models.prediction import Image
from trainer.conditions.apply import apply
from trainer.conditions.condition import Condition
from trainer.conditions.labelled import Labelled
from trainer.conditions.part import has_background
from trainer.conditions.shown import Shown
from trainer.pictures import captioned, write_jpeg
from trainer.progress import progress

OVERVIEW = "overview.jpg"
_TILE_PX = 340
_COLUMNS = 5
_NAME = 80  # characters of a condition's name in that of its sheet
_RED = (60, 60, 230)
_EMPTY = 64  # grey level around a picture that is no square


def draw_sheets(shown: Sequence[Shown], conditions: Sequence[Condition], out: Path, seed: int) -> None:
    """Makes the folder `out`, whole or not at all: one sheet for each condition, and `overview.jpg`.

    Each row of a sheet is a picture before and after, and the middle of its truth, or of itself, in full size.
    The overview is the first picture with a defect under all conditions. Raises FileExistsError where `out` exists.
    """
    first = next((item for item in shown if not item.is_good), shown[0])
    tiles = []
    with whole_folder(out) as folder:
        for number, condition in enumerate(progress(conditions, "draw", unit="sheet"), 1):
            rows = [_row(item, condition, seed) for item in shown]
            name = condition.name.replace(":", "-")[:_NAME]
            write_jpeg(folder / f"{number:02d}_{name}.jpg", np.vstack(rows))
            tiles.append(_tile(first, condition, seed))
        tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % min(_COLUMNS, len(tiles)))
        rows = [np.hstack(tiles[start : start + _COLUMNS]) for start in range(0, len(tiles), _COLUMNS)]
        write_jpeg(folder / OVERVIEW, np.vstack(rows))


def _row(item: Shown, condition: Condition, seed: int) -> Image:
    after = apply(condition, item.picture, seed=seed, key=item.name)
    tiles = [_whole(item.picture), _whole(after), _detail(item.picture), _detail(after)]
    text = f"{item.name}  {condition.name}: before, after, and both in full size"
    wants_background = any(step.kind == "background" for step in condition.steps)
    if wants_background and not has_background(item.picture.image):
        text += "  (no background to be told from the part)"
    return captioned(np.hstack(tiles), text, not item.is_good)


def _tile(item: Shown, condition: Condition, seed: int) -> Image:
    after = apply(condition, item.picture, seed=seed, key=item.name)
    return captioned(np.vstack([_whole(after), _detail(after)]), condition.name, not item.is_good)


def _whole(picture: Labelled) -> Image:
    """All of it, with its truth outlined."""
    height, width = picture.image.shape[:2]
    scale = _TILE_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    shown = np.asarray(cv2.resize(picture.image, size, interpolation=how), np.uint8)
    if picture.mask is not None:
        _outline(shown, np.asarray(cv2.resize(picture.mask, size, interpolation=cv2.INTER_NEAREST), np.uint8))
    for left, top, right, bottom in np.rint(picture.boxes * scale).astype(int).tolist():
        cv2.rectangle(shown, (left, top), (right, bottom), _RED, 2)
    return _on_tile(shown)


def _detail(picture: Labelled) -> Image:
    """Pixel by pixel, around the first defect or the middle."""
    height, width = picture.image.shape[:2]
    x, y = _middle(picture)
    left, top = (max(0, min(round(at - _TILE_PX / 2), side - _TILE_PX)) for at, side in ((x, width), (y, height)))
    place = np.s_[top : top + _TILE_PX, left : left + _TILE_PX]
    shown = picture.image[place].copy()
    if picture.mask is not None:
        _outline(shown, np.ascontiguousarray(picture.mask[place]))
    for box in np.rint(picture.boxes - (left, top, left, top)).astype(int).tolist():
        cv2.rectangle(shown, (box[0], box[1]), (box[2], box[3]), _RED, 1)
    return _on_tile(shown)


def _middle(picture: Labelled) -> tuple[float, float]:
    if len(picture.boxes):
        left, top, right, bottom = picture.boxes[0].tolist()
        return (left + right) / 2, (top + bottom) / 2
    if picture.mask is not None and picture.mask.any():
        x, y, width, height = cv2.boundingRect(picture.mask)
        return x + width / 2, y + height / 2
    return picture.image.shape[1] / 2, picture.image.shape[0] / 2


def _outline(shown: Image, mask: Image) -> None:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(shown, contours, -1, _RED, 1, cv2.LINE_AA)


def _on_tile(shown: Image) -> Image:
    """In the middle of a square."""
    tile = np.full((_TILE_PX, _TILE_PX, 3), _EMPTY, np.uint8)
    top, left = ((_TILE_PX - side) // 2 for side in shown.shape[:2])
    tile[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
    return tile
