"""RTMDet from no weights on real screws: `python -m tests.bench.detection [--splits N] [--steps N]`.

Of 25 scratch_neck images 20 are learned from, with boxes from their masks, and all good training images; the other 5
and 21 good ones are new to it. Mean of N seeded splits. Then the IR against torch in time, at 320 and 640 px.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from models.bundle import open_bundle
from models.images import read_image
from models.manifest import BoxesDecoder, Preprocess
from models.runner import Runner
from tests.bench.line import line
from tests.shared import find_shared
from trainer.cli import main as mekiki_train
from trainer.dataset import scan
from trainer.evaluate import evaluate

LEARNED, AUC, BOX_PX, SCORE, FIT_S = 20, 0.95, 0.01, 1e-5, 1200
SIDES, RUNS = (320, 640), 30
DEFECT = "scratch_neck"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--steps", type=int)
    wanted = parser.parse_args()
    if (shared := find_shared()) is None:
        print("no shared data here (../shared or MEKIKI_SHARED): nothing measured")
        return 0
    screws = shared / "data/mvtec_screw"
    with tempfile.TemporaryDirectory() as folder:
        found = [_split(screws, Path(folder), seed, wanted.steps) for seed in range(wanted.splits)]
        weights = Path(folder) / "0.bundle.report/weights.pth"
        missed = _figures(found)
        _times(weights, min((screws / "test/good").iterdir()), Path(folder))
    return missed


def _split(screws: Path, folder: Path, seed: int, steps: int | None) -> dict[str, float]:
    """Fits on one split; what the bundle says of the images that it has not seen."""
    learn, unseen = folder / f"{seed}.learn", folder / f"{seed}.unseen"
    images = sorted((screws / "test" / DEFECT).iterdir())
    order = np.random.default_rng(seed).permutation(len(images))
    for place, chosen in ((learn, order[:LEARNED]), (unseen, order[LEARNED:])):
        for i in chosen:
            _copy(images[i], place / "test" / DEFECT)
            _copy(screws / "ground_truth" / DEFECT / f"{images[i].stem}_mask.png", place / "ground_truth" / DEFECT)
    shutil.copytree(screws / "train/good", learn / "train/good")
    shutil.copytree(screws / "test/good", unseen / "test/good")
    out, started = folder / f"{seed}.bundle", time.perf_counter()
    extra = [] if steps is None else ["--steps", str(steps)]
    arguments = ["fit", "--family", "detection", "--data", str(learn), "--out", str(out), "--seed", str(seed), *extra]
    assert mekiki_train(arguments) == 0
    took_s, bundle = time.perf_counter() - started, open_bundle(out)
    result, parity = evaluate(bundle, scan(unseen)), bundle.manifest.parity
    print(
        f"split {seed}: AUC {result['roc_auc']:.3f}, precision at recall 1 {result['precision_at_recall_1']:.3f}, "
        f"{took_s:.0f} s, {parity.n_boxes} boxes within {parity.max_box_px:.1e} px, {parity.max_score:.1e}",
        flush=True,
    )
    return {
        "auc": result["roc_auc"],
        "precision": result["precision_at_recall_1"],
        "fit_s": took_s,
        "box_px": parity.max_box_px,
        "score": parity.max_score,
    }


def _figures(found: list[dict[str, float]]) -> int:
    mean = {name: statistics.fmean(one[name] for one in found) for name in found[0]}
    missed = line("ROC AUC, mean", mean["auc"], "at least", AUC, "")
    print(f"{'precision at recall 1, mean':<58}{mean['precision']:>9.3f}")
    missed |= line("IR against torch, boxes, worst", max(one["box_px"] for one in found), "at most", BOX_PX, "px")
    print(f"{'IR against torch, scores, worst':<58}{max(one['score'] for one in found):>9.1e}      at most {SCORE}")
    return missed | line("a fit, mean", mean["fit_s"], "at most", FIT_S, "s")


def _times(weights: Path, picture: Path, folder: Path) -> None:
    """Inference of one native-size frame, median, one after the other in turns."""
    from trainer.detection.graph import export, torch_network
    from trainer.detection.reference import torch_boxes
    from trainer.export import save_ir

    frame, classes = read_image(picture), (DEFECT,)
    network = torch_network("rtmdet-tiny", weights, classes)
    for side in SIDES:
        spec = Preprocess(
            height_px=side,
            width_px=side,
            mean_rgb=(123.675, 116.28, 103.53),
            std_rgb=(58.395, 57.12, 57.375),
            fit="letterbox",
            channels="bgr",
        )
        work = folder / f"export{side}"
        work.mkdir()
        save_ir(export("rtmdet-tiny", weights, classes, spec, work), work / "model.xml")
        decoder = BoxesDecoder(kind="boxes", labels=classes, score_floor=0.001)
        runners = {p: Runner(work / "model.xml", decoder, p) for p in ("f32", "bf16")}
        times: dict[str, list[float]] = {"torch": [], "f32": [], "bf16": []}
        for _ in range(RUNS):
            for name, runner in runners.items():
                times[name].append(runner.predict(frame).infer_s)
            started = time.perf_counter()
            torch_boxes(network, frame, spec, classes)
            times["torch"].append(time.perf_counter() - started)
        ms = {name: statistics.median(values) * 1e3 for name, values in times.items()}
        print(f"{side} px: torch {ms['torch']:.1f} ms, IR f32 {ms['f32']:.1f} ms, bf16 {ms['bf16']:.1f} ms")


def _copy(file: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, folder)


if __name__ == "__main__":
    raise SystemExit(main())
