"""Masks on defects, in MVTec AD's layout or in plain folders: each connected part becomes a box."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import DatasetError
from models.images import read_image
from trainer.annotations.boxes import size_of
from trainer.annotations.problems import Problems, RecordError
from trainer.annotations.tree import Tree
from trainer.annotations.types import Picture
from trainer.dataset import MASKS, Dataset, scan_folders
from trainer.progress import progress

F32 = NDArray[np.float32]
MIN_AREA_PX = 4
MERGE_SHARE = 0.02  # of the longer side: a scratch that the mask shows in pieces is one scratch
_MAX_PARTS = 2000  # the table of their distances still fits into memory; no mask of a defect has as many
_ABOVE = 127


def find_folders(root: Path) -> Dataset | None:
    """Good parts and defects by the names of folders, if the root is laid out so."""
    try:
        return scan_folders(root)
    except DatasetError:
        return None


def read_masks(tree: Tree, merge_px: float | None, problems: Problems) -> tuple[list[Picture], list[str]]:
    """A picture for each image, and the names of the defects' folders, which are the classes.

    The good pictures of `test/` are held out; the bad ones are not, because MVTec AD has none elsewhere.
    Raises DatasetError when there is no good picture.
    """
    dataset = scan_folders(tree.root)
    pictures = []
    for path, held_out in [*((p, False) for p in dataset.train_good), *((p, True) for p in dataset.test_good)]:
        with problems.at(path.relative_to(tree.root)):
            pictures.append(Picture(path, *size_of(path), np.zeros((0, 4), np.float32), (), held_out))
    bad = [(name, path) for name, paths in dataset.defects.items() for path in paths]
    for name, path in progress(bad, "read masks"):
        with problems.at(path.relative_to(tree.root)):
            pictures.append(_bad_picture(path, name, dataset.masks.get(path), merge_px))
    used = {mask.relative_to(tree.root) for mask in dataset.masks.values()}
    for mask in sorted(tree.images - used):
        if len(mask.parts) == 3 and mask.parts[0] == MASKS and mask.parts[1] != "good":
            problems.add(mask, "no image belongs to this mask; put it back or remove the mask")
    return pictures, list(dataset.defects)


def boxes_of(mask: NDArray[np.uint8], merge_px: float) -> F32:
    """The boxes (n, 4) of a mask (H, W), brighter than 127 on the defect: left, top, right, bottom, px.

    Parts below 4 px of area are dropped; parts nearer to each other than `merge_px` share a box.
    Raises RecordError when nothing is left, or when there are more parts than a mask can have.
    """
    count, _, stats, _ = cv2.connectedComponentsWithStats((mask > _ABOVE).astype(np.uint8), connectivity=8)
    parts = stats[1:][stats[1:, cv2.CC_STAT_AREA] >= MIN_AREA_PX]
    if not len(parts):
        brightest = f"its brightest pixel is {mask.max()}, the defect must be above {_ABOVE}"
        raise RecordError("the mask is empty: " + ("it has specks only" if count > 1 else brightest))
    if len(parts) > _MAX_PARTS:
        raise RecordError(f"the mask has {len(parts)} parts, at most {_MAX_PARTS} were wanted: is it a photograph?")
    corner = parts[:, [cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP]]
    far = corner + parts[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    return _merged(np.hstack([corner, far]).astype(np.float32), merge_px)


def _bad_picture(path: Path, name: str, mask: Path | None, merge_px: float | None) -> Picture:
    if mask is None:
        wanted = f"{MASKS}/{name}/{path.stem}_mask.png"
        raise RecordError(f"no mask, so nobody knows where the defect is; wanted {wanted}, or boxes in another format")
    height, width = size_of(path)
    pixels = read_image(mask)[:, :, 0]
    if pixels.shape != (height, width):
        found = f"{pixels.shape[1]} x {pixels.shape[0]} px"
        raise RecordError(f"the mask {mask.name} has {found}, the image {width} x {height} px; export it in full size")
    merge_px = MERGE_SHARE * max(height, width) if merge_px is None else merge_px
    boxes = boxes_of(pixels, merge_px)
    return Picture(path, height, width, boxes, (name,) * len(boxes))


def _merged(boxes: F32, merge_px: float) -> F32:
    """Joins boxes whose gap is below `merge_px`, until none is: a joined box may reach a next one."""
    from scipy.sparse.csgraph import connected_components

    while True:
        count, group = connected_components(_gaps(boxes) < merge_px, directed=False)
        if count == len(boxes):
            return boxes[np.lexsort((boxes[:, 0], boxes[:, 1]))]
        joined = np.full((count, 4), [np.inf, np.inf, -np.inf, -np.inf], np.float32)
        np.minimum.at(joined[:, :2], group, boxes[:, :2])
        np.maximum.at(joined[:, 2:], group, boxes[:, 2:])
        boxes = joined


def _gaps(boxes: F32) -> F32:
    """(n, n) distances between the edges of boxes, px; 0 where they touch."""
    left, top, right, bottom = boxes.T
    across = np.maximum(0, np.maximum(left[:, None] - right, left - right[:, None]))
    down = np.maximum(0, np.maximum(top[:, None] - bottom, top - bottom[:, None]))
    return np.asarray(np.hypot(across, down), np.float32)
