"""`mekiki-train fit` for the anomaly family: good images in, a bundle and pictures out.

images -> pose -> views -> patch vectors -> bank -> IR -> held-out scores -> threshold
       -> parity gate -> bundle, pictures
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.bundle import MODEL_XML
from models.errors import DatasetError
from models.files import sha256_of, whole_folder
from models.health import limits_of, measure
from models.images import read_image
from models.manifest import Augmentation, PatchcoreDecoder, Preprocess, Training, Weights
from models.prediction import Image
from models.runner import Runner
from trainer.augment import turned
from trainer.backbone import find_weights
from trainer.bank import Bank, held_out_scores, make_bank
from trainer.dataset import Dataset, scan
from trainer.evaluate import Scored, score_images
from trainer.export import Recipe, defaced, package_versions, refuse_existing, save_ir, write_bundle
from trainer.options import FitOptions
from trainer.parity import check_parity
from trainer.patchcore import Patchcore, decoder_for, freeze_bias, with_search
from trainer.pictures import draw_report
from trainer.pose import measure_pose, plan_augmentation
from trainer.progress import progress
from trainer.proof import health_words, put_threshold, threshold_words
from trainer.size import choose_size, probe_cost, spec_for

Say = Callable[[str], None]
MIN_GOOD = 2
# Their statistics are of no real picture: those of the good parts serve better. ImageNet's serve worse when replaced.
_WITHOUT_PHOTOGRAPHS = ("untrained", "starter")
FEW_GOOD = 10
_PARITY_IMAGES = 4
_FRESH_TURN_DEG = 7.5  # between the bank's views: an image that the bank does not hold


@dataclass(frozen=True, slots=True)
class Learned:
    """What the good images gave."""

    net: Patchcore
    spec: Preprocess
    plan: Augmentation
    bank: Bank
    decoder: PatchcoreDecoder


def fit(options: FitOptions, say: Say) -> None:
    """Trains, measures and exports. Raises MekikiError; then neither bundle nor pictures are left."""
    refuse_existing(options.out)
    refuse_existing(options.report)
    dataset, images = _read_good(options, say)
    net = _network(options, say)
    plan = _plan(options, images, say)
    spec = _choose_spec(options, net, images, say)
    if net.weights.source in _WITHOUT_PHOTOGRAPHS:
        net.settle(images[:FEW_GOOD], spec)
    embedding = net.embedding_graph(spec)
    decoder = decoder_for(embedding)
    bank = make_bank(embedding, images, plan, options.bank, options.seed)
    say(f"bank: {len(bank.vectors)} vectors of {bank.vectors.shape[1]}")
    graph = with_search(embedding, bank.vectors)
    held_out = held_out_scores(graph, images, bank, decoder)
    learned = Learned(net, spec, plan, bank, decoder)
    with tempfile.TemporaryDirectory(prefix="mekiki-") as work:
        shipped = freeze_bias(graph, bank.vectors)
        save_ir(shipped, Path(work) / MODEL_XML)
        runner = Runner(Path(work) / MODEL_XML, decoder, "f32")
        scored = score_images(runner, _test_images(dataset), "score")
        recipe = _prove(options, dataset, images, learned, runner, held_out, scored, say)
    try:
        with whole_folder(options.report) as pictures:
            draw_report(pictures, dataset, scored, held_out, recipe.threshold.ng_at_or_above)
        write_bundle(options.out, shipped, _golden_images(images, scored), recipe)  # last: with it the fit is done
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


def _network(options: FitOptions, say: Say) -> Patchcore:
    weights, file = find_weights(options.backbone, options.weights, options.allow_hub)
    say(_weights_words(weights))
    return Patchcore(options.backbone, file, weights, options.seed)


def _weights_words(weights: Weights) -> str:
    if weights.source != "untrained":
        return f"weights: {weights.source}, {weights.name}"
    return (
        "weights: untrained\nWARNING: no trained weights were found. An untrained network sees far less: expect missed "
        "defects. Give --weights FILE, or --allow-hub where this machine may reach a hub."
    )


def _plan(options: FitOptions, images: list[Image], say: Say) -> Augmentation:
    pose = measure_pose(images)
    plan = plan_augmentation(pose, len(images), options.augment)
    say(
        f"pose: parts are turned against each other by up to {pose.rotation_deg:.0f} degrees -> "
        f"{len(plan.angles_deg)} view(s) of each image in the bank (--augment {options.augment})"
    )
    return plan


def _choose_spec(options: FitOptions, net: Patchcore, images: list[Image], say: Say) -> Preprocess:
    if options.image_size is not None:
        return spec_for(options.image_size, images[0])
    choice = choose_size(
        images, options.cycle_time_s, lambda frame: probe_cost(net, frame, options.bank), len(net.layers) == 1
    )
    say(f"image size: {choice.reason}")
    if not choice.fits:
        say("WARNING: no size fits the cycle on this machine; lower --bank or raise --cycle-time")
    return spec_for(choice.size_px, images[0])


def _test_images(dataset: Dataset) -> list[tuple[str, Path]]:
    bad = [(name, path) for name, paths in dataset.defects.items() for path in paths]
    return [("good", path) for path in dataset.test_good] + bad


def _prove(  # noqa: PLR0913, PLR0917 - what a bundle claims rests on all of it
    options: FitOptions,
    dataset: Dataset,
    images: list[Image],
    learned: Learned,
    runner: Runner,
    held_out: list[float],
    scored: list[Scored],
    say: Say,
) -> Recipe:
    """Threshold and parity on the IR that will ship."""
    threshold = put_threshold(options.policy, held_out, scored)
    say(threshold_words(threshold))
    fresh = [read_image(item.path) for item in scored[:: max(1, len(scored) // _PARITY_IMAGES)][:_PARITY_IMAGES]]
    fresh = fresh or [turned(image, _FRESH_TURN_DEG) for image in images[:_PARITY_IMAGES]]
    learned.net.set_bank(learned.bank.vectors)
    parity = check_parity(
        fresh,
        lambda image: learned.net.score(image, learned.spec, learned.decoder),
        runner,
        threshold.ng_at_or_above,
    )
    say(f"parity: torch and IR agree within {parity.max_relative:.1e} of the score on {parity.n_images} images")
    health = limits_of([measure(image) for image in images])
    say(health_words(health))
    return Recipe(
        family="anomaly",
        model="patchcore",
        preprocess=learned.spec,
        precision="f32",
        decoder=learned.decoder,
        threshold=threshold,
        training=_training(options, dataset, images, learned),
        parity=parity,
        health=health,
    )


def _training(options: FitOptions, dataset: Dataset, images: list[Image], learned: Learned) -> Training:
    return Training(
        images=tuple(sha256_of(path) for path in dataset.train_good),
        image_sizes_px=tuple(sorted({(image.shape[0], image.shape[1]) for image in images})),
        backbone=options.backbone,
        layers=learned.net.layers,
        weights=learned.net.weights,
        bank_vectors=len(learned.bank.vectors),
        augmentation=learned.plan,
        seed=options.seed,
        versions=package_versions(),
    )


def _golden_images(images: list[Image], scored: list[Scored]) -> dict[str, Image]:
    """A good one that the bank does not hold, the worst defect if there is one, and a defaced one."""
    good = [item for item in scored if item.label == "good"]
    bad = sorted((item for item in scored if item.label != "good"), key=lambda item: -item.score)
    golden = {"good": read_image(good[0].path) if good else turned(images[0], _FRESH_TURN_DEG)}
    if bad:
        golden["defect"] = read_image(bad[0].path)
    return golden | {"defaced": defaced(images[0])}
