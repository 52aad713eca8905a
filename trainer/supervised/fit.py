"""`mekiki-train fit` for the families classification and segmentation: good and bad images in, a bundle out.

images -> learn | held out -> network -> IR -> scores of the held out ones on the IR -> threshold
       -> parity gate -> bundle, pictures
"""

from __future__ import annotations

import csv
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from models.bundle import MODEL_XML
from models.decoding import decode, outputs_of
from models.files import sha256_of
from models.health import limits_of
from models.images import read_image
from models.manifest import Parity, Preprocess, SupervisedTraining, Threshold, Weights
from models.prediction import Image
from models.preprocess import with_preprocess
from models.runner import Runner
from trainer.backbone import find_weights, tensor_of
from trainer.dataset import Dataset, scan
from trainer.evaluate import Scored, score_images
from trainer.export import Recipe, VariantRecipe, package_versions, save_ir, write_bundle
from trainer.fitting import end, refuse_start, weights_words
from trainer.golden import plainest, some_of
from trainer.options import SupervisedFamily, SupervisedOptions
from trainer.parity import check_parity
from trainer.pictures import draw_report
from trainer.pose import measure_pose
from trainer.proof import health_words, put_threshold, threshold_words
from trainer.quantize import Calibration, calibration_of
from trainer.size import spec_for
from trainer.supervised.augment import strength_for
from trainer.supervised.learn import Plan, learn
from trainer.supervised.networks import begin, settle
from trainer.supervised.pictures import Loaded, Picture, load
from trainer.supervised.samples import Split, check_masks, split
from trainer.supervised.task import Task, task_for
from trainer.variants import variants_of

if TYPE_CHECKING:
    import openvino as ov
    import torch

Say = Callable[[str], None]
WEIGHTS, CURVE = "weights.pth", "training.csv"  # in the report
# Longer side and steps where nobody says: about four minutes on one core. Segmentation learns from cut-outs, so it
# may see more.
DEFAULTS: Final[dict[SupervisedFamily, tuple[int, int]]] = {"classification": (256, 160), "segmentation": (320, 200)}
BATCH: Final = 8
_UNTRAINED = "A network that begins from nothing needs more images and steps."
_PARITY_IMAGES = 16
_SETTLED = 8  # of the good and of the bad images
_LEAST_SCORE = 0.01  # scores below count as that for parity, as they do for golden images


@dataclass(frozen=True, slots=True)
class Learned:
    """What training gave."""

    task: Task
    spec: Preprocess
    weights: Weights  # that it began with
    plan: Plan
    losses: list[float]


def fit(options: SupervisedOptions, say: Say) -> None:
    """Trains, measures and exports. Raises MekikiError; then neither bundle nor pictures are left."""
    refuse_start(options, options.also)
    dataset = scan(options.data, options.limit)
    if options.family == "segmentation":
        check_masks(dataset)
    parts = split(dataset, options.seed)
    spec = _spec(options, parts)
    loaded = load(parts.learn, spec)
    say(_data_words(parts, loaded))
    learned = _learn(options, parts, spec, loaded.pictures, say)
    with tempfile.TemporaryDirectory(prefix="mekiki-") as work:
        graph = shipped_graph(learned.task, spec)
        save_ir(graph, Path(work) / MODEL_XML)
        runner = Runner(Path(work) / MODEL_XML, learned.task.decoder, "f32")
        scored = score_images(runner, [(sample.label, sample.path) for sample in parts.held_out], "score")
        recipe = _prove(options, parts, loaded, learned, runner, scored, say)
    variants = _variants(options, parts, learned, graph, scored, say)

    def draw(pictures: Path) -> None:
        _report(pictures, dataset, scored, learned, recipe.threshold.ng_at_or_above)

    def write() -> None:
        write_bundle(options.out, graph, plainest(scored), recipe, variants=variants)

    end(options, draw, write, say)


def _spec(options: SupervisedOptions, parts: Split) -> Preprocess:
    first = read_image(parts.learn[0].path)
    return spec_for(options.image_size or min(DEFAULTS[options.family][0], max(first.shape[:2])), first)


def _learn(
    options: SupervisedOptions, parts: Split, spec: Preprocess, pictures: Sequence[Picture], say: Say
) -> Learned:
    weights, file = find_weights(options.backbone, options.weights, options.allow_hub)
    task = task_for(options.family, options.backbone, parts.kinds, spec, pictures, options.seed)
    begun = begin(task.network, file)
    say(weights_words(weights, _UNTRAINED, begun.words))
    good, bad = ([p for p in pictures if (p.label == "good") is flag] for flag in (True, False))
    settle(task.network, begun, weights, [p.image for p in (*good[:_SETTLED], *bad[:_SETTLED])], spec)
    pose = measure_pose([p.image for p in good])
    steps = options.steps or DEFAULTS[options.family][1]
    plan = Plan(steps, options.batch or BATCH, options.seed, strength_for(pose, task.crop_px))
    turned = f"parts are turned against each other by up to {pose.rotation_deg:.0f} degrees"
    size = f"{spec.width_px}x{spec.height_px} px"
    say(f"training: {options.backbone} at {size}, {plan.steps} steps of {plan.batch}; {turned}")
    losses = learn(task.network, begun, pictures, task.loss, plan)
    return Learned(task, spec, weights, plan, losses)


def shipped_graph(task: Task, spec: Preprocess) -> ov.Model:
    """Converts the path from a raw frame, uint8 (1, H, W, 3), to what the decoder reads."""
    import openvino as ov
    import torch

    size = (1, 3, spec.height_px, spec.width_px)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates the tracer that OpenVINO's converter calls
        converted = ov.convert_model(task.shipped(), example_input=torch.zeros(size), input=list(size))
    converted.inputs[0].set_names({"frame"})
    converted.outputs[0].set_names(set(outputs_of(task.decoder)))
    return with_preprocess(converted, spec)


def torch_score(network: torch.nn.Module, image: Image, learned: Learned) -> float:
    """The score as torch sees it, for the parity gate; `network` is the one that ships."""
    import torch

    with torch.no_grad():
        output = network(tensor_of(image, learned.spec)).numpy()
    return decode(learned.task.decoder, [output], image.shape[0], image.shape[1]).score


def _prove(  # noqa: PLR0913, PLR0917 - what a bundle claims rests on all of it
    options: SupervisedOptions,
    parts: Split,
    loaded: Loaded,
    learned: Learned,
    runner: Runner,
    scored: list[Scored],
    say: Say,
) -> Recipe:
    """What the manifest says of the IR that will ship."""
    threshold, parity = _proof(options, learned, runner, scored, say)
    health = limits_of(loaded.health)
    say(health_words(health))
    return Recipe(
        family=learned.task.family,
        model=options.model,
        preprocess=learned.spec,
        precision="f32",
        decoder=learned.task.decoder,
        threshold=threshold,
        training=_training(options, parts, loaded, learned),
        parity=parity,
        health=health,
        compatible=options.compatible,
    )


def _proof(
    options: SupervisedOptions, learned: Learned, runner: Runner, scored: list[Scored], say: Say
) -> tuple[Threshold, Parity]:
    """Threshold and parity on one IR."""
    threshold = put_threshold(options.policy, [], scored)
    say(threshold_words(threshold))
    images = some_of(scored, _PARITY_IMAGES)
    network = learned.task.shipped()
    limit = threshold.ng_at_or_above

    def score(image: Image) -> float:
        return torch_score(network, image, learned)

    parity = check_parity(images, score, runner, limit, _LEAST_SCORE, judged=True)
    say(f"parity: torch and IR agree within {parity.max_relative:.1e} of the score on {parity.n_images} images")
    return threshold, parity


def _variants(  # noqa: PLR0913, PLR0917
    options: SupervisedOptions, parts: Split, learned: Learned, graph: ov.Model, scored: list[Scored], say: Say
) -> list[VariantRecipe]:
    """At the further precisions that were asked for; the held out images, `scored` at f32, say how each decides."""

    def score(runner: Runner) -> list[Scored]:
        labelled = [(sample.label, sample.path) for sample in parts.held_out]
        return score_images(runner, labelled, f"score {runner.precision}")

    def prove(runner: Runner, scored: list[Scored], say: Say) -> tuple[Threshold, Parity]:
        return _proof(options, learned, runner, scored, say)

    def calibration() -> Calibration:
        return calibration_of([sample.path for sample in parts.learn], learned.spec)

    return variants_of(options.also, graph, learned.task.decoder, calibration, scored, score, prove, say)


def _training(options: SupervisedOptions, parts: Split, loaded: Loaded, learned: Learned) -> SupervisedTraining:
    return SupervisedTraining(
        images=tuple(sha256_of(sample.path) for sample in parts.learn),
        image_sizes_px=loaded.sizes_px,
        weights=learned.weights,
        classes=parts.kinds,
        backbone=options.backbone,
        n_defect=sum(not sample.is_good for sample in parts.learn),
        steps=learned.plan.steps,
        batch=learned.plan.batch,
        seed=learned.plan.seed,
        versions=package_versions(learned.task.family),
    )


def _report(folder: Path, dataset: Dataset, scored: list[Scored], learned: Learned, ng_at_or_above: float) -> None:
    """Pictures, the weights for another fit to begin with, and the loss of each step."""
    import torch

    draw_report(folder, dataset, scored, [], ng_at_or_above)
    torch.save(learned.task.network.state_dict(), folder / WEIGHTS)
    with (folder / CURVE).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("step", "loss"), *enumerate(learned.losses, 1)])


def _data_words(parts: Split, loaded: Loaded) -> str:
    learn, held = (Counter(sample.label for sample in samples) for samples in (parts.learn, parts.held_out))
    learn_words, held_words = (", ".join(f"{n} {label}" for label, n in each.items()) for each in (learn, held))
    sizes = " ".join(f"{width}x{height}" for height, width in loaded.sizes_px)
    return f"data: {learn_words} to learn from; {held_words} held out; {sizes} px"
