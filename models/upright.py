"""Lays the part in a frame upright before a model sees it, and what the model saw of it back into the frame.

`models/search.py` finds the part. Trainer and edge both look through this. Several threads may use one Upright.
"""

import functools
import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile, ZipFile
from zlib import error as ZlibError  # noqa: N812

import cv2
import numpy as np
from numpy.typing import NDArray

from models.edges import SIDE, Field, edges_of
from models.errors import BundleError
from models.manifest import USUAL_SHARE, Pose
from models.match import Match, Place, seen_at
from models.prediction import Image
from models.search import Search
from models.warp import cells_to_pixels, matrix_of, middle_of, warp

__all__ = [
    "FILL", "SIDE", "UPRIGHT", "Field", "Mask", "Match", "Place", "Search", "Upright", "View", "edges_of", "on_frame",
    "read_upright", "save_upright", "seen_at",
]  # fmt: skip

UPRIGHT: Final = "upright.npz"  # the file of a bundle
FILL: Final = 128  # grey, of what is not the part
Mask = NDArray[np.uint8]  # (H, W), 1 on the part
_STRIPS = 8  # in which a part is laid
_LOOKED_AT = 32  # rows and columns in which it is seen how much of a part lies in the frame
_LEAST_CELLS, _MOST_CELLS = 4, 220
_MOST_SIDE_PX = 16384  # of a mask
_MOST_BYTES = (1 << 28) + (1 << 20)  # of both arrays; a few kB may unpack to more than there is memory
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, RuntimeError, BadZipFile, ZlibError)


@dataclass(frozen=True, slots=True)
class View:
    """A part, upright."""

    image: Image  # of the size of the mask; FILL beside the part and beyond the frame
    to_frame: NDArray[np.float64]  # (2, 3): pixels of the view to pixels of the frame
    lost: str | None  # why this is no part, or not enough of one

    def in_frame(self, rows: int, columns: int, frame: Image) -> NDArray[np.float32]:
        """(rows, columns), 1 for cells of the view whose middles lie in the frame, 0 for those beyond."""
        places = (_to_pixels(self, rows, columns) @ _middles(rows, columns)).reshape(2, rows, columns)
        within = [(axis >= 0) & (axis <= side - 1) for axis, side in zip(places, frame.shape[1::-1], strict=True)]
        return np.asarray(within[0] & within[1], np.float32)


class _Strip:
    """A few columns of a view, as far as there is anything of the part."""

    def __init__(self, rows: slice, columns: slice, mask: Mask) -> None:
        self.rows, self.columns = rows, columns
        # What a view keeps of each byte, and what lies beside the part; as bits, that takes a tenth of the time.
        self.kept = np.repeat(np.where(mask == 0, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
        self.fill = np.asarray(~self.kept & FILL, np.uint8)


class Upright:
    """Frames in, upright parts out."""

    def __init__(self, search: Search, mask: Mask, least_match: float, least_share: float = USUAL_SHARE) -> None:
        """`mask` has the pixels of a view; the template covers it. Less of either least, and there is no part."""
        self.mask, self._least_share = mask, least_share
        self._search, self._least = search, least_match
        self._strips = [_Strip(*place, mask[place]) for place in _strips_of(mask)]

    def view(self, frame: Image, *, alone: bool = True) -> View:
        """Of a frame, uint8 (H, W, 3) BGR, which is read and never written; `alone`, without what lies beside it."""
        place = self._search.find(edges_of(frame))
        to_frame = self._to_frame(place, frame)
        image = (
            self._alone(frame, to_frame)
            if alone
            else np.asarray(warp(frame, to_frame, self.mask.shape, FILL), np.uint8)
        )
        view = View(image, to_frame, None)
        return replace(view, lost=self._complaint(place, view, frame))

    def _alone(self, frame: Image, to_frame: NDArray[np.float64]) -> Image:
        """The part; no more of the frame is laid than it fills."""
        image = np.full((*self.mask.shape, 3), FILL, np.uint8)
        frame = np.ascontiguousarray(frame)  # else OpenCV would copy it for each strip
        for strip in self._strips:
            matrix = to_frame.copy()
            matrix[:, 2] += to_frame[:, :2] @ (strip.columns.start, strip.rows.start)
            laid = warp(frame, matrix, strip.kept.shape, FILL)
            image[strip.rows, strip.columns] = cv2.bitwise_or(cv2.bitwise_and(laid, strip.kept), strip.fill)
        return image

    def _complaint(self, place: Place, view: View, frame: Image) -> str | None:
        if not place.match >= self._least:
            return f"no part was found (match {place.match:.2f}, {self._least:.2f} was wanted)"
        share = self.share(view, frame)
        if share >= self._least_share:
            return None
        return f"{share:.0%} of the part lie in the picture, {self._least_share:.0%} were wanted"

    def share(self, view: View, frame: Image) -> float:
        """How much of the part lies in the frame, 0 to 1."""
        part = cv2.resize(self.mask, (_LOOKED_AT, _LOOKED_AT), interpolation=cv2.INTER_NEAREST)
        return float((part * view.in_frame(_LOOKED_AT, _LOOKED_AT, frame)).sum() / max(1, part.sum()))

    def _to_frame(self, place: Place, frame: Image) -> NDArray[np.float64]:
        cell_px = max(frame.shape[:2]) / SIDE
        arm = place.size * np.exp(1j * place.turn_rad) * cell_px * self._search.template.shape[1] / self.mask.shape[1]
        return matrix_of(arm, middle_of(frame.shape) + cell_px * place.shift - arm * middle_of(self.mask.shape))


def _strips_of(mask: Mask) -> list[tuple[slice, slice]]:
    """Rows and columns of each that has anything of the part."""
    edges = np.linspace(0, mask.shape[1], _STRIPS + 1).astype(int).tolist()
    found = []
    for left, right in itertools.pairwise(edges):
        rows = np.flatnonzero(mask[:, left:right].any(axis=1))
        if len(rows):
            found.append((slice(int(rows[0]), int(rows[-1]) + 1), slice(left, right)))
    return found


def on_frame(heat: NDArray[np.float32], view: View, frame_shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A view's heatmap (h, w), laid back into its frame: cells of about the same size, 0 where it did not look."""
    cell_px = float(np.hypot(*view.to_frame[:, 0])) * view.image.shape[1] / heat.shape[1]
    rows, columns = (max(1, round(side / cell_px)) for side in frame_shape[:2])
    to_cells = np.linalg.inv(cells_to_pixels(frame_shape, (rows, columns)))
    matrix = to_cells @ np.vstack([_to_pixels(view, *heat.shape), [0, 0, 1]])
    laid = cv2.warpAffine(heat, matrix[:2], (columns, rows), flags=cv2.INTER_LINEAR, borderValue=0)
    return np.asarray(laid, np.float32)


def save_upright(path: Path, template: Field, mask: Mask) -> None:
    """Writes what `read_upright` reads; the same arrays give the same bytes."""
    np.savez_compressed(path, edges=np.stack([template.real, template.imag]).astype(np.float32), mask=mask)


def read_upright(path: Path, pose: Pose) -> Upright:
    """Of a verified bundle. Raises BundleError where the file is not such a one."""
    try:
        edges, mask = _arrays_in(path)
    except _UNREADABLE as error:
        raise BundleError(f"{path}: no template of a part ({error}); make the bundle again") from error
    if not _is_template(edges) or not _is_mask(mask):
        raise BundleError(
            f"{path}: edges {edges.dtype} {edges.shape}, mask {mask.dtype} {mask.shape}; wanted finite float32 "
            f"(2, h, w) of {_LEAST_CELLS} to {_MOST_CELLS} cells and uint8 (H, W) with a part; make the bundle again"
        )
    template = np.asarray(edges[0] + 1j * edges[1], np.complex64)
    return Upright(Search(template, pose.sizes, pose.turns_deg), mask, pose.least_match, pose.least_share)


def _arrays_in(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    with ZipFile(path) as packed:
        unpacked = sum(member.file_size for member in packed.infolist())
    if unpacked > _MOST_BYTES:
        raise ValueError(f"{unpacked} bytes unpacked, {_MOST_BYTES} at most were wanted")
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["edges"], arrays["mask"]


def _is_template(edges: NDArray[Any]) -> bool:
    if edges.dtype != np.float32 or edges.ndim != 3 or len(edges) != 2:
        return False
    sides = edges.shape[1:]
    return min(sides) >= _LEAST_CELLS and max(sides) <= _MOST_CELLS and bool(np.isfinite(edges).all() and edges.any())


def _is_mask(mask: NDArray[Any]) -> bool:
    return mask.dtype == np.uint8 and mask.ndim == 2 and max(mask.shape) <= _MOST_SIDE_PX and bool(mask.any())


@functools.lru_cache(maxsize=8)
def _middles(rows: int, columns: int) -> NDArray[np.float64]:
    """(3, rows * columns): x, y and 1 of every cell. A line has one size of it."""
    cells = np.stack([*np.meshgrid(np.arange(columns), np.arange(rows)), np.ones((rows, columns))])
    return np.asarray(cells.reshape(3, -1), np.float64)


def _to_pixels(view: View, rows: int, columns: int) -> NDArray[np.float64]:
    """(2, 3): cells of a view to pixels of its frame."""
    matrix = np.vstack([view.to_frame, [0, 0, 1]]) @ cells_to_pixels(view.image.shape, (rows, columns))
    return np.asarray(matrix[:2])
