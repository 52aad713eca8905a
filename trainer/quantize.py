"""Makes eight-bit graphs by NNCF, and leaves in higher precision what the decisions need. One door for all families.

All layers are tried first, but for those that a family says must stay. Where that costs decisions on the calibration
split, groups of neighbouring layers are reverted one at a time, and then together, the most helpful first, until the
decisions are back. What a tensor is off by is never asked: how well good and bad are told apart is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import cv2
import numpy as np

from models.errors import ModelError
from models.files import sha256_of
from models.images import read_image
from models.manifest import Decision, Precision, Preprocess, Quantization, Sha256
from models.prediction import Image
from trainer.decisions import Told, holds

if TYPE_CHECKING:
    import openvino as ov

_GROUPS = 6  # that may be reverted: the first layer, and neighbours among the others
_MOST_IMAGES = 48
_WEIGHTED = ("Convolution", "GroupConvolution", "MatMul")
T = TypeVar("T")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Tried(Generic[T]):
    """What was made of one graph, and how well it decides."""

    made: T
    told: Told


@dataclass(frozen=True, slots=True)
class Calibration:
    """Pictures as the graph gets them, all of which were learned from, and the hashes of their files."""

    images: Sequence[Image]
    sha256s: Sequence[Sha256]


def calibration_of(paths: Sequence[Path], spec: Preprocess, bad: Sequence[Path] = ()) -> Calibration:
    """Of pictures that were learned from as they are: half of them are of `bad`, as far as there are so many.

    What a network makes of a defect reaches further than what it makes of good parts, and it is that which decides.
    """
    few_bad = [bad[index] for index in few_of(len(bad), _MOST_IMAGES // 2)]
    few = [paths[index] for index in few_of(len(paths), _MOST_IMAGES - len(few_bad))] + few_bad
    return Calibration([shrunk(read_image(path), spec) for path in few], [sha256_of(path) for path in few])


def few_of(count: int, most: int = _MOST_IMAGES) -> list[int]:
    """Indices of enough pictures to see how far numbers reach."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).astype(int).tolist()))


def shrunk(image: Image, spec: Preprocess) -> Image:
    """No larger than the network sees it: NNCF runs a graph for frames of any size, whose resize takes its time."""
    scale = max(spec.height_px, spec.width_px) / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def decides(precision: Precision, before: Told, after: Told, say: Say) -> bool:
    """Whether a graph that only computes at another precision does it well enough, which is said."""
    if not (is_held := holds(before, after)):
        say(f"WARNING: {precision} is left out, as it decides worse: {_words(before, after)}")
    return is_held


def quantized(  # noqa: PLR0913, PLR0917
    graph: ov.Model,
    calibration: Calibration,
    try_: Callable[[ov.Model], Tried[T]],
    before: Told,
    say: Say,
    never: Sequence[str] = (),
) -> tuple[T, Quantization] | None:
    """What `try_` makes of `graph` with as many layers quantised as decide like `before`, or None where none do.

    `graph` takes frames, uint8 (1, H, W, 3), and stays as it is. The layers in `never` are not quantised.
    """
    groups = groups_of(graph, never)
    found, reverted = _search(groups, lambda names: try_(quantize(graph, calibration.images, [*never, *names])), before)
    if found is None:
        say("WARNING: int8 is left out: with no layers that matter quantised it decides as well as before")
        return None
    kept = [*never, *reverted]
    say(f"int8: {_words(before, found.told)}; {_kept_words(len(kept), len(never) + sum(map(len, groups)))}")
    record = Quantization(
        method="post-training, symmetric, bias corrected; layers reverted by the decision",
        nncf=version("nncf"),
        images=tuple(dict.fromkeys(calibration.sha256s)),
        kept=tuple(kept),
        before=before.decision,
        after=found.told.decision,
    )
    return found.made, record


def _search(
    groups: Sequence[Sequence[str]], try_: Callable[[Sequence[str]], Tried[T]], before: Told
) -> tuple[Tried[T] | None, list[str]]:
    if holds(before, (found := try_([])).told):
        return found, []
    alone = [try_(names) for names in groups]
    order = sorted(range(len(groups)), key=lambda index: _rank(alone[index].told.decision), reverse=True)
    if holds(before, alone[order[0]].told):
        return alone[order[0]], list(groups[order[0]])
    for count in range(2, len(groups)):
        kept = [name for index in sorted(order[:count]) for name in groups[index]]
        if holds(before, (found := try_(kept)).told):
            return found, kept
    return None, []


def _rank(decision: Decision) -> tuple[float, float]:
    return decision.auc or 0.0, decision.recall or 0.0


def groups_of(graph: ov.Model, never: Sequence[str] = ()) -> list[list[str]]:
    """The layers with weights, by their names in the order of the graph: the first alone, then neighbours together.

    Those in `never` are left out.
    """
    names = [name for name in _layers(graph.get_ordered_ops()) if name not in never]
    if not names:
        raise ModelError("int8: the graph has no layer with weights; leave it out of --also")
    rest = np.array_split(np.array(names[1:], object), min(_GROUPS - 1, max(1, len(names) - 1)))
    return [names[:1], *(group.tolist() for group in rest if len(group))]


def last_layers(graph: ov.Model) -> list[str]:
    """The layers with weights that no other follows, by their names: of a detector all that gives classes and edges.

    They are a small part of what is computed, and their errors go into the scores as they are.
    """
    nodes = graph.get_ordered_ops()
    before = _reached(nodes[::-1], forward=False)
    return [name for name in _layers(nodes) if name not in before]


def _layers(nodes: Sequence[ov.Node]) -> list[str]:
    return [node.get_friendly_name() for node in nodes if node.get_type_name() in _WEIGHTED]


def quantize(graph: ov.Model, images: Sequence[Image], kept: Sequence[str] = ()) -> ov.Model:
    """A quantised copy, but for the layers in `kept`, and what lies before the first layer or behind the last."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # it draws bars on both
        import nncf

        nncf.set_log_level(logging.ERROR)
        made: ov.Model = nncf.quantize(
            graph,
            nncf.Dataset([image[None] for image in images]),
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(names=[*_outside(graph), *kept], validate=False),
        )
    return made


def _outside(graph: ov.Model) -> list[str]:
    """What prepares a frame, and what is made of the last layers: ranges there say nothing, or are known exactly."""
    nodes = graph.get_ordered_ops()
    behind, before = _reached(nodes, forward=True), _reached(nodes[::-1], forward=False)
    inside = (behind & before) | set(_layers(nodes))
    skipped = {"Parameter", "Constant", "Result"}
    names = [node.get_friendly_name() for node in nodes if node.get_type_name() not in skipped]
    return [name for name in names if name not in inside]


def _reached(nodes: Sequence[ov.Node], forward: bool) -> set[str]:
    """Names of the nodes that a layer with weights leads to, or, backward, that lead to one."""
    found: set[str] = set()
    for node in nodes:
        beside = (
            [value.get_node() for value in node.input_values()]
            if forward
            else [target.get_node() for output in node.outputs() for target in output.get_target_inputs()]
        )
        if any(one.get_friendly_name() in found or one.get_type_name() in _WEIGHTED for one in beside):
            found.add(node.get_friendly_name())
    return found


def _words(told_before: Told, told_after: Told) -> str:
    """For a person."""
    before, after = told_before.decision, told_after.decision
    if after.auc is None or before.auc is None:
        return "no defects in the calibration split tell what it costs"
    return (
        f"AUC {before.auc:.3f} -> {after.auc:.3f}, recall {before.recall:.2f} -> {after.recall:.2f} on the "
        "calibration split"
    )


def _kept_words(kept: int, layers: int) -> str:
    return f"all {layers} layers quantised" if not kept else f"{layers - kept} of {layers} layers quantised"
