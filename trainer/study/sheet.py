"""What was learned from and tested on, and whether the same picture is on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.images import read_image
from models.prediction import Image
from trainer.progress import progress
from trainer.study.pool import Pool, Source
from trainer.study.splits import Split
from trainer.study.types import DataSheet

_SIDE_PX = 64
_WAVES = 16  # along each side: with 8, different screws on one ground look the same
# Of 255 bits. On real screws the nearest different pictures differ by 18; brightness, noise and JPEG change up to 6,
# 3 px of shift on 1024 up to 10.
NEAR = 10


@dataclass(frozen=True, slots=True)
class _Look:
    source: Source
    size_px: tuple[int, int]  # height, width
    pixels: str  # sha256
    bits: NDArray[np.bool_]


def sheet_of(pool: Pool, splits: Sequence[Split]) -> DataSheet:
    """Reads every picture once. Counts are those of split 0. Raises DatasetError for one that cannot be read."""
    first = splits[0]
    looks = [_look(source) for source in progress(pool.sources, "look")]
    same, alike = _pairs(looks, splits)
    kinds = {kind: sum(source.label == kind for source in first.test) for kind in pool.defects}
    return DataSheet(
        root=pool.root.resolve().name,
        n_learn_good=len(first.learn_good),
        n_learn_defect=len(first.learn_defect),
        n_test_good=sum(source.is_good for source in first.test),
        defects=kinds,
        sizes_px=tuple(sorted({look.size_px for look in looks})),
        has_boxes=pool.has_boxes,
        has_masks=pool.has_masks,
        duplicates=same,
        near_duplicates=alike,
        images={source.sha256: source.name for source in pool.sources},
    )


def look_bits(image: Image) -> NDArray[np.bool_]:
    """255 bits that are alike for pictures that look alike: the signs of low frequencies against their median.

    C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions (2010), the hash by the cosine
    transform, here with 16 x 16 frequencies of a picture of 64 x 64 px.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    waves = cv2.dct(small)[:_WAVES, :_WAVES].ravel()[1:]
    return np.asarray(waves > np.median(waves), np.bool_)


def bits_apart(looks: Sequence[NDArray[np.bool_]]) -> NDArray[np.int32]:
    """In how many bits each two differ, (n, n)."""
    bits = np.stack(looks).astype(np.int32)
    return np.asarray(bits @ (1 - bits).T + (1 - bits) @ bits.T, np.int32)


def _look(source: Source) -> _Look:
    image = read_image(source.path)
    height, width = image.shape[:2]
    return _Look(source, (height, width), hashlib.sha256(image.tobytes()).hexdigest(), look_bits(image))


def _pairs(looks: Sequence[_Look], splits: Sequence[Split]) -> tuple[tuple[tuple[str, str], ...], ...]:
    """Names of pictures with the same pixels, and of those that only look alike: one learned, one tested on."""
    index = {look.source.name: i for i, look in enumerate(looks)}
    across = np.zeros((len(looks), len(looks)), np.bool_)
    for split in splits:
        learn, test = ([index[source.name] for source in side] for side in (split.learn, split.test))
        across[np.ix_(learn, test)] = True
    apart = bits_apart([look.bits for look in looks])
    same: list[tuple[str, str]] = []
    alike: list[tuple[str, str]] = []
    for i, j in np.argwhere(across & (apart <= NEAR)):
        pair = (looks[i].source.name, looks[j].source.name)
        is_same = (looks[i].pixels, looks[i].size_px) == (looks[j].pixels, looks[j].size_px)
        (same if is_same else alike).append(pair)
    return tuple(same), tuple(alike)
