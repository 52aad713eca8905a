"""The production lines to learn from: of each, pictures of good parts and of damaged ones that lie alike.

Rendered once, into plain files that all workers map: `pictures.npy` and `damage.npy`.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.progress import progress
from trainer.synth.arrays import Image, Mask
from trainer.synth.parts import render_part
from trainer.synth.scene import draw_pose, render_screw, streams, upright

Photograph = tuple[Image, Mask]

GOOD, DAMAGED = 4, 2  # pictures of a line, the good ones first
SIDE_PX = 256
_MOST_DAMAGES = 4  # of one part
_SCREWS = 0.3  # share of the lines
_SCREW = 1.5  # a screw's picture is so much larger than what a line shows of it
_SEEDS = 10_000_000  # lines of one seed: `render-parts` with the same seed shows others


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Pictures of all lines, mapped from the disk."""

    pictures: NDArray[np.uint8]  # (n, GOOD + DAMAGED, side, side, 3), BGR
    damage: NDArray[np.uint8]  # (n, DAMAGED, side, side), 0 or 255


def open_lines(folder: Path) -> Lines:
    """What `render_lines` wrote."""
    return Lines(np.load(folder / "pictures.npy", mmap_mode="r"), np.load(folder / "damage.npy", mmap_mode="r"))


def render_lines(folder: Path, count: int, seed: int, workers: int) -> Lines:
    """Renders `count` lines by so many processes, unless `folder` holds them already. The same seed gives the same."""
    if not (folder / "damage.npy").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        first = (seed + 1) * _SEEDS
        spawn = multiprocessing.get_context("spawn")  # a thread of OpenCV's may hold a lock that a fork would inherit
        with ProcessPoolExecutor(max(1, workers), spawn) as pool:
            rendered = pool.map(partial(_render, SIDE_PX), range(first, first + count), chunksize=4)
            _write(folder, count, progress(rendered, "render lines", unit="line", total=count))
    return open_lines(folder)


def _write(folder: Path, count: int, rendered: object) -> None:
    shape = (count, GOOD + DAMAGED, SIDE_PX, SIDE_PX)
    pictures = np.lib.format.open_memmap(folder / "pictures.npy", "w+", np.uint8, (*shape, 3))
    damage = np.zeros((count, DAMAGED, *shape[2:]), np.uint8)
    for i, (images, masks) in enumerate(rendered):  # type: ignore[var-annotated, arg-type]
        pictures[i], damage[i] = images, masks
    pictures.flush()
    part = folder / "damage.part.npy"
    np.save(part, damage)
    part.rename(folder / "damage.npy")  # last: with it they are whole


def _render(side_px: int, design: int) -> tuple[list[Image], list[Mask]]:
    is_screw = np.random.default_rng(design).random() < _SCREWS
    photos = _screws(side_px, design) if is_screw else _parts(side_px, design)
    return [image for image, _ in photos], [mask for _, mask in photos[GOOD:]]


def _parts(side_px: int, design: int) -> list[Photograph]:
    """Of a made-up part: it lies in one place already."""
    hurt = [0] * GOOD + [1 + (design + i) % _MOST_DAMAGES for i in range(DAMAGED)]
    shots = (render_part(design, i, size_px=side_px, damages=n, turn_deg=0.0) for i, n in enumerate(hurt))
    nothing = np.zeros((side_px, side_px), np.uint8)
    return [(shot.image, np.max([nothing, *(damage.mask for damage in shot.damages)], axis=0)) for shot in shots]


def _screws(side_px: int, design: int) -> list[Photograph]:
    """Of screws: a window somewhere along them, turned back as well as it goes. Each is lit from where it lay."""
    whole_px = round(_SCREW * side_px)
    right = float(np.random.default_rng((design, 1)).uniform(0, whole_px - side_px))
    first, found = design * (GOOD + DAMAGED), []
    for i in range(GOOD + DAMAGED):
        layers = render_screw(first + i, size_px=whole_px, defect="scratch_neck" if i >= GOOD else None)
        matrix = upright(draw_pose(streams(first + i)[0]), whole_px)
        matrix[:, 2] -= (right, (whole_px - side_px) / 2)
        edge = cv2.BORDER_REFLECT_101
        found.append([cv2.warpAffine(layer, matrix, (side_px, side_px), borderMode=edge) for layer in layers])
    return [(cast(Image, image), cast(Mask, mask)) for image, mask in found]
