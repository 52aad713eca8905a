"""The good images that a fit of the anomaly family learns from, and what its IR says of these and of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.errors import DatasetError
from models.images import read_image
from models.prediction import Image
from trainer.anomaly.model import Model
from trainer.dataset import Dataset, scan
from trainer.evaluate import Scored
from trainer.options import FitOptions
from trainer.progress import progress

Say = Callable[[str], None]
MIN_GOOD = 2
FEW_GOOD = 10
_ASIDE = 0.25  # of the good images, where none that was learned from can be held out; 2 at least


@dataclass(frozen=True, slots=True)
class Good:
    """The good images that were given to learn from, and which of them are kept aside."""

    paths: list[Path]
    images: list[Image]
    aside: tuple[int, ...]  # indices, ascending; empty where the model can hold out what it learned from

    def learned(self) -> list[int]:
        """Indices of the others."""
        return [index for index in range(len(self.paths)) if index not in self.aside]


@dataclass(frozen=True, slots=True)
class Judged:
    """What the IR that will ship says of images."""

    held_out: list[float]  # good ones that were given to learn from, each as if it had not been
    aside: list[Scored]  # those of them that really were not
    tested: list[Scored]  # all others


def read_good(options: FitOptions, say: Say) -> tuple[Dataset, list[Image]]:
    """All that the data set has to learn from. Raises DatasetError where that is too little."""
    dataset = scan(options.data, options.limit)
    if len(dataset.train_good) < MIN_GOOD:
        raise DatasetError(
            f"{options.data}: {len(dataset.train_good)} good image(s) to learn from, at least {MIN_GOOD} are needed "
            "and 20 are a good start; add images to train/good/ or good/"
        )
    images = [read_image(path) for path in progress(dataset.train_good, "read")]
    sizes = sorted({f"{image.shape[1]}x{image.shape[0]}" for image in images})
    defects = ", ".join(f"{len(paths)} {name}" for name, paths in dataset.defects.items()) or "no defects"
    counts = f"{len(images)} good to learn from, {len(dataset.test_good)} good to test, {defects}"
    say(f"data: {counts}; {' '.join(sizes)} px")
    if len(sizes) > 1:
        say("warning: images of several sizes are scaled to one; a part that fills them differently looks different")
    if len(images) < FEW_GOOD:
        say(f"warning: {len(images)} good images show little of what good parts look like; 20 are a good start")
    return dataset, images


def keep_aside(options: FitOptions, model: Model, paths: list[Path], images: list[Image], say: Say) -> Good:
    """A seeded share of them, for a model that cannot hold out what it learned from. Raises DatasetError."""
    if not model.keeps_aside:
        return Good(paths, images, ())
    count = max(2, round(_ASIDE * len(paths)))
    if len(paths) - count < MIN_GOOD:
        raise DatasetError(
            f"{options.data}: {len(paths)} good image(s); {options.model} keeps {count} of them aside for the "
            f"threshold and learns from {MIN_GOOD} at least: add images, or take --model patchcore, which keeps none"
        )
    chosen = sorted(np.random.default_rng(options.seed).permutation(len(paths))[:count].tolist())
    say(f"held out: {count} of {len(paths)} good images are not learned from; the threshold rests on them")
    return Good(paths, images, tuple(chosen))
