"""What was understood of annotated pictures, in lines for a person."""

from __future__ import annotations

from collections import Counter

import numpy as np

from models.errors import DatasetError
from trainer.annotations.enough import check_enough
from trainer.annotations.formats import NAMES
from trainer.annotations.types import Annotated


def in_words(annotated: Annotated) -> str:
    """Format, pictures, boxes of each class, their sizes in px, what is held out, notes, and what is missing."""
    pictures = annotated.pictures
    held_out = sum(picture.held_out for picture in pictures)
    lines = [
        f"format: {NAMES[annotated.source]}",
        f"pictures: {len(pictures)}, {len(annotated.good)} good and {len(annotated.bad)} with boxes",
        f"held out by the data's own split: {held_out}",
        f"boxes: {sum(len(picture.labels) for picture in pictures)}",
        *_classes(annotated),
        *_sizes(annotated),
        *(f"note: {note}" for note in annotated.notes),
    ]
    try:
        check_enough(annotated)
    except DatasetError as error:  # looking at boxes is fine before there are enough of them
        lines.append(f"not enough to learn from yet: {error}")
    return "\n".join(lines)


def _classes(annotated: Annotated) -> list[str]:
    boxes = Counter(label for picture in annotated.bad for label in picture.labels)
    on = Counter(label for picture in annotated.bad for label in set(picture.labels))
    width = max((len(name) for name in annotated.classes), default=0)
    return [f"  {name:<{width}}  {boxes[name]} boxes on {on[name]} pictures" for name in annotated.classes]


def _sizes(annotated: Annotated) -> list[str]:
    if not annotated.bad:
        return []
    boxes = np.concatenate([picture.boxes for picture in annotated.bad])
    sides = {"width": boxes[:, 2] - boxes[:, 0], "height": boxes[:, 3] - boxes[:, 1]}
    return [
        f"box {name}: {side.min():.4g} to {side.max():.4g} px, median {np.median(side):.4g} px"
        for name, side in sides.items()
    ]
