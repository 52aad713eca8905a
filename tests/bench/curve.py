"""What a PatchCore costs and what it is worth: `python -m tests.bench.curve [--whole]`.

AUC on real screws against milliseconds in the device, over image size, vectors in the bank, numbers kept of each patch
and precision; of upright parts, or with --whole of whole frames, where the expensive setting is measured too (512 px,
twelve turns, 24,000 vectors). Everything by the IR that would ship, ImageNet's weights, the first twenty good screws.
Writes out/bench/curve/upright.json or whole.json and a plot beside it. Needs the shared data.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from models.bundle import MODEL_XML
from models.images import read_image
from models.manifest import Augmentation
from models.precision import cpu_has_bf16
from models.prediction import Image
from models.runner import Runner
from models.variant import Precision
from tests.bench.curve_plot import draw
from tests.bench.line import line
from tests.bench.race import DEFECTS, folder_of
from tests.shared import find_shared
from trainer.backbone import find_weights
from trainer.bank import gather
from trainer.coreset import choose_bank
from trainer.dataset import scan
from trainer.evaluate import figures
from trainer.export import save_ir
from trainer.looks import Looks, choose_looks
from trainer.narrow import principal
from trainer.patchcore import Patchcore
from trainer.reading import decoder_for
from trainer.search import freeze_bias, with_search
from trainer.size import spec_for

GOOD = 20
PLAIN = Augmentation(angles_deg=(0.0,), shift=0, brightness=0)
BOTH: tuple[Precision, ...] = ("f32", "bf16")
UPRIGHT = ((256, 320, 384, 448, 512), (500, 2_000, 10_000), (None, 128), BOTH)
WHOLE = ((256, 384), (1_638, 8_000), (None, 192, 64), BOTH)
EXPENSIVE = ((512,), (24_000,), (None,), BOTH[:1])
USUAL = ((448,), (10_000,), (None,), BOTH[:1])  # of upright parts, as `fit` takes it by itself
CHEAPER = 5.0


@dataclass(frozen=True, slots=True)
class Point:
    """One setting."""

    size_px: int
    bank: int
    width: int  # numbers kept of each patch
    precision: Precision
    ms: float  # in the device, median over the test images
    best_ms: float  # the least: what the machine can do undisturbed
    auc: dict[str, float]  # per kind of scratch
    precision_at_recall_1: float  # of both kinds together


@dataclass(frozen=True, slots=True)
class Screws:
    """What is learned from and tested on, as the network gets to see it."""

    looks: Looks
    good: list[Image]
    tests: list[tuple[str, Image]]
    find_ms: float  # median, to see in a frame what the network gets to see
    weights: Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--sizes", type=int, nargs="+", help="only these; the others are kept as they were measured")
    wanted = parser.parse_args()
    if (shared := find_shared()) is None:
        print("no shared data here (../shared or MEKIKI_SHARED): nothing measured")
        return 0
    name, grids = ("whole", (EXPENSIVE, WHOLE)) if wanted.whole else ("upright", (UPRIGHT,))
    out = folder_of("curve") / f"{name}.json"
    sizes = wanted.sizes or [size for grid in grids for size in grid[0]]
    kept = [Point(**one) for one in json.loads(out.read_text())] if wanted.sizes and out.exists() else []
    points = [point for point in kept if point.size_px not in sizes]
    screws, missed = _read(shared, "off" if wanted.whole else "on"), 0
    for point in (point for grid in grids for point in _points(screws, sizes, *grid)):
        points.append(point)
        print(_line(point), flush=True)
        points.sort(key=lambda point: (point.size_px, point.bank, point.width, point.precision))
        out.write_text(json.dumps([asdict(one) for one in points], indent=1) + "\n", encoding="utf-8")
        if (point.size_px, point.bank) == (EXPENSIVE[0][0], EXPENSIVE[1][0]):
            missed |= _beside(point, _read(shared, "on"))
    draw(points, out.with_suffix(".png"), name)
    return missed


def _beside(expensive: Point, upright: Screws) -> int:
    """Upright parts in the same run as what whole frames need for the same accuracy."""
    usual = next(_points(upright, USUAL[0], *USUAL))
    print(f"upright parts, found in {upright.find_ms:.1f} ms: {_line(usual)}")
    found = line(
        "expensive setting / upright parts", expensive.ms / (usual.ms + upright.find_ms), "at least", CHEAPER, ""
    )
    lost = max(expensive.auc[name] - usual.auc[name] for name in DEFECTS)
    return found | line("AUC, expensive setting less upright parts, worst kind", lost, "at most", 0.0, "")


def _read(shared: Path, upright: str) -> Screws:
    dataset = scan(shared / "data/mvtec_screw", GOOD)
    good = [read_image(path) for path in dataset.train_good]
    looks = choose_looks(good, upright, "auto", print)
    kinds = {"good": dataset.test_good, **{name: dataset.defects[name] for name in DEFECTS}}
    tests, times_s = [], []
    for name, frame in ((name, read_image(path)) for name, paths in kinds.items() for path in paths):
        started = time.perf_counter()
        tests.append((name, looks.see(frame)))
        times_s.append(time.perf_counter() - started)
    weights = next((shared / "weights").glob("*.pth"))
    return Screws(looks, [looks.see(image) for image in good], tests, statistics.median(times_s) * 1e3, weights)


def _points(  # noqa: PLR0917 - one for each axis
    screws: Screws,
    wanted: Sequence[int],
    sizes: Sequence[int],
    banks: Sequence[int],
    widths: Sequence[int | None],
    precisions: Sequence[Precision],
) -> Iterator[Point]:
    for size_px in (size for size in sizes if size in wanted):
        for width in widths:
            for precision in (one for one in precisions if one == "f32" or cpu_has_bf16()):
                yield from _banks(screws, size_px, width, precision, banks)


def _banks(
    screws: Screws, size_px: int, width: int | None, precision: Precision, banks: Sequence[int]
) -> Iterator[Point]:
    """One bank is the beginning of the next: the farthest vector comes first."""
    found, file = find_weights("resnet18", screws.weights, allow_hub=False)
    net, spec = Patchcore("resnet18", file, found), spec_for(size_px, screws.good[0])
    embedding = net.embedding_graph(spec)
    if screws.looks.mask is not None:
        net.read_upright(screws.looks.mask, embedding)
    weight = net.reading.weight
    if width is not None:
        net.narrow(principal(gather(embedding, screws.good, PLAIN, 0, precision, weight)[0], width))
        embedding = net.embedding_graph(spec)
    patches, _ = gather(embedding, screws.good, screws.looks.plan, 0, precision, weight)
    order = choose_bank(patches, banks[-1], 0)
    for bank in banks:
        vectors = patches[order[:bank]]
        graph = freeze_bias(with_search(embedding.clone(), vectors, net.reading, precision), vectors)
        with tempfile.TemporaryDirectory() as folder:
            save_ir(graph, Path(folder) / MODEL_XML)
            runner = Runner(Path(folder) / MODEL_XML, decoder_for(embedding, net.reading), precision)
            yield _measured(runner, screws, size_px, len(vectors), vectors.shape[1])


def _measured(runner: Runner, screws: Screws, size_px: int, bank: int, width: int) -> Point:
    runner.predict(screws.tests[0][1])
    scored = [(name, runner.predict(view)) for name, view in screws.tests]
    scores = {kind: [found.score for name, found in scored if name == kind] for kind in ("good", *DEFECTS)}
    both = figures(scores["good"], [score for name in DEFECTS for score in scores[name]], 0.0)
    auc = {name: float(figures(scores["good"], scores[name], 0.0)["roc_auc"]) for name in DEFECTS}
    times_ms = [found.infer_s * 1e3 for _, found in scored]
    ms, best_ms = statistics.median(times_ms), min(times_ms)
    return Point(size_px, bank, width, runner.precision, ms, best_ms, auc, both["precision_at_recall_1"])


def _line(point: Point) -> str:
    auc = " / ".join(f"{value:.3f}" for value in point.auc.values())
    setting = f"{point.size_px} px, {point.bank:>6} x {point.width:<3} at {point.precision:<4}"
    ms = f"{point.ms:7.1f} ms ({point.best_ms:.1f} at least)"
    return f"{setting}: {ms}, AUC {auc}, precision at recall 1 {point.precision_at_recall_1:.3f}"


if __name__ == "__main__":
    raise SystemExit(main())
