"""RTMDet from no weights on real screws: `python -m tests.bench.detection [--splits SEED ...] [--steps N]`.

Of 25 scratch_neck images 20 are learned from, with boxes from their masks, and all good training images; the other 5
and 21 good ones are new to it. Mean of seeded splits.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from models.bundle import open_bundle
from tests.bench.line import line
from tests.shared import find_shared
from trainer.cli import main as mekiki_train
from trainer.dataset import scan
from trainer.evaluate import evaluate

LEARNED, AUC, BOX_PX, SCORE, FIT_S = 20, 0.95, 0.01, 1e-5, 1200
DEFECT = "scratch_neck"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, nargs="+", default=range(5), metavar="SEED")
    parser.add_argument("--steps", type=int)
    wanted = parser.parse_args()
    if (shared := find_shared()) is None:
        print("no shared data here (../shared or MEKIKI_SHARED): nothing measured")
        return 0
    screws = shared / "data/mvtec_screw"
    with tempfile.TemporaryDirectory() as folder:
        found = [_split(screws, Path(folder), seed, wanted.steps) for seed in wanted.splits]
    return _figures(found)


def _split(screws: Path, folder: Path, seed: int, steps: int | None) -> dict[str, float]:
    """Fits on one split; what the bundle says of the images that it has not seen."""
    learn, unseen = split_of(screws, folder, seed)
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


def split_of(screws: Path, folder: Path, seed: int) -> tuple[Path, Path]:
    """Two folders of images: to learn from, and unseen."""
    learn, unseen = folder / f"{seed}.learn", folder / f"{seed}.unseen"
    images = sorted((screws / "test" / DEFECT).iterdir())
    order = np.random.default_rng(seed).permutation(len(images))
    for place, chosen in ((learn, order[:LEARNED]), (unseen, order[LEARNED:])):
        for i in chosen:
            _copy(images[i], place / "test" / DEFECT)
            _copy(screws / "ground_truth" / DEFECT / f"{images[i].stem}_mask.png", place / "ground_truth" / DEFECT)
    shutil.copytree(screws / "train/good", learn / "train/good")
    shutil.copytree(screws / "test/good", unseen / "test/good")
    return learn, unseen


def _figures(found: list[dict[str, float]]) -> int:
    mean = {name: statistics.fmean(one[name] for one in found) for name in found[0]}
    missed = line("ROC AUC, mean", mean["auc"], "at least", AUC, "")
    print(f"{'precision at recall 1, mean':<58}{mean['precision']:>9.3f}")
    missed |= line("IR against torch, boxes, worst", max(one["box_px"] for one in found), "at most", BOX_PX, "px")
    print(f"{'IR against torch, scores, worst':<58}{max(one['score'] for one in found):>9.1e}      at most {SCORE}")
    return missed | line("a fit, mean", mean["fit_s"], "at most", FIT_S, "s")


def _copy(file: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, folder)


if __name__ == "__main__":
    raise SystemExit(main())
