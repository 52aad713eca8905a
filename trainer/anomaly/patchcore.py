"""PatchCore as one model among others; its parts are in `trainer/patchcore.py` and `trainer/bank.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.manifest import Augmentation, Training
from models.prediction import Image
from models.upright import Mask
from trainer.anomaly.model import WITHOUT_PHOTOGRAPHS, Facts, Learned, Lesson, Say, Setup
from trainer.bank import gather, held_out_scores, make_bank
from trainer.narrow import principal
from trainer.patchcore import Patchcore
from trainer.reading import decoder_for
from trainer.search import freeze_bias, with_search
from trainer.size import BANK, Setting, choose_size, probe_cost, settings_of

if TYPE_CHECKING:
    import openvino as ov

_PLAIN = Augmentation(angles_deg=(0.0,), shift=0, brightness=0)


class PatchcoreModel:
    """Roth et al., Towards Total Recall in Industrial Anomaly Detection, CVPR 2022 (arXiv 2106.08265)."""

    keeps_aside = False  # each image can be held out of the bank

    def __init__(self, setup: Setup) -> None:
        options = setup.options
        self._options, self._n_vectors = options, 0
        self._setting = Setting(BANK if options.bank is None else options.bank, options.feature_width)
        self._net = Patchcore(options.backbone, setup.file, setup.weights, options.seed)

    def size_px(self, images: Sequence[Image], mask: Mask | None, say: Say) -> int:
        """By the detail that is in the images and the cycle time, which also decide what patches are compared with."""
        options = self._options
        choice = choose_size(
            images,
            options.cycle_time_s,
            lambda frame, setting: probe_cost(self._net, frame, setting, options.precision, mask),
            settings_of(options.bank, options.feature_width, is_upright=mask is not None),
            fine_alone=len(self._net.layers) == 1,
        )
        self._setting = choice.setting
        say(f"image size: {choice.reason}")
        if not choice.fits:
            say("WARNING: nothing fits the cycle on this machine; raise --cycle-time, or lower --bank if you gave it")
        return choice.size_px

    def learn(self, lesson: Lesson, say: Say) -> Learned:
        """Puts views into the bank, and scores each image but for what came from it."""
        net, options = self._net, self._options
        if net.weights.source in WITHOUT_PHOTOGRAPHS:
            net.settle(lesson.settled_by, lesson.spec)
        embedding = net.embedding_graph(lesson.spec)
        if lesson.mask is not None:
            net.read_upright(lesson.mask, embedding)
        embedding = self._narrowed(embedding, lesson)
        decoder = decoder_for(embedding, net.reading)
        weight = net.reading.weight
        bank = make_bank(
            embedding, lesson.images, lesson.plan, self._setting.bank, options.seed, options.precision, weight
        )
        self._n_vectors = len(bank.vectors)
        say(f"bank: {self._n_vectors} vectors of {bank.vectors.shape[1]}")
        graph = with_search(embedding, bank.vectors, net.reading, options.precision)
        held_out = held_out_scores(graph, lesson.images, bank, decoder, options.precision)
        net.set_bank(bank.vectors)
        shipped = freeze_bias(graph, bank.vectors)
        return Learned(shipped, decoder, held_out, lambda image: net.score(image, lesson.spec, decoder))

    def _narrowed(self, embedding: ov.Model, lesson: Lesson) -> ov.Model:
        """`embedding` with as many numbers for each patch as were asked for, as the images themselves show them."""
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
