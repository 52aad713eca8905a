"""`mekiki-train fit` for the anomaly family: good images in, a bundle and pictures out.

images -> pose -> parts laid upright -> views -> model (`trainer/anomaly/`) -> IR -> held-out scores -> threshold
       -> parity gate -> bundle, pictures
"""

from __future__ import annotations

from pathlib import Path

from models.files import sha256_of
from models.health import limits_of
from models.manifest import Parity, Precision, Threshold
from models.measure import measure
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
from trainer.backbone import find_weights
from trainer.dataset import Dataset
from trainer.evaluate import found_in, score_images
from trainer.export import Recipe, VariantRecipe, package_versions, write_bundle
from trainer.fitting import end, refuse_start, weights_words
from trainer.golden import golden_images, unseen_by
from trainer.good import Good, Judged, keep_aside, read_good
from trainer.looks import Looks, choose_looks
from trainer.options import FitOptions
from trainer.parity import check_parity
from trainer.pictures import draw_report
from trainer.proof import health_words, odd_words, put_threshold, threshold_words
from trainer.size import spec_for
from trainer.variants import at, proven, saved

_PARITY_IMAGES = 4
_UNTRAINED = "An untrained network sees far less: expect missed defects."


def fit(options: FitOptions, say: Say) -> None:
    """Trains, measures and exports. Raises MekikiError; then neither bundle nor pictures are left."""
    refuse_start(options, [options.precision, *options.also])
    dataset, images = read_good(options, say)
    model = _model(options, say)
    good = keep_aside(options, model, dataset.train_good, images, say)
    looks = choose_looks([images[index] for index in good.learned()], options.upright, options.augment, say)
    lesson = _lesson(options, model, looks, good, say)
    learned = model.learn(lesson, say)
    with saved(learned.graph) as path:
        runner = Runner(path, learned.decoder, options.precision, upright=looks.upright)
        judged = _judge(runner, good, learned, dataset, say)
        recipe = _prove(options, model, good, looks, lesson, learned, runner, judged, say)
    variants = _variants(options, good, looks, learned, dataset, say)

    def draw(pictures: Path) -> None:
        draw_report(pictures, dataset, judged.tested, judged.held_out, recipe.threshold.ng_at_or_above)

    def write() -> None:
        golden = golden_images(good, judged, looks, say)
        write_bundle(options.out, learned.graph, golden, recipe, looks.learned, variants)

    end(options, draw, write, say)


def _model(options: FitOptions, say: Say) -> Model:
    if not needs_weights(options.model):
        return open_model(Setup(options, NO_WEIGHTS, None))
    weights, file = find_weights(options.backbone, options.weights, options.allow_hub)
    say(weights_words(weights, _UNTRAINED))
    return open_model(Setup(options, weights, file))


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
    fresh = unseen_by(good, judged, looks, _PARITY_IMAGES)
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
