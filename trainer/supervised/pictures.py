"""Samples in memory, as large as the network sees them: read and scaled once, not for every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import DatasetError
from models.health import Health
from models.images import read_image
from models.manifest import Preprocess
from models.measure import measure
from models.prediction import Image
from trainer.progress import progress
from trainer.supervised.samples import Sample

Mask = NDArray[np.uint8]  # (h, w): 255 on the defect, 0 elsewhere
_ABOVE = 127


@dataclass(frozen=True, slots=True)
class Picture:
    """One sample to learn from."""

    image: Image  # (height_px, width_px, 3) of the network
    mask: Mask
    label: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """All of them, and what the originals were like."""

    pictures: tuple[Picture, ...]
    sizes_px: tuple[tuple[int, int], ...]  # (height, width), distinct
    health: tuple[Health, ...]  # of the good ones


def load(samples: Sequence[Sample], spec: Preprocess) -> Loaded:
    """Reads every sample. Raises DatasetError where an image or a mask cannot be read, or they do not fit together."""
    pictures, sizes, health = [], set(), []
    for sample in progress(samples, "read"):
        image = read_image(sample.path)
        sizes.add((image.shape[0], image.shape[1]))
        if sample.is_good:
            health.append(measure(image))
        mask = np.zeros(image.shape[:2], np.uint8) if sample.mask is None else read_mask(sample.mask, image)
        pictures.append(Picture(scaled(image, spec), scaled_mask(mask, spec), sample.label))
    return Loaded(tuple(pictures), tuple(sorted(sizes)), tuple(health))


def read_mask(path: Path, image: Image) -> Mask:
    """255 where the mask is bright. Raises DatasetError where it is of another size than `image`, or empty."""
    mask = read_image(path)[:, :, 0]
    height, width = image.shape[:2]
    if mask.shape != (height, width):
        raise DatasetError(
            f"{path}: {mask.shape[1]}x{mask.shape[0]} px, the image has {width}x{height}; export it in full size"
        )
    if mask.max() <= _ABOVE:
        raise DatasetError(f"{path}: the mask is empty, its brightest pixel is {mask.max()}; draw the defect in white")
    return np.where(mask > _ABOVE, np.uint8(255), np.uint8(0))


def scaled(image: Image, spec: Preprocess) -> Image:
    """As the graph that ships scales a frame: antialiased, bilinear."""
    from PIL import Image as Pillow

    small = Pillow.fromarray(image).resize((spec.width_px, spec.height_px), Pillow.Resampling.BILINEAR)
    return np.asarray(small, np.uint8)


def scaled_mask(mask: Mask, spec: Preprocess) -> Mask:
    """Whatever a pixel of the mask touches is defect: a scratch finer than a pixel stays."""
    size = (spec.width_px, spec.height_px)
    is_smaller = mask.shape[0] >= spec.height_px and mask.shape[1] >= spec.width_px
    small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA if is_smaller else cv2.INTER_NEAREST)
    return np.where(small > 0, np.uint8(255), np.uint8(0))
