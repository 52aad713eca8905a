"""What a model of family anomaly gives to `trainer/fit.py`, and where each is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, assert_never

import numpy as np

from models.manifest import (
    Augmentation,
    Decoder,
    HeatmapTraining,
    Precision,
    Preprocess,
    Quantization,
    Sha256,
    Training,
    Weights,
)
from models.prediction import Image
from models.upright import Mask
from trainer.augment import views_of
from trainer.options import AnomalyModel, FitOptions
from trainer.quantize import Calibration, few_of, shrunk

if TYPE_CHECKING:
    import openvino as ov
    import torch

Say = Callable[[str], None]
Also = Callable[[Precision, Say], "Learned | None"]
NO_WEIGHTS = Weights(source="untrained", name="none", sha256=None)
# Their statistics are of no real picture: those of the good parts serve better. ImageNet's serve worse when replaced.
WITHOUT_PHOTOGRAPHS = ("untrained", "starter")
SETTLED_BY = 10  # images


@dataclass(frozen=True, slots=True)
class Setup:
    """What a model is made from."""

    options: FitOptions
    weights: Weights
    file: Path | None  # of the weights; None for untrained ones


@dataclass(frozen=True, slots=True)
class Lesson:
    """What it learns from."""

    images: Sequence[Image]
    plan: Augmentation
    spec: Preprocess
    around: Sequence[Image] = ()  # the first of them with what lies beside the part, where `images` lack it
    mask: Mask | None = None  # (H, W) of the images, 1 on the part; None: all of them is looked at
    sha256s: Sequence[Sha256] = ()  # of the files that the images came from
    aside: Sequence[Image] = ()  # good ones that are not learned from, where the model keeps some aside

    @property
    def settled_by(self) -> Sequence[Image]:
        """A few pictures as cameras take them: a network's statistics may come from these."""
        return (self.around or self.images)[:SETTLED_BY]

    def calibration(self) -> Calibration:
        """What a quantised network's ranges may come from: one view of each of some images."""
        few, rng = few_of(len(self.images)), np.random.default_rng(0)
        views = [list(views_of(self.images[index], self.plan, rng)) for index in few]
        chosen = [views[i][i % len(views[i])] for i in range(len(few))]
        return Calibration([shrunk(view, self.spec) for view in chosen], [self.sha256s[index] for index in few])


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of it."""

    graph: ov.Model  # what ships: a frame to what `decoder` reads
    decoder: Decoder
    held_out: list[float]  # scores of the images learned from, each as if it had not been; empty where that is too dear
    torch_score: Callable[[Image], float]  # the score as torch sees it, for the parity gate
    also: Also  # the same lesson at a further precision; None, which is said, where it decides too badly then
    quantization: Quantization | None = None


def no_more(precision: Precision, say: Say) -> Learned | None:
    """`Learned.also` of what is a further precision itself."""
    raise ValueError(f"{precision}: only what was learned first gives further precisions")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the manifest says of every fit alike."""

    images: tuple[Sha256, ...]
    image_sizes_px: tuple[tuple[int, int], ...]
    augmentation: Augmentation
    versions: dict[str, str]


class Model(Protocol):
    """Asked for `size_px` first, then to `learn`, then for its `record`, once each."""

    keeps_aside: bool  # whether the threshold needs good images that were not learned from, as none can be held out

    def size_px(self, images: Sequence[Image], mask: Mask | None, say: Say) -> int:
        """The longer side that the network shall see, where no person chose it; `mask` as in a Lesson. Says why."""

    def learn(self, lesson: Lesson, say: Say) -> Learned:
        """Raises MekikiError; then nothing came of it."""

    def record(self, facts: Facts) -> Training | HeatmapTraining:
        """How to make it again."""


class Learner(Protocol):
    """One kind of network that gives a heatmap by itself. `heatmap.py` makes a Model of it."""

    size_px: int  # of the longer side, by default: what learns in minutes on a CPU
    backbone: str | None  # None: it needs no weights
    layers: tuple[str, ...]
    steps: int  # 0: computed, not trained
    batch: int

    def learn(self, lesson: Lesson) -> torch.nn.Module:
        """A network in eval mode: normalised float (1, 3, height_px, width_px) to a heatmap (1, 1, h, w).

        The heatmap is 0 or more and passes NaN on, also on a CPU. Raises MekikiError.
        """


def needs_weights(model: AnomalyModel) -> bool:
    """Whether this model looks through a backbone."""
    return model != "draem"


def open_model(setup: Setup) -> Model:
    """The model of that name. Raises ConfigError where the backbone or its weights do not fit."""
    from trainer.anomaly.heatmap import HeatmapModel

    match setup.options.model:
        case "patchcore":
            from trainer.anomaly.patchcore import PatchcoreModel

            return PatchcoreModel(setup)
        case "padim":
            from trainer.anomaly.padim import Padim

            return HeatmapModel(setup, Padim(setup))
        case "stfpm":
            from trainer.anomaly.stfpm import Stfpm

            return HeatmapModel(setup, Stfpm(setup))
        case "supersimplenet":
            from trainer.anomaly.supersimplenet import SuperSimpleNet

            return HeatmapModel(setup, SuperSimpleNet(setup))
        case "draem":
            from trainer.anomaly.draem import Draem

            return HeatmapModel(setup, Draem(setup))
        case never:
            assert_never(never)
