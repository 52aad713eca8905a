"""Chooses the size at which the network looks: enough for the detail that is there, within the cycle time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from models.bundle import MODEL_XML
from models.manifest import Precision, Preprocess
from models.prediction import Image
from trainer.backbone import MEAN_RGB, STD_RGB

if TYPE_CHECKING:
    from trainer.patchcore import Patchcore

SIZES_PX = (256, 320, 384, 448, 480, 512)
PROBE_PX = 256
_MULTIPLE_PX = 32  # the coarsest stride of common backbones
_DETAIL_WANTED = 0.97  # gives real screws 448 px; `python -m tests.bench.screws` measures what that is worth
# Without a coarser layer so many more pixels cost a tenth more time: `python -m tests.bench.starter`.
_FINE_ALONE = 1.07
_SHARE_OF_CYCLE = 0.6  # the rest is for the camera, the queue and a bad day
_MAX_IMAGES = 8
_BLOCK_PX = 16
_MOST_NOISE = 6.0  # grey levels


@dataclass(frozen=True, slots=True)
class SizeChoice:
    """The longer side, and why."""

    size_px: int
    reason: str
    fits: bool  # whether the prediction stays within the cycle


def spec_for(size_px: int, image: Image) -> Preprocess:
    """The network's input for a longer side of `size_px`, at the aspect ratio of the images."""
    height, width = image.shape[:2]
    longest = max(height, width)
    sides = [
        max(_MULTIPLE_PX, round(size_px * side / longest / _MULTIPLE_PX) * _MULTIPLE_PX) for side in (height, width)
    ]
    return Preprocess(height_px=sides[0], width_px=sides[1], mean_rgb=MEAN_RGB, std_rgb=STD_RGB)


def detail_kept(image: Image, size_px: int) -> float:
    """Share of the fine contrast (below 1/32 of the picture) that survives scaling to `size_px`, 0 to 1.

    The sensor's noise is estimated and taken out, else a noisy camera would ask for more pixels.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    longest = max(grey.shape)
    if size_px >= longest:
        return 1.0
    scale = size_px / longest
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    back = cv2.resize(small, (grey.shape[1], grey.shape[0]), interpolation=cv2.INTER_LINEAR)
    coarse = cv2.GaussianBlur(grey, (0, 0), longest / 64)
    missing, fine = grey - np.asarray(back, np.float32), grey - np.asarray(coarse, np.float32)
    lost, all_detail = _power(missing, _noise(missing)), _power(fine, _noise(missing))
    return float(np.clip(1 - lost / max(all_detail, 1e-6), 0, 1))


def _power(residual: NDArray[np.float32], noise: float) -> float:
    return max(float((residual**2).mean()) - noise**2, 0.0)


def _noise(residual: NDArray[np.float32]) -> float:
    """The sensor's, from the quietest tenth of 16 px blocks, and never above what cameras show.

    On a part that is texture all over no block is quiet; its contrast must not pass for noise.
    """
    rows, columns = (side // _BLOCK_PX for side in residual.shape)
    if not rows or not columns:
        return 0.0
    blocks = residual[: rows * _BLOCK_PX, : columns * _BLOCK_PX].reshape(rows, _BLOCK_PX, columns, _BLOCK_PX)
    return min(float(np.quantile(blocks.std(axis=(1, 3)), 0.1)), _MOST_NOISE)


def choose_size(
    images: Sequence[Image],
    cycle_time_s: float,
    probe: Callable[[Image], tuple[float, float]],
    fine_alone: bool = False,
) -> SizeChoice:
    """The smallest size that keeps the detail, or the largest that fits the cycle if that is less.

    `fine_alone`: the network has no layer at stride 16, and gets 1.07 times that size, or the next larger there is.

    `probe(frame)` returns the measured seconds per frame at PROBE_PX: of the resize, and of the rest,
    which grows with the area.
    """
    native = max(images[0].shape[:2])
    sizes = [size for size in SIZES_PX if size <= native] or [max(_MULTIPLE_PX, native)]
    kept = {size: float(np.mean([detail_kept(i, size) for i in images[:_MAX_IMAGES]])) for size in sizes}
    wanted = next((size for size in sizes if kept[size] >= _DETAIL_WANTED), sizes[-1])
    if fine_alone:
        wanted = next((size for size in sizes if size >= _FINE_ALONE * wanted), sizes[-1])
    resize_s, rest_s = probe(images[0])
    cost = {size: resize_s + rest_s * (size / PROBE_PX) ** 2 for size in sizes}
    fitting = [size for size in sizes if cost[size] <= _SHARE_OF_CYCLE * cycle_time_s]
    size = min(wanted, fitting[-1]) if fitting else sizes[0]
    return SizeChoice(size, _reason(size, wanted, kept, cost, cycle_time_s), bool(fitting))


def _reason(size: int, wanted: int, kept: dict[int, float], cost: dict[int, float], cycle_time_s: float) -> str:
    text = f"{size} px keeps {kept[size]:.0%} of the fine contrast in about {cost[size] * 1e3:.0f} ms"
    text += f" of a cycle of {cycle_time_s * 1e3:.0f} ms"
    if size < wanted:
        text += f"; {wanted} px would keep {kept[wanted]:.0%} in about {cost[wanted] * 1e3:.0f} ms: raise --cycle-time"
    return text


def probe_cost(net: Patchcore, frame: Image, bank_size: int, precision: Precision) -> tuple[float, float]:
    """Seconds per frame at PROBE_PX, measured with a random bank: of the resize, and of all else."""
    from models.runner import Runner
    from trainer.export import save_ir
    from trainer.reading import decoder_for
    from trainer.search import freeze_bias, with_search

    spec = spec_for(PROBE_PX, frame)
    graph = net.embedding_graph(spec)
    decoder, width = decoder_for(graph, net.reading), graph.outputs[0].partial_shape[1].get_length()
    bank = np.random.default_rng(0).standard_normal((bank_size, width), dtype=np.float32)
    small = np.zeros((spec.height_px, spec.width_px, 3), np.uint8)
    with tempfile.TemporaryDirectory(prefix="mekiki-") as work:
        save_ir(freeze_bias(with_search(graph, bank, net.reading, precision), bank), Path(work) / MODEL_XML)
        runner = Runner(Path(work) / MODEL_XML, decoder, precision)
        whole, rest = _seconds_of(lambda: runner.predict(frame)), _seconds_of(lambda: runner.predict(small))
    return max(0.0, whole - rest), rest


def _seconds_of(call: Callable[[], object], repeats: int = 5) -> float:
    """Shortest wall time of a call, after one that does not count: what the machine can do undisturbed."""
    call()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)
