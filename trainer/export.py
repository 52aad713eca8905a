"""Writes a bundle: the one place where `models/bundle.py`'s folder is made."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from models import __version__
from models.bundle import MANIFEST, MODEL_XML, Bundle, open_bundle
from models.errors import ConfigError
from models.files import sha256_of, whole_folder
from models.golden import check_golden
from models.health import HealthLimits
from models.manifest import (
    Arithmetic,
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
    Quantization,
    SupervisedTraining,
    Threshold,
    Training,
    Variant,
)
from models.prediction import Image
from models.runner import Runner
from models.scoring import judge
from models.upright import UPRIGHT, Upright, save_upright
from models.variant import arithmetic_of, weights_of
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
    hint: Arithmetic | None = None
    quantization: Quantization | None = None


@dataclass(frozen=True, slots=True)
class VariantRecipe:
    """One more precision of the same fit: its graph, and what its part of the manifest says."""

    graph: ov.Model
    precision: Precision
    threshold: Threshold  # chosen on this graph's scores
    parity: Parity | BoxParity
    hint: Arithmetic | None = None  # null: as `precision` says, f32 beside what is int8
    quantization: Quantization | None = None

    @property
    def file(self) -> str:
        """Where the graph lies in the bundle."""
        return f"{self.precision}/{MODEL_XML}"


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


def write_bundle(  # noqa: PLR0913, PLR0917
    out: Path,
    graph: ov.Model,
    golden: dict[str, Image],
    recipe: Recipe,
    upright: Learned | None = None,
    variants: Sequence[VariantRecipe] = (),
) -> None:
    """Makes the folder `out`, whole or not at all, and proves that it can be read and judges right at each precision.

    `upright` is what `recipe.pose` speaks of; `graph` and `recipe` are of the main precision, `variants` of others.
    Raises ModelError where this machine does not compute one of them.
    """
    with whole_folder(out) as folder:
        if upright is not None:
            save_upright(folder / UPRIGHT, upright.template, upright.mask)
        finder = None if upright is None else upright.upright()
        main = VariantRecipe(graph, recipe.precision, recipe.threshold, recipe.parity, recipe.hint, recipe.quantization)
        save_ir(graph, folder / MODEL_XML)
        pictures = _write_golden(folder, golden)
        expected = _expected(folder / MODEL_XML, pictures, main, recipe.decoder, finder)
        others = tuple(_variant(folder, pictures, one, recipe.decoder, finder) for one in variants)
        files = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
        manifest = Manifest(
            created_at=datetime.now(UTC),
            mekiki=__version__,
            golden=expected,
            variants=others,
            files={name: File(sha256=sha256_of(p), bytes=p.stat().st_size) for name, p in files.items()},
            **{name: getattr(recipe, name) for name in Recipe.__slots__},
        )
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        _prove(open_bundle(folder))


def _prove(bundle: Bundle) -> None:
    """Raises ModelError where it does not judge at each precision as its manifest says."""
    for one in map(bundle.at, bundle.precisions):
        check_golden(one, Runner.of(one))


def _write_golden(folder: Path, golden: dict[str, Image]) -> dict[str, Image]:
    """File name -> image."""
    (folder / "golden").mkdir()
    for name, image in golden.items():
        (folder / f"golden/{name}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return {f"golden/{name}.png": image for name, image in golden.items()}


def _variant(
    folder: Path, golden: dict[str, Image], recipe: VariantRecipe, decoder: Decoder, upright: Upright | None
) -> Variant:
    (folder / recipe.file).parent.mkdir()
    save_ir(recipe.graph, folder / recipe.file)
    return Variant(
        precision=recipe.precision,
        model=recipe.file,
        hint=arithmetic_of(recipe.precision, recipe.hint),
        threshold=recipe.threshold,
        golden=_expected(folder / recipe.file, golden, recipe, decoder, upright),
        parity=recipe.parity,
        quantization=recipe.quantization,
    )


def _expected(
    path: Path, golden: dict[str, Image], recipe: VariantRecipe, decoder: Decoder, upright: Upright | None
) -> tuple[Golden, ...]:
    """What the graph at `path` says of the golden images."""
    runner = Runner(path, decoder, recipe.precision, upright=upright, arithmetic=recipe.hint)
    scores = {file: runner.predict(image).score for file, image in golden.items()}
    return tuple(Golden(file=f, score=s, outcome=_outcome(s, recipe.threshold)) for f, s in scores.items())


def _outcome(score: float, threshold: Threshold) -> Outcome:
    return judge(score, threshold.ng_at_or_above, threshold.review_at_or_above)[0]


def write_rethresholded(out: Path, bundle: Bundle, thresholds: Mapping[Precision, Threshold]) -> Bundle:
    """Makes the folder `out`, whole or not at all: `bundle` with other thresholds, and nothing else new.

    `thresholds` has one for the main precision; a variant without one is left out. Graphs and golden images stay as
    they are to the last byte; what the golden images must come out as follows the threshold. Raises BundleError where
    `bundle` was damaged meanwhile, ModelError where it does not judge so here.
    """
    old = bundle.main.manifest
    kept = tuple(one for one in old.variants if one.precision in thresholds)
    gone = {name for one in old.variants if one not in kept for name in (one.model, weights_of(one.model))}
    changed = {
        "created_at": datetime.now(UTC),
        "mekiki": __version__,
        "made_from": bundle.digest,
        **_rethresholded(old, thresholds),
        "variants": tuple(one.model_copy(update=_rethresholded(one, thresholds)) for one in kept),
        "files": {name: file for name, file in old.files.items() if name not in gone},
    }
    manifest = old.model_copy(update=changed)
    with whole_folder(out) as folder:
        for name in manifest.files:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(bundle.path / name, folder / name)
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        made = open_bundle(folder)
        _prove(made)
    return replace(made, path=out)


def _rethresholded(old: Manifest | Variant, thresholds: Mapping[Precision, Threshold]) -> dict[str, Any]:
    threshold = thresholds[old.precision]
    golden = tuple(one.model_copy(update={"outcome": _outcome(one.score, threshold)}) for one in old.golden)
    return {"threshold": threshold, "golden": golden}


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
