"""PatchCore as one model among others; its parts are in `trainer/patchcore.py` and `trainer/bank.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from models.manifest import Decision, PatchcoreDecoder, Precision, Training
from models.prediction import Image
from trainer.anomaly.model import WITHOUT_PHOTOGRAPHS, Also, Facts, Learned, Lesson, Say, Setup, no_more
from trainer.anomaly.painted import painted
from trainer.bank import Bank, held_out_scores, make_bank
from trainer.patchcore import Patchcore
from trainer.quantize import Tried, decision_of, quantized
from trainer.reading import decoder_for
from trainer.search import freeze_bias, rounded_bank, with_search
from trainer.size import choose_size, probe_cost

if TYPE_CHECKING:
    import openvino as ov


_PAINTED = 2  # defects for each good image, to ask how well a quantised network decides


@dataclass(frozen=True, slots=True)
class Searched:
    """A graph with the bank that it searches, and what it says of the good images, each held out."""

    graph: ov.Model  # with the bank's bias as an input
    bank: Bank
    decoder: PatchcoreDecoder
    precision: Precision
    held_out: list[float]

    def decision(self, bad: Sequence[Sequence[Image]]) -> Decision:
        """How well it tells good images from the same ones with defects, each held out as well."""
        scores = [held_out_scores(self.graph, one, self.bank, self.decoder, self.precision) for one in bad]
        return decision_of(self.held_out, [score for one in scores for score in one])


class PatchcoreModel:
    """Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022 (arXiv 2106.08265)."""

    keeps_aside = False  # each image can be held out of the bank

    def __init__(self, setup: Setup) -> None:
        options = setup.options
        self._options, self._n_vectors = options, 0
        self._net = Patchcore(options.backbone, setup.file, setup.weights, options.seed)

    def size_px(self, images: Sequence[Image], say: Say) -> int:
        """By the detail that is in the images and the cycle time."""
        options = self._options
        fine_alone = len(self._net.layers) == 1
        choice = choose_size(
            images,
            options.cycle_time_s,
            lambda frame: probe_cost(self._net, frame, options.bank, options.precision),
            fine_alone,
        )
        say(f"image size: {choice.reason}")
        if not choice.fits:
            say("WARNING: no size fits the cycle on this machine; lower --bank or raise --cycle-time")
        return choice.size_px

    def learn(self, lesson: Lesson, say: Say) -> Learned:
        """Puts views into the bank, and scores each image but for what came from it."""
        net = self._net
        if net.weights.source in WITHOUT_PHOTOGRAPHS:
            net.settle(lesson.settled_by, lesson.spec)
        embedding = net.embedding_graph(lesson.spec)
        if lesson.mask is not None:
            net.read_upright(lesson.mask, embedding)
        found = self._searched(embedding, lesson, self._options.precision)
        self._n_vectors = len(found.bank.vectors)
        say(f"bank: {self._n_vectors} vectors of {found.bank.vectors.shape[1]}")

        def also(precision: Precision, say: Say) -> Learned | None:
            if precision == "int8":
                return self._quantized(embedding, lesson, found, say)
            return self._learned(self._searched(embedding, lesson, precision), lesson, also)

        return self._learned(found, lesson, also)

    def _quantized(self, embedding: ov.Model, lesson: Lesson, main: Searched, say: Say) -> Learned | None:
        """The network by NNCF, and a bank of what the quantised network gives, on a grid of its own."""
        bad = [painted(lesson.images, lesson.mask, self._options.seed + more) for more in range(_PAINTED)]

        def try_(graph: ov.Model) -> Tried[Searched]:
            found = self._searched(graph, lesson, "int8")
            return Tried(found, found.decision(bad))

        made = quantized(embedding, lesson.calibration(), try_, main.decision(bad), say)
        return None if made is None else replace(self._learned(made[0], lesson, no_more), quantization=made[1])

    def _searched(self, embedding: ov.Model, lesson: Lesson, precision: Precision) -> Searched:
        """A bank of what `embedding` gives at that precision, and the search in it."""
        net, options = self._net, self._options
        decoder, weight = decoder_for(embedding, net.reading), net.reading.weight
        bank = make_bank(embedding, lesson.images, lesson.plan, options.bank, options.seed, precision, weight)
        bank = replace(bank, vectors=rounded_bank(bank.vectors, precision))
        graph = with_search(embedding.clone(), bank.vectors, net.reading, precision)
        held_out = held_out_scores(graph, lesson.images, bank, decoder, precision)
        return Searched(graph, bank, decoder, precision, held_out)

    def _learned(self, found: Searched, lesson: Lesson, also: Also) -> Learned:
        vectors, decoder = found.bank.vectors, found.decoder

        def torch_score(image: Image) -> float:
            return self._net.score(image, lesson.spec, decoder, vectors)

        return Learned(freeze_bias(found.graph, vectors), decoder, found.held_out, torch_score, also)

    def record(self, facts: Facts) -> Training:
        """How to make it again."""
        return Training(
            images=facts.images,
            image_sizes_px=facts.image_sizes_px,
            backbone=self._options.backbone,
            layers=self._net.layers,
            weights=self._net.weights,
            bank_vectors=self._n_vectors,
            augmentation=facts.augmentation,
            seed=self._options.seed,
            versions=facts.versions,
        )
