"""Which images are learned from, and which put the threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.decoder import GOOD
from models.errors import DatasetError
from trainer.dataset import MASKS, Dataset

_SHARE = 0.2  # held out
_LEAST = 2  # of good images and of each kind: one to learn from and another to measure on


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image."""

    path: Path
    label: str  # "good" or the kind of defect
    mask: Path | None = None  # where the defect is; None for good parts and where nobody drew one

    @property
    def is_good(self) -> bool:
        """A part without a defect."""
        return self.label == GOOD


@dataclass(frozen=True, slots=True)
class Split:
    """Two lists without a common image, each with good ones and every kind of defect."""

    learn: tuple[Sample, ...]
    held_out: tuple[Sample, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of defect, by name."""
        return tuple(sorted({sample.label for sample in self.learn} - {GOOD}))


def split(dataset: Dataset, seed: int) -> Split:
    """A fifth of each kind of defect is held out, and of the good images a fifth unless `dataset` has good test images.

    Raises DatasetError where there are no defects, or fewer than two images of anything.
    """
    rng = np.random.default_rng(seed)
    if not dataset.defects:
        raise DatasetError(
            f"{dataset.root}: good images only, defects were wanted to learn from; add test/<defect>/ or <defect>/, "
            "or use --family anomaly"
        )
    learn, held = [], []
    good = [Sample(path, GOOD) for path in dataset.train_good]
    kept_out = [Sample(path, GOOD) for path in dataset.test_good]
    kinds = [[Sample(path, kind, dataset.masks.get(path)) for path in paths] for kind, paths in dataset.defects.items()]
    for samples in ([] if good and kept_out else [good or kept_out]) + kinds:
        count = _held_out_of(samples, dataset.root)
        order = rng.permutation(len(samples))
        held += [samples[i] for i in sorted(order[:count])]
        learn += [samples[i] for i in sorted(order[count:])]
    if good and kept_out:
        learn, held = [*good, *learn], [*kept_out, *held]
    return Split(tuple(learn), tuple(held))


def _held_out_of(samples: Sequence[Sample], root: Path) -> int:
    if len(samples) < _LEAST:
        raise DatasetError(
            f"{root}: {len(samples)} image(s) of {samples[0].label}, at least {_LEAST} were wanted: one to learn from "
            "and another to measure on; add images, or leave out the folder"
        )
    return max(1, round(_SHARE * len(samples)))


def check_masks(dataset: Dataset) -> None:
    """Raises DatasetError where an image of a defect has no mask."""
    bare = [path for path in dataset.all_defects if path not in dataset.masks]
    if not bare:
        return
    if not dataset.masks:
        raise DatasetError(
            f"{dataset.root}: no masks, and segmentation learns from nothing else; add "
            f"{MASKS}/<defect>/<image>_mask.png, or use --family detection for boxes and --family classification "
            "for images alone"
        )
    kind = next(name for name, paths in dataset.defects.items() if bare[0] in paths)
    raise DatasetError(
        f"{bare[0]}: no mask, so nobody knows where the defect is; wanted {MASKS}/{kind}/{bare[0].stem}_mask.png "
        f"({len(bare)} image(s) lack one)"
    )
