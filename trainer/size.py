"""Chooses how much the network looks at and how much it is compared with: what the detail asks for, within the cycle.

What costs least accuracy goes first, as `python -m tests.bench.curve` measured on real screws: of whole frames numbers
of each patch, of upright parts vectors of the bank, and pixels last.
"""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from models.bundle import MODEL_XML
from models.manifest import Precision, Preprocess
from models.prediction import Image
from trainer.backbone import MEAN_RGB, STD_RGB
from trainer.detail import detail_kept
from trainer.narrow import Narrowing

if TYPE_CHECKING:
    import openvino as ov

    from models.upright import Mask
    from trainer.patchcore import Patchcore

SIZES_PX = (256, 320, 384, 448, 480, 512)
PROBE_PX = 256
BANK = 10_000  # vectors, where nobody says how many
_MULTIPLE_PX = 32  # the coarsest stride of common backbones
_DETAIL_WANTED = 0.97  # gives real screws 448 px; `python -m tests.bench.screws` measures what that is worth
# Without a coarser layer so many more pixels cost a tenth more time: `python -m tests.bench.starter`.
_FINE_ALONE = 1.07
_SHARE_OF_CYCLE = 0.6  # the rest is for the camera, the queue and a bad day
_MAX_IMAGES = 8
_NARROW = (128, 64)
_FEWER = 4


@dataclass(frozen=True, slots=True)
class Setting:
    """How much each patch is compared with."""

    bank: int  # vectors
    width: int | None = None  # numbers of each; None: all that the network gives

    def __str__(self) -> str:
        return f"{self.bank} vectors" + ("" if self.width is None else f" of {self.width} numbers")


@dataclass(frozen=True, slots=True)
class SizeChoice:
    """The longer side, what each patch is compared with, and why."""

    size_px: int
    setting: Setting
    reason: str
    fits: bool  # whether the prediction stays within the cycle


Probe = Callable[[Image, Setting], tuple[float, float]]


def settings_of(
    bank: int | None, width: int | None, *, is_upright: bool, usual: int | None = None
) -> tuple[Setting, ...]:
    """What may be chosen, the most accurate first. What a person chose, who is not None, stays.

    `usual`: numbers kept of each patch of whole frames where nobody says how many; None: all.
    """
    most = Setting(BANK if bank is None else bank, width)
    if is_upright:  # few patches of few kinds: the network is what takes time, and few vectors are enough
        return (most, Setting(BANK // _FEWER, width)) if bank is None else (most,)
    if width is not None:
        return (most,)
    return tuple(Setting(most.bank, one) for one in (usual, *(one for one in _NARROW if usual is None or one < usual)))


def spec_for(size_px: int, image: Image) -> Preprocess:
    """The network's input for a longer side of `size_px`, at the aspect ratio of the images."""
    height, width = image.shape[:2]
    longest = max(height, width)
    sides = [
        max(_MULTIPLE_PX, round(size_px * side / longest / _MULTIPLE_PX) * _MULTIPLE_PX) for side in (height, width)
    ]
    return Preprocess(height_px=sides[0], width_px=sides[1], mean_rgb=MEAN_RGB, std_rgb=STD_RGB)


def choose_size(
    images: Sequence[Image],
    cycle_time_s: float,
    probe: Probe,
    settings: Sequence[Setting] = (Setting(BANK),),
    fine_alone: bool = False,
) -> SizeChoice:
    """The smallest size that keeps the detail, or the largest that fits the cycle if that is less.

    At each size the first of `settings` that fits. `fine_alone`: the network has no layer at stride 16, and gets 1.07
    times that size, or the next larger there is.

    `probe(frame, setting)` returns the measured seconds per frame at PROBE_PX: of what does not grow with the network's
    area, and of the rest, which does.
    """
    native = max(images[0].shape[:2])
    sizes = [size for size in SIZES_PX if size <= native] or [max(_MULTIPLE_PX, native)]
    kept = {size: float(np.mean([detail_kept(i, size) for i in images[:_MAX_IMAGES]])) for size in sizes}
    wanted = next((size for size in sizes if kept[size] >= _DETAIL_WANTED), sizes[-1])
    if fine_alone:
        wanted = next((size for size in sizes if size >= _FINE_ALONE * wanted), sizes[-1])
    probed = functools.cache(functools.partial(probe, images[0]))  # most cycles need but the first

    def cost_s(size: int, setting: Setting) -> float:
        constant_s, rest_s = probed(setting)
        return constant_s + rest_s * (size / PROBE_PX) ** 2

    best = (wanted, settings[0])
    tries = [(size, setting) for size in reversed(sizes) if size <= wanted for setting in settings]
    fitting = next((one for one in tries if cost_s(*one) <= _SHARE_OF_CYCLE * cycle_time_s), None)
    chosen = fitting or tries[-1]
    return SizeChoice(*chosen, _reason(chosen, best, kept, cost_s, cycle_time_s), fits=fitting is not None)


def _reason(
    chosen: tuple[int, Setting],
    best: tuple[int, Setting],
    kept: dict[int, float],
    cost_s: Callable[[int, Setting], float],
    cycle_time_s: float,
) -> str:
    text = f"{_words(chosen, kept, cost_s)} of a cycle of {cycle_time_s * 1e3:.0f} ms"
    return text if chosen == best else f"{text}; wanted were {_words(best, kept, cost_s)}: raise --cycle-time"


def _words(one: tuple[int, Setting], kept: dict[int, float], cost_s: Callable[[int, Setting], float]) -> str:
    size, setting = one
    return f"{size} px, {kept[size]:.0%} of the fine contrast, and {setting} in about {cost_s(*one) * 1e3:.0f} ms"


def probe_cost(
    net: Patchcore, frame: Image, setting: Setting, precision: Precision, mask: Mask | None = None
) -> tuple[float, float]:
    """Seconds per frame at PROBE_PX, measured with a random bank: of the resize, and of all else.

    `mask` says which pixels of the frame are the part, where only these are looked at.
    """
    from models.runner import Runner
    from trainer.export import save_ir
    from trainer.reading import decoder_for, upright_reading
    from trainer.search import freeze_bias, with_search

    spec, rng = spec_for(PROBE_PX, frame), np.random.default_rng(0)
    graph = _narrow_graph(net, spec, setting.width)
    width, rows, columns = (axis.get_length() for axis in list(graph.outputs[0].partial_shape)[1:])
    reading = net.reading if mask is None else upright_reading(net.layers, mask, rows, columns)
    bank = rng.standard_normal((setting.bank, width), dtype=np.float32)
    small = np.zeros((spec.height_px, spec.width_px, 3), np.uint8)
    with tempfile.TemporaryDirectory(prefix="mekiki-") as work:
        decoder = decoder_for(graph, reading)
        save_ir(freeze_bias(with_search(graph, bank, reading, precision), bank), Path(work) / MODEL_XML)
        runner = Runner(Path(work) / MODEL_XML, decoder, precision)
        whole, rest = _seconds_of(lambda: runner.predict(frame)), _seconds_of(lambda: runner.predict(small))
    return max(0.0, whole - rest), rest


def _narrow_graph(net: Patchcore, spec: Preprocess, width: int | None) -> ov.Model:
    """With directions that mean nothing: as many as asked for, or all."""
    graph = net.embedding_graph(spec)
    before = graph.outputs[0].partial_shape[1].get_length()
    if width is None or width >= before:
        return graph
    net.narrow(Narrowing(np.eye(width, before, dtype=np.float32), np.zeros(before, np.float32)))
    try:
        return net.embedding_graph(spec)
    finally:
        net.narrow(None)


def _seconds_of(call: Callable[[], object], repeats: int = 5) -> float:
    """Shortest wall time of a call, after one that does not count: what the machine can do undisturbed."""
    call()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)
