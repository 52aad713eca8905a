"""The starter weights against none and against ImageNet's: `python -m tests.bench.starter [--detector SEED ...]`.

PatchCore: the first twenty good real screws, each kind of scratch against the good test images, as `fit` does it by
itself, which lays parts upright; with `--upright off` whole frames, in which more depends on the weights. `--draws 4`
goes on with the next twenty, and so on, as which twenty they are moves AUC by hundredths: then means count.

RTMDet, with --detector: splits of `tests.bench.detection`, from the starter and from nothing; AUC, and after how many
steps the starter's loss is where the other one ends. Some 20 minutes a training.
"""

import argparse
import csv
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from unittest import mock

from models.bundle import open_bundle
from tests.bench.detection import split_of
from tests.bench.line import line
from tests.shared import find_shared
from trainer.cli import main as mekiki_train
from trainer.detection.hooks import CURVE

GOOD = 20
CLOSED = 0.8  # of the distance between untrained and ImageNet
DEFECTS = ("scratch_neck", "scratch_head")
_SIZE = ("--image-size", "448")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detector", type=int, nargs="+", default=(), metavar="SEED")
    parser.add_argument("--upright", choices=["auto", "off"], default="auto")
    parser.add_argument("--draws", type=int, choices=[1, 2, 3, 4], default=1)
    wanted = parser.parse_args()
    if (shared := find_shared()) is None:
        print("no shared data here (../shared or MEKIKI_SHARED): nothing measured")
        return 0
    screws, imagenet = shared / "data/mvtec_screw", next((shared / "weights").glob("*.pth"))
    with tempfile.TemporaryDirectory() as folder:
        twenties = [_twenty(screws, Path(folder), draw) for draw in range(wanted.draws)]
        missed = _patchcore(twenties, imagenet, ("--upright", wanted.upright))
        for seed in wanted.detector:
            _detector(screws, Path(folder), seed)
    return missed


def _twenty(screws: Path, folder: Path, draw: int) -> Path:
    """A data set of so many good screws farther on, with the same test images."""
    data = folder / f"draw{draw}"
    (data / "train/good").mkdir(parents=True)
    (data / "test").symlink_to((screws / "test").resolve())
    for path in sorted((screws / "train/good").iterdir())[GOOD * draw : GOOD * (draw + 1)]:
        (data / "train/good" / path.name).symlink_to(path.resolve())
    return data


def _patchcore(twenties: Sequence[Path], imagenet: Path, laid: tuple[str, str]) -> int:
    """All at one size, where ours must not be slower than ImageNet's, and ours at the size that `fit` gives it."""
    with _no_starter(twenties[0].parent):
        none = _mean([_measure(data, "untrained", *laid, *_SIZE) for data in twenties])
    theirs = _mean([_measure(data, "ImageNet", *laid, *_SIZE, "--weights", str(imagenet)) for data in twenties])
    same = _mean([_measure(data, "ours", *laid, *_SIZE) for data in twenties])
    larger = _mean([_measure(data, "ours, by itself", *laid) for data in twenties])
    missed = 0
    for what, ours in (("at 448 px", same), ("by itself", larger)):
        for name in DEFECTS:
            closed = (ours.auc[name] - none.auc[name]) / (theirs.auc[name] - none.auc[name])
            missed |= line(f"{name}, {what}: of the way from untrained to ImageNet", closed, "at least", CLOSED, "")
            print(f"{'':<16}AUC {none.auc[name]:.3f}, {ours.auc[name]:.3f}, {theirs.auc[name]:.3f}", flush=True)
    missed |= line("latency at 448 px / ImageNet's", same.p50_s / theirs.p50_s, "at most", 1.0, "")
    print(f"latency by itself / ImageNet's at 448 px: {larger.p50_s / theirs.p50_s:.2f}", flush=True)
    return missed


@dataclass(frozen=True, slots=True)
class _Found:
    auc: dict[str, float]  # per defect
    p50_s: float


def _mean(found: Sequence[_Found]) -> _Found:
    auc = {name: statistics.fmean(one.auc[name] for one in found) for name in DEFECTS}
    return _Found(auc, min(one.p50_s for one in found))


def _measure(data: Path, what: str, *options: str) -> _Found:
    out = data.with_name(f"{data.name}.{what.replace(' ', '')}.bundle")
    _said(["fit", "--family", "anomaly", "--data", str(data), "--out", str(out), *options])
    found = {
        name: json.loads(_said(["evaluate", str(out), "--data", str(data), "--defects", name, "--json"]))
        for name in DEFECTS
    }
    side_px = open_bundle(out).manifest.preprocess.width_px
    for name, one in found.items():
        auc, precision, p50_ms = one["roc_auc"], one["precision_at_recall_1"], one["latency_s"]["p50"] * 1e3
        print(
            f"{data.name} {what:<16}{name:<14}{side_px} px, AUC {auc:.3f}, precision at recall 1 {precision:.3f}, "
            f"{p50_ms:.0f} ms",
            flush=True,
        )
    return _Found(
        {name: one["roc_auc"] for name, one in found.items()},
        min(one["latency_s"]["p50"] for one in found.values()),
    )


def _detector(screws: Path, folder: Path, seed: int) -> None:
    learn, unseen = split_of(screws, folder, seed)
    curves = {}
    for what in ("untrained", "starter"):
        out = folder / f"{seed}.{what}.bundle"
        fit = ["fit", "--family", "detection", "--data", str(learn), "--out", str(out), "--seed", str(seed)]
        with _no_starter(folder) if what == "untrained" else nullcontext():
            _said(fit)
        found = json.loads(_said(["evaluate", str(out), "--data", str(unseen), "--json"]))
        with (out.with_name(f"{out.name}.report") / CURVE).open() as file:
            curves[what] = [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]
        auc, precision = found["roc_auc"], found["precision_at_recall_1"]
        print(
            f"split {seed}, {what:<10}AUC {auc:.3f}, precision at recall 1 {precision:.3f}, "
            f"loss {curves[what][-1][1]:.3f}",
            flush=True,
        )
    least = min(loss for _, loss in curves["untrained"])
    reached = next((step for step, loss in curves["starter"] if loss <= least), None)
    steps = curves["untrained"][-1][0]
    print(
        f"split {seed}: the least loss from nothing, {least:.3f} in {steps} steps, is reached in {reached}", flush=True
    )


@contextmanager
def _no_starter(folder: Path) -> Iterator[None]:
    """As if none were shipped."""
    nowhere = folder / "nowhere"
    with mock.patch("trainer.backbone.STARTER", nowhere), mock.patch("trainer.detection.weights.STARTER", nowhere):
        yield


def _said(arguments: list[str]) -> str:
    with redirect_stdout(StringIO()) as said:
        assert mekiki_train(arguments) == 0, arguments
    return said.getvalue()


if __name__ == "__main__":
    raise SystemExit(main())
