"""One fit at f32, bf16 and int8: how well each tells good from bad, and how fast: `python -m tests.bench.quantization`.

PatchCore on the first twenty good real screws, at 256 and 384 px with banks of 1,638 and 8,000, parts laid upright and,
with `--upright off`, whole frames; ImageNet's weights, or with `--starter` those of this package. `--seeds` fits as
often, each time with another choice of views and vectors: one such choice moves AUC by more than a precision does, so
it is the mean difference that counts, and how far its fits lie apart says how well that is known. Times are of the bare
inference of a frame or view, in turns of all frames, so that what else the machine does hits all alike. With
`--detector STEPS` RTMDet at 320 px instead, from the starter, on boxes of 20 screws and 60 good ones. Needs the shared
data.
"""

import argparse
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from models.bundle import Bundle, open_bundle
from models.images import read_image
from models.precision import cpu_has_bf16
from models.runner import Runner
from tests.bench.detection import split_of
from tests.bench.line import line
from tests.shared import find_shared
from trainer.cli import main as mekiki_train
from trainer.dataset import Dataset, scan
from trainer.evaluate import figures, score_images

APART, FASTER = 0.005, 2.0  # PatchCore's AUC; its time at a bank of 8,000
BOXES_APART, BOXES_FASTER = 0.01, 2.0
SIZES_PX, BANKS, ROUNDS = (256, 384), (1638, 8000), 3
_SPLIT = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upright", choices=["on", "off"], default="on")
    parser.add_argument("--starter", action="store_true")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES_PX, metavar="PX")
    parser.add_argument("--banks", type=int, nargs="+", default=BANKS, metavar="N")
    parser.add_argument("--good", type=int, default=20, metavar="N")
    parser.add_argument("--seeds", type=int, default=1, metavar="N")
    parser.add_argument("--detector", type=int, metavar="STEPS")
    wanted = parser.parse_args()
    if (shared := find_shared()) is None:
        print("no shared data here (../shared or MEKIKI_SHARED): nothing measured")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        if wanted.detector:
            return _detector(shared / "data/mvtec_screw", Path(folder), wanted.detector)
        return _patchcores(shared, Path(folder), wanted)


def _patchcores(shared: Path, folder: Path, wanted: argparse.Namespace) -> int:
    screws, missed = shared / "data/mvtec_screw", 0
    weights = [] if wanted.starter else ["--weights", str(next((shared / "weights").glob("*.pth")))]
    options = ["--limit", str(wanted.good), "--upright", wanted.upright, *weights]
    for size_px in wanted.sizes:
        for bank in wanted.banks:
            sized = ["--image-size", str(size_px), "--bank", str(bank), *options]
            name = f"{size_px} px, bank {bank}"
            apart, faster = [], []
            for seed in range(wanted.seeds):
                out = folder / f"{size_px}.{bank}.{seed}"
                aucs, ms = _measure(name, _fit(screws, out, "anomaly", *sized, "--seed", str(seed)), scan(screws))
                apart.append(aucs["f32"] - aucs["int8"])
                faster.append(ms["f32"] / ms["int8"])
            if len(apart) > 1:
                error = statistics.stdev(apart) / len(apart) ** 0.5
                print(
                    f"{name}: f32 less int8 by seed", *(f"{one:+.4f}" for one in apart), f"standard error {error:.4f}"
                )
            missed |= line(f"{name}: AUC, f32 less int8", statistics.mean(apart), "at most", APART, "")
            if bank >= max(BANKS):
                missed |= line(f"{name}: time, f32 / int8", statistics.median(faster), "at least", FASTER, "")
    return missed


def _detector(screws: Path, folder: Path, steps: int) -> int:
    learn, unseen = split_of(screws, folder, _SPLIT)
    sized = ["--one-class", "--image-size", "320", "--limit", "60", "--steps", str(steps)]
    bundle = _fit(learn, folder / "boxes", "detection", *sized)
    aucs, ms = _measure("RTMDet, 320 px", bundle, scan(unseen))
    missed = line("RTMDet: AUC, f32 less int8", aucs["f32"] - aucs["int8"], "at most", BOXES_APART, "")
    return missed | line("RTMDet: time, f32 / int8", ms["f32"] / ms["int8"], "at least", BOXES_FASTER, "")


def _fit(data: Path, out: Path, family: str, *more: str) -> Bundle:
    also = "int8,bf16" if cpu_has_bf16() else "int8"
    assert mekiki_train(["fit", "--family", family, "--data", str(data), "--out", str(out), "--also", also, *more]) == 0
    return open_bundle(out)


def _measure(name: str, bundle: Bundle, dataset: Dataset) -> tuple[dict[str, float], dict[str, float]]:
    """AUC and milliseconds at each precision that came of it."""
    runners = {precision: Runner.of(bundle.at(precision)) for precision in bundle.precisions}
    labelled = [("good", path) for path in dataset.test_good]
    labelled += [(kind, path) for kind, paths in dataset.defects.items() for path in paths]
    aucs = {}
    for precision, runner in runners.items():
        scored = score_images(runner, labelled, precision)
        good = [item.score for item in scored if item.label == "good"]
        aucs[precision] = figures(good, [item.score for item in scored if item.label != "good"], 0.0)["roc_auc"]
    ms = _ms(runners, dataset.test_good)
    for precision in runners:
        kept = bundle.at(precision).manifest.quantization
        words = "" if kept is None else f", {len(kept.kept)} layers kept"
        print(f"{name} at {precision}: AUC {aucs[precision]:.3f}, {ms[precision]:.1f} ms{words}", flush=True)
    return aucs, ms


def _ms(runners: Mapping[str, Runner], paths: Sequence[Path]) -> dict[str, float]:
    """One precision after another, as a line has but one: between two frames nothing else is in the caches."""
    times: dict[str, list[float]] = {precision: [] for precision in runners}
    images = [read_image(path) for path in paths]
    for _ in range(ROUNDS):
        for precision, runner in runners.items():
            runner.predict(images[0])
            times[precision] += [runner.predict(image).infer_s * 1e3 for image in images]
    return {precision: statistics.median(values) for precision, values in times.items()}


if __name__ == "__main__":
    raise SystemExit(main())
