"""PatchCore on a box, ours against what users have today: `make bench-peer`, or `python -m tests.bench.peer SIZE BANK`.

From a raw 1024 px frame to a score, in turns: our IR at each precision, of whole frames and of upright parts; the same
IR in OpenVINO's own loop (the limit); anomalib's own export through its own OpenVINOInferencer, as it computes by
itself and at f32, its graph resizing or an area resize before it; anomalib's model in torch. Same backbone, ImageNet's
weights, same twenty good screws in the same views, same number of vectors. AUC and memory beside each time. Writes
out/bench/peer/SIZE-BANK.json; `tests.bench.peer_table` makes one table and plot of all. Needs the shared data.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.bundle import Bundle, open_bundle
from models.images import read_image
from models.precision import cpu_has_bf16
from models.prediction import Image
from models.runner import Runner
from tests.bench import anomalib_peer
from tests.bench.race import Row, around_ms, aucs, bare, folder_of, peak_mb, times_of, written
from tests.shared import find_shared
from trainer.augment import views_of
from trainer.cli import main as mekiki_train
from trainer.dataset import Dataset, scan
from trainer.pose import measure_pose, plan_augmentation

GOOD, ROUNDS, TORCH_FRAMES = 20, 3, 8
MEMORY = "tests.bench.peer_memory"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size_px", type=int)
    parser.add_argument("bank", type=int)
    wanted = parser.parse_args()
    if (shared := find_shared()) is None:
        print("no shared data here (../shared or MEKIKI_SHARED): nothing measured")
        return 0
    data, weights = shared / "data/mvtec_screw", next((shared / "weights").glob("*.pth"))
    folder = folder_of("peer")
    rows = measured(data, weights, wanted.size_px, wanted.bank, folder)
    out = folder / f"{wanted.size_px}-{wanted.bank}.json"
    _write(out, rows)
    _write(out, _with_memory(rows, folder))
    return 0


def _write(out: Path, rows: Sequence[Row]) -> None:
    out.write_text(json.dumps([row.as_json() for row in rows], indent=1) + "\n", encoding="utf-8")
    print(written(rows), flush=True)


def measured(data: Path, weights: Path, size_px: int, bank: int, folder: Path) -> list[Row]:
    """Every way at one image size and one number of vectors."""
    dataset = scan(data, GOOD)
    frames = [read_image(path) for path in dataset.test_good]
    ours = {
        name: Runner.of(bundle)
        for name, bundle in _bundles(data, weights, size_px, bank, folder / f"{size_px}-{bank}.bundles")
    }
    peer = anomalib_peer.learned(weights, _views(dataset), size_px, bank)
    theirs = dict(_inferencers(peer, size_px, folder / f"{size_px}-{bank}.anomalib"))
    ways: dict[tuple[str, str, str], Callable[[Image], object]] = {
        **{("ours", *name): runner.predict for name, runner in ours.items()},
        **{("limit", *name): bare(runner, frames[0]) for name, runner in ours.items()},
        **{("peer", *name): one.score for name, one in theirs.items()},
    }
    ms = times_of({str(name): run for name, run in ways.items()}, frames, ROUNDS)
    scores: dict[tuple[str, str, str], Callable[[Image], float]] = {
        **{("ours", *name): _score(runner) for name, runner in ours.items()},
        **{("peer", *name): one.score for name, one in theirs.items()},
    }
    found = []
    for name in ways:
        auc = aucs(scores[name], dataset) if name in scores else {}
        row = Row(name[1], name[0], name[2], size_px, bank, *ms[str(name)], auc)
        if name[0] == "ours":
            find, around = around_ms(ours[name[1:]], frames, 1)
            row = replace(row, find_ms=find, around_ms=around)
        found.append(row)
    return [*found, _torch(peer, dataset, frames, size_px, bank)]


def _bundles(
    data: Path, weights: Path, size_px: int, bank: int, folder: Path
) -> Iterator[tuple[tuple[str, str], Bundle]]:
    """((what is looked at, precision), bundle): one fit of each at every precision, made where it is not there yet."""
    for what, upright in (("whole frame", "off"), ("upright part", "on")):
        out = folder / what.split()[0]
        folder.mkdir(exist_ok=True)
        if not out.exists():
            fit = ["fit", "--family", "anomaly", "--data", str(data), "--out", str(out), "--limit", str(GOOD)]
            fit += ["--weights", str(weights), "--image-size", str(size_px), "--bank", str(bank)]
            assert mekiki_train([*fit, "--upright", upright, "--also", "bf16,int8" if cpu_has_bf16() else "int8"]) == 0
        bundle = open_bundle(out)
        for precision in bundle.precisions:
            yield (what, precision), bundle.at(precision)


def _views(dataset: Dataset) -> Iterator[Image]:
    """As our own fit of whole frames makes them."""
    good, rng = [read_image(path) for path in dataset.train_good], np.random.default_rng(0)
    plan = plan_augmentation(measure_pose(good), len(good), "auto")
    return (view for image in good for view in views_of(image, plan, rng))


def _inferencers(
    peer: object, size_px: int, folder: Path
) -> Iterator[tuple[tuple[str, str], anomalib_peer.Inferencer]]:
    for what, side_px, resized_px in (("its own resize", 1024, None), ("area resize", size_px, size_px)):
        model_xml = anomalib_peer.exported(peer, folder / what.replace(" ", "-"), side_px)
        for name, config in anomalib_peer.STOCK.items():
            yield (what, name), anomalib_peer.Inferencer(model_xml, resized_px, config)


def _score(runner: Runner) -> Callable[[Image], float]:
    """A picture without a part is worse than any part."""

    def score(image: Image) -> float:
        found = runner.predict(image)
        return found.score if found.lost is None else 1e6

    return score


def _torch(peer: object, dataset: Dataset, frames: Sequence[Image], size_px: int, bank: int) -> Row:
    """Apart from the others: its threads go on turning for a while when its work is done."""

    def score(image: Image) -> float:
        return anomalib_peer.torch_score(peer, image)

    ms = times_of({"torch": score}, frames[:TORCH_FRAMES], 1)["torch"]
    return Row("antialiased resize", "torch", "f32", size_px, bank, *ms, aucs(score, dataset))


def _with_memory(rows: Sequence[Row], folder: Path) -> list[Row]:
    """The peak of a process that opens the model and scores a few frames."""
    return [row if (asked := _asked(row, folder)) is None else replace(row, peak_mb=peak_mb(*asked)) for row in rows]


def _asked(row: Row, folder: Path) -> tuple[object, ...] | None:
    """What `peak_mb` takes."""
    made = folder / f"{row.size_px}-{row.bank}"
    if row.kind == "ours":
        bundle = made.with_suffix(".bundles") / row.what.split()[0]
        return MEMORY, "ours", bundle, row.precision
    if row.kind == "peer":
        model = next((made.with_suffix(".anomalib") / row.what.replace(" ", "-")).rglob("model.xml"))
        return MEMORY, "peer", model, row.precision, row.size_px if row.what == "area resize" else 1024
    return None


if __name__ == "__main__":
    raise SystemExit(main())
