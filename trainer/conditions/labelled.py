"""A picture with its truth: whatever moves the pixels moves boxes and mask along."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from models.prediction import Image
from trainer.detection.augment import reflected, turned_boxes


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """One picture and what is known of its defects."""

    image: Image  # uint8 (H, W, 3), BGR; nobody writes to it
    boxes: NDArray[np.float32]  # (n, 4): left, top, right, bottom, px
    labels: NDArray[np.int64]  # (n,): class index of each box
    mask: NDArray[np.uint8] | None  # (H, W), 255 on defects and 0 beside them; None: not known

    @classmethod
    def of(
        cls,
        image: Image,
        boxes: NDArray[np.float32] | None = None,
        labels: NDArray[np.int64] | None = None,
        mask: NDArray[np.uint8] | None = None,
    ) -> Self:
        """With no boxes where none are given, and class 0 for boxes without labels.

        Raises ValueError for a mask of another size than the image, and for boxes without as many labels.
        """
        boxes = np.zeros((0, 4), np.float32) if boxes is None else np.asarray(boxes, np.float32).reshape(-1, 4)
        labels = np.zeros(len(boxes), np.int64) if labels is None else np.asarray(labels, np.int64)
        if len(labels) != len(boxes):
            raise ValueError(f"{len(labels)} labels for {len(boxes)} boxes, one for each was wanted")
        if mask is not None and mask.shape != image.shape[:2]:
            raise ValueError(f"a mask of {mask.shape} px for an image of {image.shape[:2]} px, the same was wanted")
        return cls(image, boxes, labels, mask)

    def with_image(self, image: Image) -> Self:
        """Other pixels in the same places."""
        return replace(self, image=image)

    def moved(self, matrix: NDArray[np.float64]) -> Self:
        """Every point p (x, y of a pixel's middle, the first one's is 0) goes to `matrix` (2, 3) times (p, 1).

        What comes in from outside is mirrored at the edge, defects too. A box becomes the one around the turned
        ellipse in it, cut at the edges, and is dropped when less than half of it is left.
        """
        height, width = self.image.shape[:2]
        size, edge = (width, height), cv2.BORDER_REFLECT_101
        image = cv2.warpAffine(self.image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=edge)
        mask = self.mask
        if mask is not None:
            moved = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_NEAREST, borderMode=edge)
            mask = np.asarray(moved, np.uint8)
        boxes, labels = reflected(self.boxes, self.labels, width, height)
        boxes, kept = turned_boxes(boxes, matrix, width, height)
        return replace(self, image=np.asarray(image, np.uint8), boxes=boxes[kept], labels=labels[kept], mask=mask)
