"""The variation that a few annotated defects are given before a detector sees them. numpy and OpenCV only.

A picture is uint8 (h, w, 3) BGR; boxes are float32 (n, 4) left, top, right, bottom in pixels. In order:

1. `paste`: annotated defects are cut out and laid onto other parts, where the surroundings look alike (copy-paste:
   Ghiasi et al., arXiv 2012.07177). As many pieces of good parts are pasted the same way and not labelled, so that the
   seam of a patch is no sign of a defect.
2. `pose`: turned, mirrored, moved and scaled a little.
3. `background`: what lies around the part gets another grey and a slope.
4. `light`: gain, offset, gamma, blur, noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.prediction import Image
from trainer.detection.paste import Boxes, Patch, Sample, pasted


@dataclass(frozen=True, slots=True)
class Strength:
    """How far pictures are varied."""

    rotation_deg: float = 8.0  # largest
    shift: float = 0.06  # largest, as a share of the sides
    scale: float = 0.08
    light: float = 0.25
    paste: float = 0.6  # share of pictures that something is pasted onto
    background: float = 0.3  # share of pictures


def augmented(sample: Sample, patches: Sequence[Patch], rng: np.random.Generator, strength: Strength) -> Sample:
    """All four steps, drawn anew."""
    if patches and rng.random() < strength.paste:
        for _ in range(int(rng.integers(1, 3))):
            sample = pasted(sample, patches[int(rng.integers(len(patches)))], rng)
    sample = posed(sample, rng, strength)
    image = sample.image
    if rng.random() < strength.background:
        image = other_background(image, rng)
    return Sample(other_light(image, rng, strength.light), sample.boxes, sample.labels)


def posed(sample: Sample, rng: np.random.Generator, strength: Strength) -> Sample:
    """Turned, mirrored, moved, scaled. A box becomes that around the turned ellipse in it, which stays tight."""
    height, width = sample.image.shape[:2]
    angle = float(rng.uniform(-1, 1)) * strength.rotation_deg
    if strength.rotation_deg >= 90:
        angle += 90 * float(rng.integers(4))
    scale = 1 + float(rng.uniform(-1, 1)) * strength.scale
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, scale)
    matrix[:, 2] += rng.uniform(-strength.shift, strength.shift, 2) * np.array([width, height])
    if rng.integers(2):
        matrix = matrix @ np.array([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]])
    moved = cv2.warpAffine(
        sample.image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    boxes, labels = reflected(sample.boxes, sample.labels, width, height)
    boxes, kept = turned_boxes(boxes, np.asarray(matrix, np.float64), width, height)
    return Sample(np.asarray(moved, np.uint8), boxes[kept], labels[kept])


def other_background(image: Image, rng: np.random.Generator) -> Image:
    """What looks like the border of the picture is taken for background, and lit differently."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    spread = max(6.0, 3 * float(np.median(np.abs(border - np.median(border)))))
    alike = (np.abs(cv2.GaussianBlur(grey, (0, 0), 1.5) - np.median(border)) < spread).astype(np.float32)
    alpha = cv2.GaussianBlur(cv2.erode(alike, np.ones((5, 5))), (0, 0), 4)[:, :, None]
    rows, columns = np.mgrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j]
    slope = rng.uniform(-25, 25, 2)
    change = rng.uniform(-40, 25) + slope[0] * rows + slope[1] * columns
    tint = rng.uniform(-12, 12, 3)
    return np.asarray(np.clip(image + alpha * (change[:, :, None] + tint), 0, 255), np.uint8)


def other_light(image: Image, rng: np.random.Generator, strength: float) -> Image:
    """Gain, offset and gamma, then now and then blur, then noise."""
    gain, gamma = 1 + rng.uniform(-1, 1) * strength, np.exp(rng.uniform(-1, 1) * strength)
    levels = np.clip(255 * (np.arange(256) / 255) ** gamma * gain + rng.uniform(-40, 40) * strength, 0, 255)
    result = cv2.LUT(image, levels.astype(np.uint8))
    if rng.random() < 0.15:
        result = cv2.GaussianBlur(result, (0, 0), float(rng.uniform(0.3, 0.9)))
    if rng.random() < 0.5:
        result = np.clip(result + rng.normal(0, rng.uniform(0, 5), image.shape[:2])[:, :, None], 0, 255)
    return np.asarray(result, np.uint8)


def reflected(boxes: Boxes, labels: NDArray[np.int64], width: int, height: int) -> tuple[Boxes, NDArray[np.int64]]:
    """With what BORDER_REFLECT_101 shows beyond the edges: the mirror image of a defect looks like one."""
    for axis, side in ((0, width), (1, height)):
        before, behind = boxes.copy(), boxes.copy()
        before[:, [axis, axis + 2]] = 1 - boxes[:, [axis + 2, axis]]
        behind[:, [axis, axis + 2]] = 2 * side - 1 - boxes[:, [axis + 2, axis]]
        boxes, labels = np.vstack([boxes, before, behind]), np.tile(labels, 3)
    return boxes, labels


def turned_boxes(boxes: Boxes, matrix: NDArray[np.float64], width: int, height: int) -> tuple[Boxes, NDArray[np.bool_]]:
    """The boxes, and which of them are still to be seen by at least half."""
    # The matrix moves the middles of pixels; the first one's is at 0 there and at 0.5 for boxes.
    centres = ((boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5
    halves = np.sqrt(((boxes[:, 2:] - boxes[:, :2]) / 2) ** 2 @ (matrix[:, :2] ** 2).T)
    whole = np.hstack([centres - halves, centres + halves])
    seen = np.clip(whole, 0, [width, height, width, height])
    sides = np.maximum(seen[:, 2:] - seen[:, :2], 0)
    kept = (sides.prod(axis=1) >= 0.5 * (2 * halves).prod(axis=1)) & (sides.min(axis=1, initial=np.inf) >= 2)
    return seen.astype(np.float32), kept
