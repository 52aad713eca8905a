"""PatchCore at bf16 against f32, on the first twenty good real screws: `python -m tests.bench.precision`.

Both as `fit` makes them at 448 px, with ImageNet's weights and with the starter's: AUC on each kind of scratch, and
the time of a frame in turns, so that what else the machine does hits both alike. Needs the shared data and a CPU that
computes bf16.
"""

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from models.bundle import open_bundle
from models.images import read_image
from models.precision import cpu_has_bf16
from models.runner import Runner
from tests.bench.line import line
from tests.shared import find_shared
from trainer.cli import main as mekiki_train
from trainer.dataset import Dataset, scan
from trainer.evaluate import figures, score_images

DEFECTS = ("scratch_neck", "scratch_head")
APART, FASTER, ROUNDS = 0.005, 1.3, 3


def main() -> int:
    shared = find_shared()
    if shared is None or not cpu_has_bf16():
        print("no shared data here (../shared or MEKIKI_SHARED), or no CPU that computes bf16: nothing measured")
        return 0
    screws, imagenet = shared / "data/mvtec_screw", next((shared / "weights").glob("*.pth"))
    missed = 0
    for name, weights in (("ImageNet", ["--weights", str(imagenet)]), ("starter", [])):
        with tempfile.TemporaryDirectory() as folder:
            missed |= _compare(name, screws, Path(folder), weights)
    return missed


def _compare(name: str, screws: Path, folder: Path, weights: Sequence[str]) -> int:
    dataset, runners = scan(screws), {}
    for precision in ("f32", "bf16"):
        out = folder / precision
        fit = ["fit", "--family", "anomaly", "--data", str(screws), "--out", str(out), "--limit", "20", *weights]
        assert mekiki_train([*fit, "--image-size", "448", "--precision", precision]) == 0
        runners[precision] = Runner.of(open_bundle(out))
    aucs = {precision: _aucs(runner, dataset) for precision, runner in runners.items()}
    missed = 0
    for defect in DEFECTS:
        f32, bf16 = (aucs[precision][defect] for precision in ("f32", "bf16"))
        print(f"{name}, {defect}: AUC at f32 {f32:.3f}, at bf16 {bf16:.3f}")
        missed |= line(f"{name}, {defect}: AUC, f32 less bf16", f32 - bf16, "at most", APART, "")
    return missed | _latency(name, runners, dataset.test_good)


def _aucs(runner: Runner, dataset: Dataset) -> dict[str, float]:
    kinds = {"good": dataset.test_good, **{name: dataset.defects[name] for name in DEFECTS}}
    scored = score_images(runner, [(kind, path) for kind, paths in kinds.items() for path in paths], "evaluate")
    scores = {kind: [item.score for item in scored if item.label == kind] for kind in kinds}
    return {name: figures(scores["good"], scores[name], 0.0)["roc_auc"] for name in DEFECTS}


def _latency(name: str, runners: dict[str, Runner], paths: Sequence[Path]) -> int:
    times: dict[str, list[float]] = {precision: [] for precision in runners}
    images = [read_image(path) for path in paths]
    for image in images * ROUNDS:
        for precision, runner in runners.items():
            times[precision].append(runner.predict(image).infer_s)
    f32, bf16 = (statistics.median(times[precision]) for precision in ("f32", "bf16"))
    print(f"{name}: inference at f32 {f32 * 1e3:.1f} ms, at bf16 {bf16 * 1e3:.1f} ms")
    return line(f"{name}: time, f32 / bf16", f32 / bf16, "at least", FASTER, "")


if __name__ == "__main__":
    raise SystemExit(main())
