"""The choice of PatchCore's bank among the patches of real screws: `python -m tests.bench.coreset`.

Twenty good screws at 448 px, each turned 12 ways: time and memory. Among a part of these patches, as the others take
hours for all: against greedy in full width one vector at a time, and against anomalib's own coreset; time, covering
radius (the distance from the worst patch to the bank) and AUROC on both kinds of scratches. Needs the shared data.
"""

import resource
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.images import read_image
from models.patchcore import score_of
from models.prediction import Image
from tests.bench.line import line
from tests.shared import find_shared
from trainer.backbone import find_weights
from trainer.bank import gather
from trainer.coreset import choose_bank
from trainer.dataset import scan
from trainer.embed import Pipeline
from trainer.evaluate import figures
from trainer.patchcore import Patchcore
from trainer.pose import measure_pose, plan_augmentation
from trainer.reading import decoder_for
from trainer.search import freeze_bias, with_search
from trainer.size import spec_for

F32 = NDArray[np.float32]
SIDE_PX, GOOD, BANK = 448, 20, 10_000
SOME, FEW, SEEDS = 60_000, 2_000, range(3)
ALL_S, ALL_GB, APART, FASTER = 120.0, 4.0, 0.005, 10.0


def main() -> int:
    shared = find_shared()
    if shared is None:
        print("no shared data here (../shared or MEKIKI_SHARED): nothing measured")
        return 0
    dataset = scan(shared / "data/mvtec_screw", GOOD)
    good = [read_image(path) for path in dataset.train_good]
    bad = [path for name in ("scratch_neck", "scratch_head") for path in dataset.defects[name]]
    net = Patchcore("resnet18", *reversed(find_weights("resnet18", next((shared / "weights").glob("*.pth")), False)))
    embedding = net.embedding_graph(spec_for(SIDE_PX, good[0]))
    patches, _ = gather(embedding, good, plan_augmentation(measure_pose(good), GOOD, "auto"), 0)
    missed = _all(patches)
    some = patches[np.random.default_rng(0).choice(len(patches), SOME, replace=False)]
    return missed | _some(some, lambda bank: _auc(embedding, bank, dataset.test_good, bad))


def _all(patches: F32) -> int:
    started = time.perf_counter()
    choose_bank(patches, BANK, 0)
    took_s, peak_gb = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    missed = line(f"{BANK} of {len(patches)} patches: choice", took_s, "at most", ALL_S, "s")
    return missed | line("the same, memory of the process that embedded them too", peak_gb, "at most", ALL_GB, "GB")


def _some(patches: F32, auc_of: Callable[[F32], float]) -> int:
    exact, exact_s = _timed(lambda: _one_at_a_time(patches))
    theirs, theirs_s = _timed(lambda: _by_anomalib(patches))
    ours = [_timed(lambda seed=seed: choose_bank(patches, FEW, seed)) for seed in SEEDS]
    found = {"one at a time": [exact], "anomalib's": [theirs], "ours": [chosen for chosen, _ in ours]}
    times = {"one at a time": exact_s, "anomalib's": theirs_s, "ours": float(np.median([s for _, s in ours]))}
    print(f"{FEW} of {SOME} patches (ours: mean of {len(SEEDS)} seeds)")
    aucs = {}
    for name, banks in found.items():
        aucs[name] = float(np.mean([auc_of(patches[chosen]) for chosen in banks]))
        radius = np.mean([_radius(patches, patches[chosen]) for chosen in banks])
        print(f"  {name:<14}{times[name]:>7.2f} s, covering radius {radius:.2f}, AUC {aucs[name]:.4f}", flush=True)
    missed = line("AUC, one at a time less ours", aucs["one at a time"] - aucs["ours"], "at most", APART, "")
    return missed | line("time, anomalib's / ours", times["anomalib's"] / times["ours"], "at least", FASTER, "")


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    found = call()
    return found, time.perf_counter() - started


def _one_at_a_time(patches: F32) -> list[int]:
    norms, away, chosen = (patches**2).sum(axis=1), np.full(len(patches), np.inf, np.float32), [0]
    while len(chosen) < FEW:
        last = chosen[-1]
        np.minimum(away, norms + norms[last] - 2 * (patches @ patches[last]), out=away)
        away[last] = -1
        chosen.append(int(away.argmax()))
    return chosen


def _by_anomalib(patches: F32) -> list[int]:
    import torch
    from anomalib.models.components import KCenterGreedy

    torch.manual_seed(0)
    with redirect_stderr(StringIO()):  # its bar
        return [int(index) for index in KCenterGreedy(torch.from_numpy(patches), FEW / SOME).select_coreset_idxs()]


def _radius(patches: F32, bank: F32) -> float:
    norms = (bank**2).sum(axis=1)
    squared = [(norms - 2 * (block @ bank.T)).min(axis=1) + (block**2).sum(axis=1) for block in _blocks(patches)]
    return float(np.sqrt(np.concatenate(squared).max()))


def _blocks(patches: F32) -> list[F32]:
    return [patches[start : start + 4096] for start in range(0, len(patches), 4096)]


def _auc(embedding: Any, bank: F32, good: Sequence[Path], bad: Sequence[Path]) -> float:
    decoder, scores = decoder_for(embedding), {}

    def note(key: int, distances: F32) -> None:
        scores[key] = score_of(distances[0], decoder)

    pictures: list[Image] = [read_image(path) for path in [*good, *bad]]
    Pipeline(freeze_bias(with_search(embedding.clone(), bank), bank), note).run(enumerate(pictures))
    every = [scores[key] for key in range(len(pictures))]
    return float(figures(every[: len(good)], every[len(good) :], 0.0)["roc_auc"])


if __name__ == "__main__":
    raise SystemExit(main())
