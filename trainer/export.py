"""Writes a bundle: the one place where `models/bundle.py`'s folder is made."""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from models import __version__
from models.bundle import MANIFEST, MODEL_XML, Bundle, open_bundle
from models.errors import ConfigError
from models.files import sha256_of, whole_folder
from models.golden import check_golden
from models.health import HealthLimits
from models.manifest import (
    BoxParity,
    Decoder,
    DetectionTraining,
    Family,
    File,
    Golden,
    HeatmapTraining,
    Manifest,
    Parity,
    Pose,
    Precision,
    Preprocess,
    SupervisedTraining,
    Threshold,
    Training,
)
from models.prediction import Image
from models.runner import Runner
from models.scoring import judge
from models.upright import UPRIGHT, save_upright
from models.verdict import Outcome

if TYPE_CHECKING:
    import openvino as ov

    from trainer.upright import Learned


_VERSIONED: dict[Family, tuple[str, ...]] = {
    "anomaly": ("anomalib", "timm"),
    "detection": ("mmdet", "mmdeploy", "mmengine", "mmcv-lite", "onnx"),
    "classification": ("timm",),
    "segmentation": ("segmentation-models-pytorch", "timm"),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the manifest says besides what export finds out itself."""

    family: Family
    model: str
    preprocess: Preprocess
    precision: Precision
    decoder: Decoder
    threshold: Threshold
    training: Training | HeatmapTraining | DetectionTraining | SupervisedTraining
    parity: Parity | BoxParity
    health: HealthLimits | None = None
    pose: Pose | None = None
    compatible: str | None = None


def save_ir(graph: ov.Model, path: Path) -> None:
    """Writes .xml and .bin with weights in full precision; OpenVINO would halve them unasked.

    Raises OSError when they cannot be written.
    """
    import openvino as ov

    try:
        ov.save_model(graph, path, compress_to_fp16=False)
    except RuntimeError as error:  # a full disk is an "iostream error" to OpenVINO
        raise OSError(errno.EIO, "OpenVINO cannot write it; the disk may be full", str(path)) from error


def refuse_existing(out: Path, option: str = "--out") -> None:
    """Raises ConfigError where a bundle would overwrite something; bundles are never edited in place."""
    if out.exists() or out.is_symlink():
        raise ConfigError(f"{out}: exists already; choose another {option} or remove it first")
    if not out.absolute().parent.is_dir():
        raise ConfigError(f"{out.absolute().parent}: no such folder for {option}; make it first")


def write_bundle(
    out: Path, graph: ov.Model, golden: dict[str, Image], recipe: Recipe, upright: Learned | None = None
) -> None:
    """Makes the folder `out`, whole or not at all, and proves that it can be read and judges right.

    `upright` is what `recipe.pose` speaks of.
    """
    with whole_folder(out) as folder:
        (folder / "golden").mkdir()
        save_ir(graph, folder / MODEL_XML)
        if upright is not None:
            save_upright(folder / UPRIGHT, upright.template, upright.mask)
        finder = None if upright is None else upright.upright()
        runner = Runner(folder / MODEL_XML, recipe.decoder, recipe.precision, upright=finder)
        expected = tuple(_golden(folder, name, image, runner, recipe.threshold) for name, image in golden.items())
        files = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
        manifest = Manifest(
            created_at=datetime.now(UTC),
            mekiki=__version__,
            golden=expected,
            files={name: File(sha256=sha256_of(p), bytes=p.stat().st_size) for name, p in files.items()},
            **{name: getattr(recipe, name) for name in Recipe.__slots__},
        )
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        bundle = open_bundle(folder)
        check_golden(bundle, Runner.of(bundle))


def _golden(folder: Path, name: str, image: Image, runner: Runner, threshold: Threshold) -> Golden:
    file = f"golden/{name}.png"
    encoded = cv2.imencode(".png", image)[1]
    (folder / file).write_bytes(encoded.tobytes())
    score = runner.predict(image).score
    return Golden(file=file, score=score, outcome=_outcome(score, threshold))


def _outcome(score: float, threshold: Threshold) -> Outcome:
    return judge(score, threshold.ng_at_or_above, threshold.review_at_or_above)[0]


def write_rethresholded(out: Path, bundle: Bundle, threshold: Threshold) -> Bundle:
    """Makes the folder `out`, whole or not at all: `bundle` with another threshold, and nothing else new.

    IR and golden images stay as they are to the last byte; what the golden images must come out as follows the
    threshold. Raises BundleError where `bundle` was damaged meanwhile, ModelError where it does not judge so here.
    """
    old = bundle.manifest
    changed = {
        "created_at": datetime.now(UTC),
        "mekiki": __version__,
        "made_from": bundle.digest,
        "threshold": threshold,
        "golden": tuple(one.model_copy(update={"outcome": _outcome(one.score, threshold)}) for one in old.golden),
    }
    with whole_folder(out) as folder:
        for name in old.files:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(bundle.path / name, folder / name)
        text = old.model_copy(update=changed).model_dump_json(indent=2) + "\n"
        (folder / MANIFEST).write_text(text, encoding="utf-8")
        made = open_bundle(folder)
        check_golden(made, Runner.of(made))
    return replace(made, path=out)


def defaced(image: Image, at: tuple[float, float] | None = None) -> Image:
    """The image with a checkered square around `at` (x, y), or in its middle: no good part looks like it.

    So that every bundle, also one that never saw a defect, has a golden image that must be `ng`.
    """
    side = max(8, min(image.shape[:2]) // 6)
    cell = max(2, side // 8)
    rows, columns = (np.indices((side, side)) // cell) % 2
    result = image.copy()
    x, y = (image.shape[1] / 2, image.shape[0] / 2) if at is None else at
    left = min(max(0, int(x - side / 2)), image.shape[1] - side)
    top = min(max(0, int(y - side / 2)), image.shape[0] - side)
    result[top : top + side, left : left + side] = ((rows ^ columns) * 255)[:, :, None].astype(np.uint8)
    return result


def package_versions(family: Family = "anomaly") -> dict[str, str]:
    """Of the packages that decide what comes out of a fit."""
    found = {}
    for name in (*_VERSIONED[family], "openvino", "torch", "numpy", "opencv-python-headless"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # another build of OpenCV
            continue
    return found
