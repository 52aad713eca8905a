"""PatchCore as one model among others; its parts are in `trainer/patchcore.py` and `trainer/bank.py`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from models.manifest import Augmentation, PatchcoreDecoder, Precision, Training
from models.prediction import Image
from models.upright import Mask
from trainer.anomaly.model import WITHOUT_PHOTOGRAPHS, Also, Facts, Learned, Lesson, Say, Setup, no_more
from trainer.anomaly.painted import Painted, painted
from trainer.bank import Bank, gather, held_out_maps, held_out_scores, make_bank
from trainer.decisions import Told
from trainer.narrow import principal
from trainer.patchcore import Patchcore
from trainer.quantize import Tried, decides, quantized
from trainer.reading import decoder_for
from trainer.search import freeze_bias, rounded_bank, with_search
from trainer.size import Setting, choose_size, probe_cost, settings_of

if TYPE_CHECKING:
    import openvino as ov

_PLAIN = Augmentation(angles_deg=(0.0,), shift=0, brightness=0)


@dataclass(frozen=True, slots=True)
class Searched:
    """A graph with the bank that it searches, and what it says of the good images, each held out."""

    graph: ov.Model  # with the bank's bias as an input
    bank: Bank
    decoder: PatchcoreDecoder
    precision: Precision
    held_out: list[float]

    def told(self, on: Painted) -> Told:
        """What it says of the good images and of the same ones with defects, each held out."""
        good, *bad = (self.held_out_of(images) for images in (on.good, *on.bad))
        return Told(good, [score for scores in bad for score in scores])

    def held_out_of(self, images: Sequence[Image]) -> list[float]:
        """Scores of what was made of the images learned from, in their order."""
        return held_out_scores(self.graph, images, self.bank, self.decoder, self.precision)


class PatchcoreModel:
    """Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022 (arXiv 2106.08265)."""

    keeps_aside = False  # each image can be held out of the bank

    def __init__(self, setup: Setup) -> None:
        options = setup.options
        self._options, self._n_vectors = options, 0
        self._net = Patchcore(options.backbone, setup.file, setup.weights, options.seed)
        self._setting, self._is_chosen = self._settings(None)[0], False
        self._is_even = False

    def size_px(self, images: Sequence[Image], mask: Mask | None, say: Say) -> int:
        """By the detail that is in the images and the cycle time, which also decide what patches are compared with."""
        options = self._options
        choice = choose_size(
            images,
            options.cycle_time_s,
            lambda frame, setting: probe_cost(self._net, frame, setting, options.precision, mask),
            self._settings(mask),
            fine_alone=len(self._net.layers) == 1,
        )
        self._setting, self._is_chosen = choice.setting, True
        say(f"image size: {choice.reason}")
        if not choice.fits:
            say("WARNING: nothing fits the cycle on this machine; raise --cycle-time, or lower --bank if you gave it")
        return choice.size_px

    def _settings(self, mask: Mask | None) -> tuple[Setting, ...]:
        options, is_upright = self._options, mask is not None
        return settings_of(options.bank, options.feature_width, is_upright=is_upright, usual=self._net.usual_width)

    def learn(self, lesson: Lesson, say: Say) -> Learned:
        """Puts views into the bank, and scores each image but for what came from it."""
        net = self._net
        if net.weights.source in WITHOUT_PHOTOGRAPHS:
            net.settle(lesson.settled_by, lesson.spec)
        embedding = net.embedding_graph(lesson.spec)
        if lesson.mask is not None:
            net.read_upright(lesson.mask, embedding)
        if not self._is_chosen:
            self._setting = self._settings(lesson.mask)[0]
        embedding = self._narrowed(embedding, lesson)
        found = self._searched(embedding, lesson, self._options.precision)
        self._n_vectors = len(found.bank.vectors)
        say(f"bank: {self._n_vectors} vectors of {found.bank.vectors.shape[1]}")

        @functools.cache
        def told_apart() -> tuple[Painted, Told]:
            split = painted(lesson.images, lesson.mask, lesson.spec, self._options.seed)
            return split, found.told(split)

        def also(precision: Precision, say: Say) -> Learned | None:
            split, before = told_apart()
            if precision == "int8":
                return self._quantized(embedding, lesson, found.bank, split, before, say)
            other = self._searched(embedding, lesson, precision, found.bank)
            is_kept = decides(precision, before, other.told(split), say)
            return self._learned(other, lesson, no_more) if is_kept else None

        return self._learned(found, lesson, also)

    def _quantized(  # noqa: PLR0913, PLR0917
        self, embedding: ov.Model, lesson: Lesson, like: Bank, split: Painted, before: Told, say: Say
    ) -> Learned | None:
        """The network by NNCF, and a bank of what the quantised network gives, on a grid of its own."""

        def try_(graph: ov.Model) -> Tried[Searched]:
            found = self._searched(graph, lesson, "int8", like)
            return Tried(found, found.told(split))

        made = quantized(embedding, lesson.calibration(), try_, before, say)
        return None if made is None else replace(self._learned(made[0], lesson, no_more), quantization=made[1])

    def _searched(
        self, embedding: ov.Model, lesson: Lesson, precision: Precision, like: Bank | None = None
    ) -> Searched:
        """A bank of what `embedding` gives at that precision, of the same patches as `like`, and the search in it."""
        net, options = self._net, self._options
        decoder, weight, size = decoder_for(embedding, net.reading), net.reading.weight, self._setting.bank
        bank = make_bank(embedding, lesson.images, lesson.plan, size, options.seed, precision, weight, like)
        bank = replace(bank, vectors=rounded_bank(bank.vectors, precision))
        self._even(embedding, lesson, bank, precision)
        graph = with_search(embedding.clone(), bank.vectors, net.reading, precision)
        held_out = held_out_scores(graph, lesson.images, bank, decoder, precision)
        return Searched(graph, bank, decoder, precision, held_out)

    def _even(self, embedding: ov.Model, lesson: Lesson, bank: Bank, precision: Precision) -> None:
        """Patches of an upright part count by what is usual at their places: decided once, for every precision."""
        net = self._net
        if net.reading.weight is None or self._is_even:
            return
        plain = with_search(embedding.clone(), bank.vectors, replace(net.reading, sigma=0), precision)
        net.even(held_out_maps(plain, lesson.images, bank, precision))
        self._is_even = True

    def _learned(self, found: Searched, lesson: Lesson, also: Also) -> Learned:
        vectors, decoder = found.bank.vectors, found.decoder

        def torch_score(image: Image) -> float:
            return self._net.score(image, lesson.spec, decoder, vectors)

        return Learned(freeze_bias(found.graph, vectors), decoder, found.held_out, torch_score, also)

    def _narrowed(self, embedding: ov.Model, lesson: Lesson) -> ov.Model:
        """`embedding` with as many numbers for each patch as were chosen, as the images themselves show them."""
        width, net, options = self._setting.width, self._net, self._options
        if width is None or width >= embedding.outputs[0].partial_shape[1].get_length():
            return embedding
        patches, _ = gather(embedding, lesson.images, _PLAIN, options.seed, options.precision, net.reading.weight)
        net.narrow(principal(patches, width))
        return net.embedding_graph(lesson.spec)

    def record(self, facts: Facts) -> Training:
        """How to make it again."""
        return Training(
            images=facts.images,
            image_sizes_px=facts.image_sizes_px,
            backbone=self._options.backbone,
            layers=self._net.layers,
            weights=self._net.weights,
            bank_vectors=self._n_vectors,
            feature_width=self._setting.width,
            augmentation=facts.augmentation,
            seed=self._options.seed,
            versions=facts.versions,
        )
