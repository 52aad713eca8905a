"""Several ways to score the same frames, in short turns, so that what else the machine does hits all alike."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.images import read_image
from models.prediction import Image
from models.runner import Runner
from trainer.dataset import Dataset
from trainer.evaluate import figures

Score = Callable[[Image], float]
DEFECTS = ("scratch_neck", "scratch_head")


@dataclass(frozen=True, slots=True)
class Row:
    """One way, measured."""

    what: str
    kind: str  # ours, limit, peer or torch
    precision: str
    size_px: int
    bank: int | None
    ms: float  # median of a frame
    best_ms: float  # the least: what the machine can do undisturbed
    auc: dict[str, float]  # per defect, against the good test images; empty for what scores nothing
    find_ms: float = 0.0  # of it, to find the part and lay it upright
    around_ms: float = 0.0  # of it, in Python around the device
    peak_mb: float | None = None  # of a process that does nothing else

    def as_json(self) -> dict[str, Any]:
        """With its fields by name."""
        return asdict(self)


def times_of(
    ways: Mapping[str, Callable[[Image], object]], frames: Sequence[Image], rounds: int
) -> dict[str, tuple[float, float]]:
    """Median and least milliseconds of each.

    A turn is all frames one after another, as on a line, but for a first one that does not count: then the caches hold
    this network, and the threads of the one before have gone to sleep.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            run(frames[0])
            found[name] += [_seconds_of(run, frame) for frame in frames]
    return {name: (statistics.median(values) * 1e3, min(values) * 1e3) for name, values in found.items()}


def _seconds_of(run: Callable[[Image], object], frame: Image) -> float:
    started = time.perf_counter()
    run(frame)
    return time.perf_counter() - started


def bare(runner: Runner, frame: Image) -> Callable[[Image], object]:
    """OpenVINO's loop on what the runner compiled: the same memory again and again, and nobody reads the result."""
    import openvino as ov

    view = frame if runner._upright is None else runner._upright.view(frame).image
    request = runner.twin()._request(*view.shape[:2])
    request.set_input_tensor(ov.Tensor(view[None].copy()))
    return lambda _: request.infer()


def aucs(score: Score, dataset: Dataset) -> dict[str, float]:
    """Of each kind of scratch."""
    good = [score(read_image(path)) for path in dataset.test_good]
    bad = {name: [score(read_image(path)) for path in dataset.defects[name]] for name in DEFECTS}
    return {name: float(figures(good, scores, 0.0)["roc_auc"]) for name, scores in bad.items()}


def peak_mb(module: str, *arguments: object) -> float:
    """What a fresh process says of itself that runs `python -m MODULE ARGUMENTS`."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def around_ms(runner: Runner, frames: Sequence[Image], rounds: int) -> tuple[float, float]:
    """Medians of the milliseconds in which Python finds the part, and of those around the device."""
    find, around = [], []
    for frame in list(frames) * rounds:
        started = time.perf_counter()
        found = runner.predict(frame)
        whole_s = time.perf_counter() - started
        find.append(found.find_s)
        around.append(whole_s - found.find_s - found.infer_s)
    return statistics.median(find) * 1e3, statistics.median(around) * 1e3


def written(rows: Sequence[Row]) -> str:
    """A table for people: how often each fits into the time of the stock peer, of the same size and bank."""
    named = f"{'ms':>8}{'least':>8}{'stock /':>9}{'/ bare':>8} {'neck':>7}{'head':>7}{'find':>7}{'Python':>8}{'MB':>7}"
    return "\n".join([" " * 40 + named, *(_line(row, rows) for row in rows)])


def _line(row: Row, rows: Sequence[Row]) -> str:
    same = [other for other in rows if (other.size_px, other.bank) == (row.size_px, row.bank)]
    stock = next((other.ms for kind in ("peer", "torch") for other in same if other.kind == kind), None)
    limit = next(
        (o.ms for o in same if o.kind == "limit" and o.what == row.what and o.precision == row.precision), None
    )
    ratio = "" if stock is None else f"{stock / row.ms:.2f}"
    over = f"{row.ms / limit:.2f}" if row.kind == "ours" and limit else ""
    auc = "".join(f"{value:7.3f}" for value in row.auc.values()) or " " * 14
    around = f"{row.find_ms:7.1f}{row.around_ms:8.2f}" if row.kind == "ours" else " " * 15
    memory = "" if row.peak_mb is None else f"{row.peak_mb:.0f}"
    name = f"{row.kind} {row.what} {row.precision}"
    return f"{name:<40}{row.ms:>8.2f}{row.best_ms:>8.2f}{ratio:>9}{over:>8} {auc}{around}{memory:>7}"


def folder_of(name: str) -> Path:
    """Where a bench leaves what it made: out/bench/NAME."""
    path = Path("out/bench") / name
    path.mkdir(parents=True, exist_ok=True)
    return path
