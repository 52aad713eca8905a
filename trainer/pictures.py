"""Pictures that a fit leaves: where people would rather look than read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.drawing import draw_boxes
from models.errors import DatasetError
from models.images import read_image
from models.prediction import Image
from models.regions import regions_of
from trainer.dataset import Dataset
from trainer.evaluate import Scored
from trainer.progress import progress

_SIDE_PX = 640
_CAPTION_PX = 34
_WORST_GOOD = 4
_GREEN, _RED, _WHITE = (80, 200, 80), (60, 60, 230), (255, 255, 255)


def draw_report(
    folder: Path, dataset: Dataset, scored: Sequence[Scored], held_out: Sequence[float], ng_at_or_above: float
) -> None:
    """All pictures of a fit: the worst good and all bad test images, worst mistakes first, and the histogram."""
    good = sorted((item for item in scored if item.label == "good"), key=lambda item: -item.score)
    bad = sorted((item for item in scored if item.label != "good"), key=lambda item: item.score)
    drawn = draw_overlays(folder, good[:_WORST_GOOD] + bad, ng_at_or_above, dataset.masks)
    if drawn:
        contact_sheet(folder / "sheet.jpg", drawn)
    groups: dict[str, list[float]] = {"good, held out": list(held_out)} if held_out else {}
    for item in scored:
        if item.prediction.lost is None:
            groups.setdefault(item.label, []).append(item.score)
    draw_histogram(folder / "histogram.png", groups, ng_at_or_above, f"{dataset.root.name}: scores on the IR")


def draw_overlays(folder: Path, scored: Sequence[Scored], ng_at_or_above: float, masks: dict[Path, Path]) -> list[Path]:
    """One JPEG per image: heatmap over the part, regions boxed, the true mask outlined where there is one.
    Where the model finds boxes, those are drawn instead.

    The colour scale is the same in all of them and turns red at the threshold, so that pictures compare.
    """
    written = []
    for item in progress(scored, "draw"):
        path = folder / f"{item.label}_{item.path.stem}.jpg"
        draw_overlay(path, item, ng_at_or_above, masks.get(item.path))
        written.append(path)
    return written


def draw_overlay(path: Path, item: Scored, ng_at_or_above: float, mask: Path | None) -> None:
    """One of them."""
    write_jpeg(path, _overlay(item, ng_at_or_above, mask))


def _overlay(item: Scored, ng_at_or_above: float, mask: Path | None) -> Image:
    image = read_image(item.path)
    scale = _SIDE_PX / max(image.shape[:2])
    small = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    heatmap, boxes = item.prediction.heatmap, item.prediction.boxes
    shown = small if heatmap is None else _heated(small, heatmap / max(ng_at_or_above, 1e-9))
    if mask is not None:
        _outline(shown, mask)
    if (lost := item.prediction.lost) is not None:
        return captioned(small, f"{item.label}/{item.path.name}  (unknown: {lost.split(' (')[0]})", is_ng=True)
    is_ng = item.score >= ng_at_or_above
    if boxes is not None:
        draw_boxes(shown, boxes, ng_at_or_above, scale)
    elif is_ng:
        for region in regions_of(item.prediction, ng_at_or_above):
            corner = (int(region.x_px * scale), int(region.y_px * scale))
            far = (int((region.x_px + region.width_px) * scale), int((region.y_px + region.height_px) * scale))
            cv2.rectangle(shown, corner, far, _RED, 2)
    kind = f"ng: {item.prediction.label}" if item.prediction.label is not None else "ng"
    return captioned(shown, f"{item.label}/{item.path.name}  {item.score:.3g} ({kind if is_ng else 'ok'})", is_ng)


def _heated(small: Image, share: NDArray[np.float32]) -> Image:
    """`share` (h, w) is the heatmap in parts of the threshold."""
    heat = cv2.resize(share, (small.shape[1], small.shape[0]), interpolation=cv2.INTER_LINEAR)
    level = np.clip(heat * 0.85, 0, 1)  # 0.85 of the map is red: the threshold
    colour = cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    weight = np.clip((heat - 0.5) * 1.2, 0, 0.6)[:, :, None]
    return np.asarray(small * (1 - weight) + colour * weight, np.uint8)


def _outline(shown: Image, mask: Path) -> None:
    try:
        truth = read_image(mask)[:, :, 0]
    except DatasetError:  # a picture without its outline is still worth having
        return
    small = cv2.resize(truth, (shown.shape[1], shown.shape[0]), interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours((small > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(shown, contours, -1, _WHITE, 1, cv2.LINE_AA)


def captioned(shown: Image, text: str, is_ng: bool) -> Image:
    """The picture under a bar with `text`, red for what is bad and green for what is good."""
    bar = np.full((_CAPTION_PX, shown.shape[1], 3), 24, np.uint8)
    cv2.putText(bar, text, (8, 23), cv2.FONT_HERSHEY_SIMPLEX, 0.55, _RED if is_ng else _GREEN, 1, cv2.LINE_AA)
    return np.vstack([bar, shown])


def contact_sheet(path: Path, pictures: Sequence[Path], columns: int = 4, side_px: int = 320) -> None:
    """The first pictures side by side, at most six rows."""
    tiles = [
        cv2.resize(read_image(p), (side_px, side_px), interpolation=cv2.INTER_AREA) for p in pictures[: 6 * columns]
    ]
    tiles += [np.full((side_px, side_px, 3), 255, np.uint8)] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    write_jpeg(path, np.vstack(rows))


def draw_verdicts(path: Path, judged: Sequence[tuple[Path, str, dict[str, Any]]], columns: int = 6) -> None:
    """A sheet of frames with their verdict and its regions; each is (frame, true kind, verdict)."""
    tiles = [_judged_tile(read_image(frame), kind, verdict) for frame, kind, verdict in judged]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    write_jpeg(path, np.vstack(rows))


def write_jpeg(path: Path, picture: Image) -> None:
    """Writes a picture; cv2.imwrite would say nothing of a full disk."""
    path.write_bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())


def _judged_tile(image: Image, kind: str, verdict: dict[str, Any], side_px: int = 300) -> Image:
    for region in verdict["regions"]:
        corner = (region["x_px"], region["y_px"])
        far = (corner[0] + region["width_px"], corner[1] + region["height_px"])
        cv2.rectangle(image, corner, far, _RED, max(2, image.shape[1] // 200))
    small = np.asarray(cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_AREA), np.uint8)
    right = (kind == "good") == (verdict["outcome"] == "ok")
    text = f"{verdict['outcome']} {verdict['score'] or 0:.3g}  is {kind}" + ("" if right else " (WRONG)")
    return captioned(small, text, not right)


def draw_histogram(path: Path, groups: Mapping[str, Sequence[float]], ng_at_or_above: float, title: str) -> None:
    """Scores of each group of images, with the threshold between them."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.2), dpi=120)
    every = [score for scores in groups.values() for score in scores]
    bins = np.linspace(min(every), max(every), 32) if max(every) > min(every) else np.linspace(0, max(every) + 1, 32)
    for name, scores in groups.items():
        axes.hist(scores, bins=list(bins), alpha=0.65, label=f"{name} (n = {len(scores)})")
    axes.axvline(ng_at_or_above, color="crimson", linewidth=2, label=f"threshold {ng_at_or_above:.3g}")
    axes.set(xlabel="score (higher is worse)", ylabel="images", title=title)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
