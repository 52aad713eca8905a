"""`mekiki-train fit` for the detection family: boxes in, a bundle and pictures out.

pictures with boxes -> learn | held out -> RTMDet by mmdet -> IR by mmdeploy, a raw frame in
                    -> scores of the held out ones on the IR -> threshold -> parity gate -> bundle, pictures
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.bundle import MODEL_XML
from models.files import sha256_of
from models.health import limits_of
from models.images import read_image
from models.manifest import BoxesDecoder, BoxParity, DetectionTraining, Preprocess, Threshold, Weights
from models.measure import measure
from models.runner import Runner
from trainer.annotations import Annotated, Picture, as_dataset, check_enough, read_annotations
from trainer.detection.config import SCORE_FLOOR, Plan, letterbox_spec
from trainer.detection.graph import export, new_network, torch_network
from trainer.detection.hooks import CURVE
from trainer.detection.parity import check_boxes
from trainer.detection.plan import plan_training, side_for, whole_cells
from trainer.detection.prepare import prepare
from trainer.detection.split import Split, split
from trainer.detection.train import ready, stopped_at, train
from trainer.detection.weights import find_weights, write_start
from trainer.evaluate import Scored, score_images
from trainer.export import Recipe, VariantRecipe, package_versions, save_ir, write_bundle
from trainer.fitting import end, refuse_start, weights_words
from trainer.golden import plainest, some_of
from trainer.options import DetectionOptions
from trainer.pictures import draw_report
from trainer.pose import measure_pose
from trainer.proof import health_words, put_threshold, threshold_words
from trainer.quantize import Calibration, calibration_of, last_layers
from trainer.variants import variants_of

if TYPE_CHECKING:
    import openvino as ov

Say = Callable[[str], None]
WEIGHTS = "weights.pth"  # in the report: another fit may begin with them
_ANY = "defect"  # class of whatever is wrong
_PARITY_IMAGES = 16
_UNTRAINED = "A detector that begins from nothing needs more pictures and steps."
_POSE_IMAGES = 24


@dataclass(frozen=True, slots=True)
class Learned:
    """What training gave."""

    file: Path  # state dict
    weights: Weights  # that it began with
    spec: Preprocess
    plan: Plan


def fit(options: DetectionOptions, say: Say) -> None:
    """Trains, measures and exports. Raises MekikiError; then neither bundle nor pictures are left.

    An interrupted training stays beside the bundle to be, and the same command goes on with it.
    """
    refuse_start(options, options.also)
    annotated = read_annotations(options.data, options.merge_px)
    if options.one_class:
        annotated = annotated.as_one_class(_ANY)
    check_enough(annotated)
    parts = split(annotated, options.seed, options.limit)
    say(_data_words(annotated, parts))
    learned = _learn(options, annotated, parts, say)
    with tempfile.TemporaryDirectory(prefix="mekiki-") as work:
        graph = export(options.model, learned.file, annotated.classes, learned.spec, Path(work))
        save_ir(graph, Path(work) / MODEL_XML)
        decoder = BoxesDecoder(kind="boxes", labels=annotated.classes, score_floor=SCORE_FLOOR)
        runner = Runner(Path(work) / MODEL_XML, decoder, "f32")
        scored = score_images(runner, [(_label(p), p.path) for p in parts.held_out], "score")
        recipe = _prove(options, parts, learned, runner, decoder, scored, say)
    variants = _variants(options, parts, learned, graph, decoder, scored, say)

    def draw(pictures: Path) -> None:
        draw_report(pictures, as_dataset(annotated), scored, [], recipe.threshold.ng_at_or_above)
        shutil.copy(learned.file, pictures / WEIGHTS)
        shutil.copy(learned.file.with_name(CURVE), pictures / CURVE)

    def write() -> None:
        write_bundle(options.out, graph, plainest(scored), recipe, variants=variants)

    end(options, draw, write, say)
    shutil.rmtree(options.training, ignore_errors=True)


def _learn(options: DetectionOptions, annotated: Annotated, parts: Split, say: Say) -> Learned:
    """Trains, or goes on with it."""
    ready()
    side_px = whole_cells(options.image_size) if options.image_size else side_for(annotated.bad)
    pose = measure_pose([read_image(p.path) for p in parts.good[:_POSE_IMAGES]])
    plan = plan_training(options, pose)
    weights, file = find_weights(options.model, options.weights, allow_hub=options.allow_hub)
    say(weights_words(weights, _UNTRAINED))
    turned = f"parts are turned against each other by up to {pose.rotation_deg:.0f} degrees"
    say(f"training: {options.model} at {side_px} px, up to {plan.steps} steps of {plan.batch}; {turned}")
    work = options.training
    if stopped_at(work / "run"):
        say(f"{work}: goes on where it stopped")
    start = None
    if file is not None:  # first: a wrong file leaves nothing behind
        start = write_start(file, new_network(options.model, len(annotated.classes)), work / "start.pth")
    data = prepare(parts.learn, parts.held_out, annotated.classes, side_px, work / "data")
    best = train(options.model, data, plan, work / "run", start)
    return Learned(best, weights, letterbox_spec(side_px), plan)


def _prove(  # noqa: PLR0913, PLR0917 - what a bundle claims rests on all of it
    options: DetectionOptions,
    parts: Split,
    learned: Learned,
    runner: Runner,
    decoder: BoxesDecoder,
    scored: list[Scored],
    say: Say,
) -> Recipe:
    """What the manifest says of the IR that will ship."""
    threshold, parity = _proof(options, learned, runner, decoder, scored, say)
    health = limits_of([measure(read_image(p.path)) for p in parts.good])
    say(health_words(health))
    return Recipe(
        family="detection",
        model=options.model,
        preprocess=learned.spec,
        precision="f32",
        decoder=decoder,
        threshold=threshold,
        training=_training(parts, learned, decoder.labels),
        parity=parity,
        health=health,
        compatible=options.compatible,
    )


def _proof(  # noqa: PLR0913, PLR0917
    options: DetectionOptions,
    learned: Learned,
    runner: Runner,
    decoder: BoxesDecoder,
    scored: list[Scored],
    say: Say,
) -> tuple[Threshold, BoxParity]:
    """Threshold and parity on one IR."""
    threshold = put_threshold(options.policy, [], scored)
    say(threshold_words(threshold))
    network = torch_network(options.model, learned.file, decoder.labels)
    images = some_of(scored, _PARITY_IMAGES)
    parity = check_boxes(images, network, runner, learned.spec, decoder.labels, threshold.ng_at_or_above)
    others = f" but on {parity.count_differences}" if parity.count_differences else ""
    say(f"parity: torch and IR find the same {parity.n_boxes} boxes on {parity.n_images} images{others}, within "
        f"{parity.max_box_px:.1e} px and {parity.max_score:.1e} of the score")  # fmt: skip
    return threshold, parity


def _variants(  # noqa: PLR0913, PLR0917
    options: DetectionOptions,
    parts: Split,
    learned: Learned,
    graph: ov.Model,
    decoder: BoxesDecoder,
    scored: list[Scored],
    say: Say,
) -> list[VariantRecipe]:
    """At the further precisions that were asked for; the held out pictures, `scored` at f32, say how each decides."""

    def score(runner: Runner) -> list[Scored]:
        return score_images(runner, [(_label(p), p.path) for p in parts.held_out], f"score {runner.precision}")

    def prove(runner: Runner, scored: list[Scored], say: Say) -> tuple[Threshold, BoxParity]:
        return _proof(options, learned, runner, decoder, scored, say)

    def calibration() -> Calibration:
        good, bad = ([p.path for p in parts.learn if p.is_good is flag] for flag in (True, False))
        return calibration_of(good, learned.spec, bad)

    return variants_of(options.also, graph, decoder, calibration, scored, score, prove, say, last_layers(graph))


def _training(parts: Split, learned: Learned, classes: tuple[str, ...]) -> DetectionTraining:
    return DetectionTraining(
        images=tuple(sha256_of(p.path) for p in parts.learn),
        image_sizes_px=tuple(sorted({(p.height_px, p.width_px) for p in parts.learn})),
        weights=learned.weights,
        classes=classes,
        n_boxes=sum(len(p.labels) for p in parts.learn),
        steps=learned.plan.steps,
        batch=learned.plan.batch,
        bf16=learned.plan.bf16,
        seed=learned.plan.seed,
        versions=package_versions("detection"),
    )


def _label(picture: Picture) -> str:
    """As `as_dataset` sorts them, and fit for the name of a file."""
    return "good" if picture.is_good else Counter(picture.labels).most_common(1)[0][0].replace("/", "_")


def _data_words(annotated: Annotated, parts: Split) -> str:
    boxes = sum(len(p.labels) for p in annotated.bad)
    held_good = sum(p.is_good for p in parts.held_out)
    learn = f"{len(parts.good)} good and {len(parts.learn) - len(parts.good)} with defects to learn from"
    held = f"{held_good} and {len(parts.held_out) - held_good} held out"
    return f"data: {annotated.source}, {boxes} boxes of {', '.join(annotated.classes)}; {learn}, {held}"
