"""Copy-paste: annotated defects are cut out and laid onto other parts, where the surroundings look alike."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.prediction import Image

Boxes = NDArray[np.float32]
_MARGIN = 0.35  # of a box's sides: the surroundings that are cut out with a defect
_TRIED_TURNS, _TRIED_PLACES = 6, 24
_STRANGEST = 40.0  # grey levels between a patch's surroundings and the place, on average
_FOREGROUND = 20  # grey levels from the border of the picture, at least
_ON_PART = 0.7  # share of a pasted defect
_LEAST_PX = 4


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A piece of a picture, with the defect in it."""

    pixels: Image
    box: Boxes  # (4,), within `pixels`
    label: int  # class index; -1: a piece of a good part


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A picture with its boxes."""

    image: Image
    boxes: Boxes
    labels: NDArray[np.int64]  # (n,)


def cut_out(image: Image, box: Boxes, label: int) -> Patch:
    """A defect with its surroundings."""
    height, width = image.shape[:2]
    margin = np.maximum(_MARGIN * np.array([box[2] - box[0], box[3] - box[1]]), _LEAST_PX)
    left, top = np.maximum(box[:2] - margin, 0).astype(int)
    right, bottom = np.minimum(np.ceil(box[2:] + margin), (width, height)).astype(int)
    within = box - np.array([left, top, left, top], np.float32)
    return Patch(image[top:bottom, left:right].copy(), within.astype(np.float32), label)


def pasted(sample: Sample, patch: Patch, rng: np.random.Generator) -> Sample:
    """The patch, turned by right angles and mirrored, where what surrounds the defect fits best; not over another box.

    On the part, because defects are on parts. Nothing is pasted where nothing fits.
    """
    height, width = sample.image.shape[:2]
    on_part = _on_part(sample.image)
    centres = np.argwhere(on_part[::4, ::4])[:, ::-1] * 4
    if not len(centres):
        return sample
    best: tuple[float, Patch, int, int] | None = None
    for _ in range(_TRIED_TURNS):
        turned = _turned_patch(patch, int(rng.integers(4)), mirror=bool(rng.integers(2)))
        rows, columns = turned.pixels.shape[:2]
        for x, y in centres[rng.integers(len(centres), size=_TRIED_PLACES)]:
            left, top = int(x) - columns // 2, int(y) - rows // 2
            is_inside = 0 <= left <= width - columns and 0 <= top <= height - rows
            if not is_inside or _meets(sample.boxes, left, top, columns, rows):
                continue
            place = np.s_[top : top + rows, left : left + columns]
            apart = _strangeness(sample.image[place], on_part[place], turned)
            if apart < _STRANGEST and (best is None or apart < best[0]):
                best = (apart, turned, left, top)
    return sample if best is None else _laid(sample, *best[1:])


def _laid(sample: Sample, patch: Patch, left: int, top: int) -> Sample:
    rows, columns = patch.pixels.shape[:2]
    image = sample.image.copy()
    under = image[top : top + rows, left : left + columns]
    alpha = _feather(rows, columns, patch.box)
    shift = float(np.clip(_outside(under, patch.box) - _outside(patch.pixels, patch.box), -40, 40))
    image[top : top + rows, left : left + columns] = np.clip(
        under * (1 - alpha) + (patch.pixels + shift) * alpha, 0, 255
    ).astype(np.uint8)
    if patch.label < 0:
        return Sample(image, sample.boxes, sample.labels)
    box = patch.box + np.array([left, top, left, top], np.float32)
    return Sample(image, np.vstack([sample.boxes, box[None]]), np.append(sample.labels, np.int64(patch.label)))


def _turned_patch(patch: Patch, quarters: int, *, mirror: bool) -> Patch:
    pixels, box = patch.pixels, patch.box
    if mirror:
        width = pixels.shape[1]
        pixels, box = pixels[:, ::-1], np.array([width - box[2], box[1], width - box[0], box[3]])
    for _ in range(quarters):  # counter-clockwise: (x, y) -> (y, width - x)
        width = pixels.shape[1]
        pixels, box = np.rot90(pixels), np.array([box[1], width - box[2], box[3], width - box[0]])
    return Patch(np.ascontiguousarray(pixels), box.astype(np.float32), patch.label)


def _meets(boxes: Boxes, left: int, top: int, columns: int, rows: int) -> bool:
    across = (boxes[:, 0] < left + columns) & (boxes[:, 2] > left)
    return bool(np.any(across & (boxes[:, 1] < top + rows) & (boxes[:, 3] > top)))


def _on_part(image: Image) -> NDArray[np.bool_]:
    """Pixels (h, w) that differ from the border of the picture: by more than shadows do, where parts are plainer."""
    grey = image[:, :, 1].astype(np.int16)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    apart = np.minimum(np.abs(grey - np.median(border)), 255).astype(np.uint8)
    limit, _ = cv2.threshold(apart, 0, 255, cv2.THRESH_OTSU)
    return np.asarray(apart > max(1.2 * limit, _FOREGROUND))


def _outside(pixels: Image, box: Boxes) -> float:
    """Mean grey level of a patch around its defect."""
    return float(pixels[_around(pixels.shape[0], pixels.shape[1], box)].mean())


def _around(rows: int, columns: int, box: Boxes) -> NDArray[np.bool_]:
    around = np.ones((rows, columns), bool)
    left, top, right, bottom = box.astype(int)
    around[top:bottom, left:right] = False
    return around


def _strangeness(under: Image, on_part: NDArray[np.bool_], patch: Patch) -> float:
    """How unlike the patch's surroundings the place is, in grey levels. Infinite beside the part and without any."""
    around = _around(patch.pixels.shape[0], patch.pixels.shape[1], patch.box)
    if not around.any() or on_part[~around].mean() < _ON_PART:
        return np.inf
    return float(np.abs(under[:, :, 1].astype(np.int16) - patch.pixels[:, :, 1])[around].mean())


def _feather(rows: int, columns: int, box: Boxes) -> NDArray[np.float32]:
    """1 in the box, falling to 0 at the rim of the patch."""
    x, y = np.arange(columns) + 0.5, np.arange(rows) + 0.5
    across = np.minimum(x / max(box[0], 1), (columns - x) / max(columns - box[2], 1))
    down = np.minimum(y / max(box[1], 1), (rows - y) / max(rows - box[3], 1))
    return np.asarray(np.clip(np.minimum(across[None], down[:, None]), 0, 1), np.float32)[:, :, None]
