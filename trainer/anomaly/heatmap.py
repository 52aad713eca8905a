"""Makes a Model of any network that gives a heatmap by itself."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.decoding import decode
from models.errors import ModelError
from models.heatmap import OUTPUT, score_of
from models.manifest import Decoder, HeatmapDecoder, HeatmapTraining, Precision
from models.prediction import Image
from models.upright import Mask
from trainer.anomaly.graph import graph_of
from trainer.anomaly.model import Facts, Learned, Learner, Lesson, Say, Setup
from trainer.anomaly.painted import Painted, painted
from trainer.backbone import tensor_of
from trainer.decisions import Told
from trainer.embed import Pipeline
from trainer.quantize import Tried, decides, quantized

if TYPE_CHECKING:
    import openvino as ov

_TOP_SHARE = 0.0025  # of the cells, as PatchCore's patches: of 64 x 64 the ten highest


class HeatmapModel:
    """A Learner, its graph, and its record."""

    keeps_aside = True  # to learn once more for each image that is held out would be too dear

    def __init__(self, setup: Setup, learner: Learner) -> None:
        self._setup, self._learner = setup, learner

    def size_px(self, images: Sequence[Image], mask: Mask | None, say: Say) -> int:
        """What its learner says, or that of the images where they are smaller."""
        size = min(self._learner.size_px, int(max(images[0].shape[:2])))
        say(f"image size: {size} px, at which {self._setup.options.model} learns in minutes (--image-size)")
        return size

    def learn(self, lesson: Lesson, say: Say) -> Learned:
        """Learns and converts. Raises ModelError where the heatmap of a good image is no number."""
        import torch

        torch.manual_seed(self._setup.options.seed)
        network = self._learner.learn(lesson).eval().requires_grad_(False)
        graph = graph_of(network, lesson.spec, OUTPUT)
        decoder = decoder_for(graph)

        def torch_score(image: Image) -> float:
            with torch.no_grad():
                return score_of(network(tensor_of(image, lesson.spec))[0, 0].numpy(), decoder)

        if not np.isfinite(torch_score(lesson.images[0])):
            raise ModelError(f"{self._setup.options.model} gives NaN or infinity on a good image; give other --weights")
        say(f"learned: {self._words(len(lesson.images), lesson)}")

        @functools.cache
        def told_apart() -> tuple[Painted, Told]:
            split = painted(lesson.aside, lesson.mask, lesson.spec, self._setup.options.seed)
            return split, _told(plain, plain.graph, split, self._setup.options.precision)

        def also(precision: Precision, say: Say) -> Learned | None:
            return _further(plain, lesson, *told_apart(), precision, say)

        plain = Learned(graph, decoder, [], torch_score, also)
        return plain

    def _words(self, n_images: int, lesson: Lesson) -> str:
        steps, batch = self._learner.steps, self._learner.batch
        views = f"{len(lesson.plan.angles_deg)} view(s) of {n_images} images"
        return f"{steps} steps of {batch} of {views}" if steps else f"from {views}"

    def record(self, facts: Facts) -> HeatmapTraining:
        """How to make it again."""
        learner = self._learner
        return HeatmapTraining(
            images=facts.images,
            image_sizes_px=facts.image_sizes_px,
            backbone=learner.backbone,
            layers=learner.layers,
            weights=self._setup.weights,
            augmentation=facts.augmentation,
            steps=learner.steps,
            batch=learner.batch,
            seed=self._setup.options.seed,
            versions=facts.versions,
        )


def _further(  # noqa: PLR0913, PLR0917
    plain: Learned, lesson: Lesson, split: Painted, before: Told, precision: Precision, say: Say
) -> Learned | None:
    """As long as good images that were kept aside are told from the same ones with painted defects as `before`."""

    def try_(graph: ov.Model) -> Tried[ov.Model]:
        return Tried(graph, _told(plain, graph, split, "int8"))

    if precision != "int8":
        return plain if decides(precision, before, _told(plain, plain.graph, split, precision), say) else None
    made = quantized(plain.graph, lesson.calibration(), try_, before, say)
    return None if made is None else replace(plain, graph=made[0], quantization=made[1])


def _told(plain: Learned, graph: ov.Model, split: Painted, precision: Precision) -> Told:
    every = [image for images in split.bad for image in images]
    good_scores, bad_scores = (_scores(graph, images, plain.decoder, precision) for images in (split.good, every))
    return Told(good_scores, bad_scores)


def _scores(graph: ov.Model, images: Sequence[Image], decoder: Decoder, precision: Precision) -> list[float]:
    scores: dict[int, float] = {}

    def note(key: int, heatmap: NDArray[np.float32]) -> None:
        scores[key] = decode(decoder, [heatmap[None]], 1, 1).score

    Pipeline(graph, note, precision).run(enumerate(images))
    return [scores[key] for key in range(len(images))]


def decoder_for(graph: ov.Model) -> HeatmapDecoder:
    """How many cells the score is a mean of, for a heatmap (1, 1, h, w)."""
    rows, columns = (graph.outputs[0].partial_shape[axis].get_length() for axis in (2, 3))
    return HeatmapDecoder(kind="heatmap", top_cells=max(1, round(_TOP_SHARE * rows * columns)))
