"""A real bundle in under a second, without torch: a small IR that finds bright patches.

Its score is the grey value, 0 to 1, of the brightest of 8 x 8 patches of the frame. `frame()` draws
pictures for it: dark ones are `ok`, one with a bright patch is `ng`, a white one is NaN when the
bundle was made with `nan=True`. `make_boxes_bundle` makes the same of family detection: one box, labelled
"spot", around the patches that are brighter than FLOOR, with that score; no box in a dark picture.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from models import boxes
from models.bundle import MANIFEST, MODEL_XML
from models.files import sha256_of
from models.health import HealthLimits, Range
from models.manifest import (
    Augmentation,
    BoxesDecoder,
    BoxParity,
    Decision,
    Decoder,
    DetectionTraining,
    File,
    Golden,
    Manifest,
    Parity,
    PatchcoreDecoder,
    Precision,
    Preprocess,
    Quantization,
    Threshold,
    Training,
    Variant,
    Weights,
)
from models.patchcore import OUTPUT
from models.prediction import Image
from models.preprocess import with_preprocess
from models.runner import Runner
from models.scoring import judge
from models.variant import arithmetic_of

SIDE_PX = 64
OK, NG, WHITE = 0, 200, 255
DECODER = PatchcoreDecoder(kind="patchcore", top_patches=1)
FLOOR = 0.25
BOXES = BoxesDecoder(kind="boxes", labels=("spot", "scratch"), score_floor=FLOOR)
SPEC = Preprocess(height_px=SIDE_PX, width_px=SIDE_PX, mean_rgb=(0, 0, 0), std_rgb=(255, 255, 255))
ZEROS = "0" * 64
PARITY = Parity(n_images=1, max_relative=0, label_flips=0)
_TRIED_ROUNDS = 2000
Limits = tuple[float, float | None]  # where ng starts, and where review does


def frame(patch: int = OK, height_px: int = SIDE_PX, width_px: int = SIDE_PX) -> Image:
    """A dark picture whose top left quarter is as bright as `patch`; WHITE makes all of it white."""
    image = np.full((height_px, width_px, 3), WHITE if patch == WHITE else 25, np.uint8)
    if patch:
        image[: height_px // 2, : width_px // 2] = patch
    return image


def write_image(path: Path, image: Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return path


def make_bundle(
    path: Path,
    *,
    nan: bool = False,
    threshold: float = 0.5,
    review: float | None = None,
    golden_error: float = 0.0,
    health: HealthLimits | None = None,
    slow_s: float = 0.0,
    hangs: bool = False,
    manifest: dict[str, Any] | None = None,
    variants: Mapping[str, float] | None = None,
) -> Path:
    """Writes the bundle. `golden_error` is added to the expected scores, to make them wrong. From `review` up to
    `threshold` a picture is left to a person. `variants` are further precisions, each with its threshold; at int8
    grey values are told apart in 64 steps.

    With `health` (see `limits`) pictures outside of it are `unknown`. `slow_s` is about what an inference
    takes on this machine; with `hangs` one of a white picture never ends. `manifest` replaces fields of it.
    """
    path.mkdir(parents=True)
    _write_ir(path / MODEL_XML, nan, _rounds_of(slow_s, path / MODEL_XML) if slow_s else 0, hangs)
    others = tuple(_variant(path, precision, at, golden_error) for precision, at in (variants or {}).items())
    what = {"health": health, "variants": others, **(manifest or {})}
    return _finish(path, DECODER, (threshold, review), golden_error, what)


def make_boxes_bundle(
    path: Path,
    *,
    nan: bool = False,
    threshold: float = 0.5,
    review: float | None = None,
    golden_error: float = 0.0,
) -> Path:
    """The same of family detection."""
    path.mkdir(parents=True)
    _write_boxes_ir(path / MODEL_XML, nan)
    weights = Weights(source="untrained", name="none", sha256=None)
    training = DetectionTraining(
        images=(ZEROS,),
        image_sizes_px=((SIDE_PX, SIDE_PX),),
        weights=weights,
        classes=BOXES.labels,
        n_boxes=1,
        steps=0,
        batch=1,
        seed=0,
        versions={},
    )
    parity = BoxParity(n_images=1, n_boxes=1, count_differences=0, max_box_px=0, max_score=0, label_flips=0)
    what = {"family": "detection", "model": "tiny", "training": training, "parity": parity}
    return _finish(path, BOXES, (threshold, review), golden_error, what)


def _finish(path: Path, decoder: Decoder, limits: Limits, golden_error: float, changed: dict[str, Any]) -> Path:
    """Golden images, hashes and manifest for the IR that lies there."""
    golden = _golden(path, MODEL_XML, decoder, "f32", limits, golden_error)
    names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
    files = {name: File(sha256=sha256_of(path / name), bytes=(path / name).stat().st_size) for name in names}
    manifest = _manifest(limits, golden, files).model_copy(update={"decoder": decoder, **changed})
    (path / MANIFEST).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
    return path


def _variant(path: Path, precision: Precision, threshold: float, golden_error: float) -> Variant:
    """The same network at another precision, in a folder of its own."""
    name = f"{precision}/{MODEL_XML}"
    (path / precision).mkdir()
    _write_ir(path / name, False, 0, False, levels=64 if precision == "int8" else None)
    nothing = Decision(auc=1, recall=1)
    quantization = Quantization(method="by hand", nncf="none", images=(ZEROS,), before=nothing, after=nothing)
    return Variant(
        precision=precision,
        model=name,
        hint=arithmetic_of(precision),
        threshold=threshold_at(threshold),
        golden=_golden(path, name, DECODER, precision, (threshold, None), golden_error),
        parity=PARITY,
        quantization=quantization if precision == "int8" else None,
    )


def limits(**changed: Range | float) -> HealthLimits:
    """Limits that take every picture, but for those named: `limits(brightness=Range(low=20, high=100))`."""
    every = Range(low=-1, high=256)
    wide = HealthLimits(
        n_images=20,
        brightness=every,
        contrast_low=-1,
        sharpness_x_low=-1,
        sharpness_y_low=-1,
        centre_x=every,
        centre_y=every,
        extent=every,
    )
    return wide.model_copy(update=changed)


def _rounds_of(slow_s: float, path: Path) -> int:
    """How many rounds of useless work take so long here."""
    _write_ir(path, False, _TRIED_ROUNDS, False)
    runner = Runner(path, DECODER, "f32")
    runner.warm_up(SIDE_PX, SIDE_PX)
    took_s = min(runner.predict(frame()).infer_s for _ in range(3))
    return max(1, int(_TRIED_ROUNDS * slow_s / took_s))


def _write_ir(path: Path, nan: bool, rounds: int, hangs: bool, levels: int | None = None) -> None:
    import openvino as ov
    from openvino import opset13 as op

    image = op.parameter([1, 3, SIDE_PX, SIDE_PX], np.float32, name="image")
    seen = image
    if levels is not None:
        low, high = np.float32(0), np.float32(1)
        seen = op.fake_quantize(image, low, high, low, high, levels)
    grey = op.reduce_mean(op.abs(seen), np.array([1]), keep_dims=True)
    heat = op.avg_pool(grey, [8, 8], [0, 0], [0, 0], [8, 8], exclude_pad=True)
    if rounds or hangs:
        heat = _after_work(image, heat, rounds, hangs)
    if nan:
        heat = op.select(op.greater(heat, np.float32(0.9)), np.float32("nan"), heat)
    heat.output(0).set_names({OUTPUT})
    model = with_preprocess(ov.Model([heat], [image], "tiny"), SPEC)
    ov.save_model(model, path, compress_to_fp16=False)


def _write_boxes_ir(path: Path, nan: bool) -> None:
    import openvino as ov
    from openvino import opset13 as op

    image = op.parameter([1, 3, SIDE_PX, SIDE_PX], np.float32, name="image")
    heat = op.reduce_mean(op.avg_pool(image, [8, 8], [0, 0], [0, 0], [8, 8], exclude_pad=True), np.array([0, 1]))
    bright, score = op.greater(heat, np.float32(FLOOR)), op.reduce_max(heat, np.array([0, 1]))
    edges = [*_span(bright, axis=1), *_span(bright, axis=0)]
    scaled = with_preprocess(ov.Model([*edges, score], [image], "tiny"), SPEC)
    left, right, top, bottom, score = (scaled.output(i).get_node().input_value(0) for i in range(5))
    frame = scaled.get_parameters()[0]
    size = op.convert(op.shape_of(frame), np.float32)
    height, width = (op.gather(size, np.int64(axis), np.int64(0)) for axis in (1, 2))
    row = [op.multiply(left, width), op.multiply(top, height), op.multiply(right, width), op.multiply(bottom, height)]
    if nan:
        score = op.select(op.greater(score, np.float32(0.9)), np.float32("nan"), score)
    numbers = [op.reshape(number, np.array([1, 1, 1]), False) for number in (*row, score)]
    count = op.convert(op.reduce_logical_or(bright, np.array([0, 1])), np.int64)
    wanted = op.reshape(count, np.array([1]), False)  # none or one: the shape differs from frame to frame
    dets = _first(op.concat(numbers, 2), wanted)
    labels = _first(op.constant(np.zeros((1, 1), np.int64)), wanted)
    for name, output in zip(boxes.OUTPUTS, (dets, labels), strict=True):
        output.output(0).set_names({name})
    ov.save_model(ov.Model([dets, labels], [frame], "tiny"), path, compress_to_fp16=False)


def _span(bright: Any, axis: int) -> tuple[Any, Any]:
    """Where along an axis the bright ones of 8 x 8 patches begin and end, as shares of the side."""
    from openvino import opset13 as op

    places = np.arange(8, dtype=np.float32).reshape((1, 8) if axis else (8, 1)) / 8
    both = np.array([0, 1])
    first = op.reduce_min(op.select(bright, places, np.float32(1)), both)
    return first, op.reduce_max(op.select(bright, places + np.float32(1 / 8), np.float32(0)), both)


def _first(rows: Any, count: Any) -> Any:
    from openvino import opset13 as op

    return op.slice(rows, np.array([0]), count, np.array([1]), np.array([1]))


def _after_work(image: Any, heat: Any, rounds: int, hangs: bool) -> Any:
    """`heat` as it is, after a loop whose length depends on the picture, so that no compiler unrolls it."""
    import openvino as ov
    from openvino import opset13 as op

    light = op.reduce_mean(image, np.array([0, 1, 2, 3]), keep_dims=False)
    usual = op.select(op.greater_equal(light, np.float32(0)), np.int64(max(rounds, 1)), np.int64(1))
    count = op.select(op.greater(light, np.float32(0.9)), np.int64(2**60), usual) if hangs else usual
    nothing = op.minimum(op.reshape(heat, np.array([1, -1]), False), np.float32(0))
    turned = op.parameter(nothing.output(0).get_partial_shape(), np.float32)
    weights = np.random.default_rng(0).random((SIDE_PX, SIDE_PX), np.float32)
    again = op.matmul(turned, weights, False, False)
    go_on = op.constant(np.array(True))
    loop = op.loop(count, op.constant(np.array(True)))
    loop.set_function(ov.Model([go_on, again], [turned]))
    loop.set_special_body_ports([-1, 0])
    loop.set_merged_input(turned, nothing.output(0), again.output(0))
    end = loop.get_iter_value(again.output(0), -1)
    return op.add(heat, op.reduce_max(end, np.array([0, 1]), keep_dims=False))


def _golden(  # noqa: PLR0917
    path: Path, model: str, decoder: Decoder, precision: Precision, limits: Limits, error: float
) -> tuple[Golden, ...]:
    runner, golden = Runner(path / model, decoder, precision), []
    for name, patch in (("dark", OK), ("spot", NG)):
        image, file = frame(patch), f"golden/{name}.png"
        write_image(path / file, image)
        score = runner.predict(image).score
        golden.append(Golden(file=file, score=score + error, outcome=judge(score, *limits)[0]))
    return tuple(golden)


def threshold_at(ng: float, review: float | None = None) -> Threshold:
    """Put there by nobody in particular."""
    return Threshold(
        ng_at_or_above=ng,
        review_at_or_above=review,
        policy="recall_1",
        margin=0.1,
        n_good=1,
        n_defect=1,
        recall_lower_95=0.05,
        false_reject_upper_95=0.95,
    )


def _manifest(limits: Limits, golden: tuple[Golden, ...], files: dict[str, File]) -> Manifest:
    return Manifest(
        family="anomaly",
        model="patchcore",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        mekiki="0.1.0",
        preprocess=SPEC,
        precision="f32",
        decoder=DECODER,
        threshold=threshold_at(*limits),
        training=Training(
            images=(ZEROS,),
            image_sizes_px=((SIDE_PX, SIDE_PX),),
            backbone="none",
            layers=(),
            weights=Weights(source="untrained", name="none", sha256=None),
            bank_vectors=1,
            augmentation=Augmentation(angles_deg=(0,), shift=0, brightness=0),
            seed=0,
            versions={},
        ),
        parity=PARITY,
        golden=golden,
        files=files,
    )
