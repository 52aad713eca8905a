"""`mekiki-train fit` for the anomaly family: good images in, a bundle and pictures out.

images -> pose -> parts laid upright -> views -> model (`trainer/anomaly/`) -> IR -> held-out scores -> threshold
       -> parity gate -> bundle, pictures
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.errors import DatasetError
from models.files import sha256_of, whole_folder
from models.health import limits_of, measure
from models.images import read_image
from models.manifest import Parity, Precision, Threshold, Weights
from models.prediction import Image
from models.runner import Runner
from trainer.anomaly.model import (
    NO_WEIGHTS,
    SETTLED_BY,
    Facts,
    Learned,
    Lesson,
    Model,
    Say,
    Setup,
    needs_weights,
    open_model,
)
from trainer.augment import turned
from trainer.backbone import find_weights
from trainer.dataset import Dataset, scan
from trainer.evaluate import Scored, found_in, score_images
from trainer.export import Recipe, VariantRecipe, defaced, package_versions, refuse_existing, write_bundle
from trainer.looks import Looks, choose_looks
from trainer.options import FitOptions
from trainer.parity import check_parity
from trainer.pictures import draw_report
from trainer.progress import progress
from trainer.proof import health_words, odd_words, put_threshold, threshold_words
from trainer.size import spec_for
from trainer.variants import at, proven, refuse_unable_here, saved

MIN_GOOD = 2
FEW_GOOD = 10
_ASIDE = 0.25  # of the good images, where none that was learned from can be held out; 2 at least
_PARITY_IMAGES = 4
_FRESH_TURN_DEG = 7.5  # between the views that were learned from: an image that no model saw


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


def fit(options: FitOptions, say: Say) -> None:
    """Trains, measures and exports. Raises MekikiError; then neither bundle nor pictures are left."""
    refuse_existing(options.out)
    refuse_existing(options.report)
    refuse_unable_here([options.precision, *options.also])
    dataset, images = _read_good(options, say)
    model = _model(options, say)
    good = _kept_aside(options, model, dataset.train_good, images, say)
    looks = choose_looks([images[index] for index in good.learned()], options.upright, options.augment, say)
    lesson = _lesson(options, model, looks, good, say)
    learned = model.learn(lesson, say)
    with saved(learned.graph) as path:
        runner = Runner(path, learned.decoder, options.precision, upright=looks.upright)
        judged = _judge(runner, good, learned, dataset, say)
        recipe = _prove(options, model, good, looks, lesson, learned, runner, judged, say)
    variants = _variants(options, good, looks, learned, dataset, say)
    try:
        with whole_folder(options.report) as pictures:
            draw_report(pictures, dataset, judged.tested, judged.held_out, recipe.threshold.ng_at_or_above)
        golden = _golden_images(good, judged, looks, say)
        # Last: with it the fit is done.
        write_bundle(options.out, learned.graph, golden, recipe, looks.learned, variants)
    except BaseException:
        shutil.rmtree(options.report, ignore_errors=True)
        raise
    say(f"bundle: {options.out}\npictures: {options.report}")


def _read_good(options: FitOptions, say: Say) -> tuple[Dataset, list[Image]]:
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


def _model(options: FitOptions, say: Say) -> Model:
    if not needs_weights(options.model):
        return open_model(Setup(options, NO_WEIGHTS, None))
    weights, file = find_weights(options.backbone, options.weights, options.allow_hub)
    say(_weights_words(weights))
    return open_model(Setup(options, weights, file))


def _weights_words(weights: Weights) -> str:
    if weights.source != "untrained":
        return f"weights: {weights.source}, {weights.name}"
    return (
        "weights: untrained\nWARNING: no trained weights were found. An untrained network sees far less: expect missed "
        "defects. Give --weights FILE, or --allow-hub where this machine may reach a hub."
    )


def _kept_aside(options: FitOptions, model: Model, paths: list[Path], images: list[Image], say: Say) -> Good:
    """A seeded share of the good images, for a model that cannot hold out what it learned from."""
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


def _lesson(options: FitOptions, model: Model, looks: Looks, good: Good, say: Say) -> Lesson:
    images = [good.images[index] for index in good.learned()]
    seen, aside = [looks.see(image) for image in images], [looks.see(good.images[index]) for index in good.aside]
    size_px = options.image_size if options.image_size is not None else model.size_px(seen, looks.mask, say)
    around = [looks.see_around(image) for image in images[:SETTLED_BY]]
    hashes = [sha256_of(good.paths[index]) for index in good.learned()]
    return Lesson(seen, looks.plan, spec_for(size_px, seen[0]), around, looks.mask, hashes, aside)


def _judge(runner: Runner, good: Good, learned: Learned, dataset: Dataset, say: Say) -> Judged:
    aside = score_images(runner, [("good", good.paths[index]) for index in good.aside], "hold out")
    tested = score_images(runner, _test_images(dataset), "score")
    if n_lost := len(aside) + len(tested) - len(found_in([*aside, *tested])):
        say(f"note: in {n_lost} image(s) no part was found; the line says `unknown` to these, at any threshold")
    aside = found_in(aside)
    return Judged(learned.held_out or [item.score for item in aside], aside, tested)


def _test_images(dataset: Dataset) -> list[tuple[str, Path]]:
    bad = [(name, path) for name, paths in dataset.defects.items() for path in paths]
    return [("good", path) for path in dataset.test_good] + bad


def _prove(  # noqa: PLR0913, PLR0917 - what a bundle claims rests on all of it
    options: FitOptions,
    model: Model,
    good: Good,
    looks: Looks,
    lesson: Lesson,
    learned: Learned,
    runner: Runner,
    judged: Judged,
    say: Say,
) -> Recipe:
    """What the manifest says of the IR that will ship."""
    threshold, parity = _proof(options, good, looks, learned, runner, judged, say)
    if threshold.policy == "normal_quantile":
        named = [good.paths[index].name for index in good.aside or range(len(good.paths))]
        for words in odd_words(named, judged.held_out):
            say(words)
    health = limits_of([measure(image) for image in good.images])
    say(health_words(health))
    return Recipe(
        family="anomaly",
        model=options.model,
        pose=looks.pose,
        preprocess=lesson.spec,
        precision=options.precision,
        decoder=learned.decoder,
        threshold=threshold,
        training=model.record(_facts(good, lesson)),
        parity=parity,
        health=health,
        compatible=options.compatible,
    )


def _proof(  # noqa: PLR0913, PLR0917
    options: FitOptions,
    good: Good,
    looks: Looks,
    learned: Learned,
    runner: Runner,
    judged: Judged,
    say: Say,
    *,
    further: bool = False,
) -> tuple[Threshold, Parity]:
    """Threshold and parity on one IR; `further`: of one precision more, which is known to decide as well."""
    threshold = put_threshold(options.policy, judged.held_out, judged.tested, [item.sha256 for item in judged.aside])
    say(threshold_words(threshold))
    fresh = [looks.see(image) for image in _parity_images(good, judged)]
    return threshold, _parity(fresh, learned, runner.for_views(), threshold.ng_at_or_above, say, further=further)


def _variants(  # noqa: PLR0913, PLR0917
    options: FitOptions, good: Good, looks: Looks, learned: Learned, dataset: Dataset, say: Say
) -> list[VariantRecipe]:
    """At the further precisions that were asked for."""
    found = (_variant(options, good, looks, learned, dataset, name, at(name, say)) for name in options.also)
    return [one for one in found if one is not None]


def _variant(  # noqa: PLR0913, PLR0917
    options: FitOptions, good: Good, looks: Looks, learned: Learned, dataset: Dataset, precision: Precision, say: Say
) -> VariantRecipe | None:
    if (made := learned.also(precision, say)) is None:
        return None

    def prove(runner: Runner) -> tuple[Threshold, Parity]:
        judged = _judge(runner, good, made, dataset, say)
        return _proof(options, good, looks, made, runner, judged, say, further=True)

    def run(path: Path) -> Runner:
        return Runner(path, made.decoder, precision, upright=looks.upright)

    return proven(made.graph, precision, run, prove, say, made.quantization)


def _parity(  # noqa: PLR0913
    images: list[Image], learned: Learned, runner: Runner, ng_at_or_above: float, say: Say, *, further: bool
) -> Parity:
    """Of the IR at the precision that ships; where that rounds more than f32, at f32 first, but for int8."""
    if runner.precision not in ("f32", "int8"):
        exact = check_parity(
            images, learned.torch_score, Runner(runner.model_xml, learned.decoder, "f32"), ng_at_or_above
        )
        say(f"parity: torch and IR agree within {exact.max_relative:.1e} of the score at f32")
    parity = check_parity(images, learned.torch_score, runner, ng_at_or_above, judged=further)
    at = "" if runner.precision == "f32" else f" at {runner.precision}"
    say(f"parity: torch and IR{at} agree within {parity.max_relative:.1e} of the score on {parity.n_images} images")
    return parity


def _facts(good: Good, lesson: Lesson) -> Facts:
    return Facts(
        images=tuple(sha256_of(good.paths[index]) for index in good.learned()),
        image_sizes_px=tuple(sorted({(image.shape[0], image.shape[1]) for image in good.images})),
        augmentation=lesson.plan,
        versions=package_versions(),
    )


def _parity_images(good: Good, judged: Judged) -> list[Image]:
    """Of native size, good and bad; none that was learned from."""
    scored: Sequence[Scored] = judged.tested or judged.aside
    fresh = [read_image(item.path) for item in scored[:: max(1, len(scored) // _PARITY_IMAGES)][:_PARITY_IMAGES]]
    return fresh or [turned(image, _FRESH_TURN_DEG) for image in good.images[:_PARITY_IMAGES]]


def _golden_images(good: Good, judged: Judged, looks: Looks, say: Say) -> dict[str, Image]:
    """A good one that was not learned from, the worst defect if there is one, and a defaced one.

    In each a part is found. Raises DatasetError where it is in none.
    """
    tested = found_in(judged.tested)
    unseen = [item for item in tested if item.label == "good"] or judged.aside
    bad = sorted((item for item in tested if item.label != "good"), key=lambda item: -item.score)
    candidates = {
        "good": [read_image(unseen[0].path)] if unseen else (turned(image, _FRESH_TURN_DEG) for image in good.images),
        "defect": [read_image(bad[0].path)] if bad else (),
        "defaced": (defaced(image, looks.on_part(image)) for image in good.images),
    }
    first = {name: next(filter(looks.finds, images), None) for name, images in candidates.items()}
    golden = {name: image for name, image in first.items() if image is not None}
    if not golden:
        raise DatasetError("in no image that a golden one could be made of a part was found; give --upright off")
    if "defaced" not in golden and "defect" not in golden:
        say("WARNING: no golden image is ng: a part that is defaced is not found; add images of defects")
    return golden
