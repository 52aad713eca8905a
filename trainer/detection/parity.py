"""The gate between torch and the IR for boxes: a bundle is exported only when both find the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from models.errors import ModelError
from models.manifest import BoxParity, Preprocess
from models.prediction import Boxes, Image
from models.runner import Runner
from models.scoring import judge
from trainer.detection.reference import torch_boxes

if TYPE_CHECKING:
    import torch

FLOOR = 0.05  # boxes above it are compared
MAX_BOX_PX, MAX_SCORE = 0.01, 1e-5


def check_boxes(  # noqa: PLR0913, PLR0917 - both sides, and by what they are judged
    images: Sequence[Image],
    network: torch.nn.Module,
    runner: Runner,
    spec: Preprocess,
    labels: tuple[str, ...],
    ng_at_or_above: float,
) -> BoxParity:
    """Finds boxes in images of native resolution both ways.

    Raises ModelError when one side finds a box above 0.05 that the other does not, an edge is off by more than
    0.01 px, a score by more than 1e-5, or a verdict flips. At less than f32 all that is written down alone: its
    threshold was put on its own scores.
    """
    pairs = [(torch_boxes(network, image, spec, labels), runner.predict(image)) for image in images]
    apart = [distances(want, got.boxes) for want, got in pairs if got.boxes is not None]
    flips = sum(judge(_best(want), ng_at_or_above)[0] != judge(got.score, ng_at_or_above)[0] for want, got in pairs)
    others = sum(differs for _, differs, *_ in apart)
    px, score = (float(np.max(column)) for column in zip(*(one[2:] for one in apart), strict=True))
    is_close = px <= MAX_BOX_PX and score <= MAX_SCORE  # not so when either is NaN, which np.max passes on
    if not np.isfinite([px, score]).all() or (runner.precision == "f32" and (flips or others or not is_close)):
        raise ModelError(
            f"parity: torch and the IR differ: other boxes on {others} of {len(images)} images, "
            f"edges by {px:.1e} px, scores by {score:.1e}, {flips} verdicts flip; at "
            f"most none, {MAX_BOX_PX} px, {MAX_SCORE} and none were wanted: nothing was exported; try another --seed"
        )
    return BoxParity(
        n_images=len(images),
        n_boxes=sum(n for n, *_ in apart),
        count_differences=others,
        max_box_px=px,
        max_score=score,
        label_flips=flips,
    )


def distances(want: Boxes, got: Boxes) -> tuple[int, bool, float, float]:
    """Boxes compared, whether the two sides found others, largest distance of an edge in px, and of a score.

    Each box of `want` goes with the nearest of its label in `got`. A score within 1e-5 of the floor may fall on either
    side of it.
    """
    sure, other = (_above(want, FLOOR + MAX_SCORE), _above(got, FLOOR - MAX_SCORE))
    back, forth = (_above(got, FLOOR + MAX_SCORE), _above(want, FLOOR - MAX_SCORE))
    px, score, lost = _nearest(want, sure, got, other)
    _, _, found = _nearest(got, back, want, forth)
    return len(sure), lost or found, px, score


def _above(boxes: Boxes, floor: float) -> list[int]:
    return [int(i) for i in np.flatnonzero(boxes.scores > floor)]


def _nearest(want: Boxes, indices: list[int], got: Boxes, among: list[int]) -> tuple[float, float, bool]:
    px, score, free = [0.0], [0.0], set(among)
    for i in indices:
        alike = [j for j in free if got.labels[j] == want.labels[i]]
        if not alike:
            return float(np.max(px)), float(np.max(score)), True
        apart = [float(np.abs(got.xyxy_px[j] - want.xyxy_px[i]).max()) for j in alike]
        best = alike[int(np.argmin(apart))]
        free.discard(best)
        px.append(min(apart))
        score.append(abs(float(got.scores[best] - want.scores[i])))
    return float(np.max(px)), float(np.max(score)), False


def _best(boxes: Boxes) -> float:
    return float(boxes.scores.max()) if boxes.scores.size else 0.0
