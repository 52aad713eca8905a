"""How patches of upright parts should count by their place: `python -m tests.bench.placed`.

Four disjoint twenties of the good real screws are learned from, at 448 px, with ImageNet's weights, the starter's and
none; the test parts are scored with every form below. Counted is how many pairs of a good and a scratched part are in
the wrong order: of one twenty alone a pair is 0.002 of AUC, so that one form looks better than another by luck.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.bundle import MODEL_XML
from models.images import read_image
from models.manifest import Weights
from models.prediction import Image
from models.runner import Runner
from tests.shared import find_shared
from trainer.anomaly.model import NO_WEIGHTS, SETTLED_BY, WITHOUT_PHOTOGRAPHS
from trainer.backbone import find_weights
from trainer.bank import held_out_maps, make_bank
from trainer.dataset import scan
from trainer.export import save_ir
from trainer.looks import choose_looks
from trainer.patchcore import Patchcore
from trainer.reading import Reading, decoder_for, evened, smoothed, usual
from trainer.search import freeze_bias, with_search
from trainer.size import BANK, spec_for

F32 = NDArray[np.float32]
SIZE_PX, GOOD, FLOOR = 448, 20, 0.1
DEFECTS = ("scratch_neck", "scratch_head")


@dataclass(frozen=True, slots=True)
class Maps:
    """Distances before anything counts by its place."""

    reading: Reading
    held_out: F32  # (n, h, w)
    tested: dict[str, F32]  # by kind


def _mean(reading: Reading, distances: F32) -> tuple[F32, F32]:
    on_part = _on_part(reading)
    return on_part / np.maximum(usual(distances, on_part)[0], 1e-6), np.zeros_like(on_part)


def _z_score(reading: Reading, distances: F32) -> tuple[F32, F32]:
    on_part = _on_part(reading)
    mean, deviation = usual(distances, on_part)
    weight = on_part / np.maximum(np.maximum(deviation, FLOOR * mean), 1e-6)
    return weight, -weight * mean


# What a distance is multiplied by, and what is added to it.
FORMS: dict[str, Callable[[Reading, F32], tuple[F32, F32]]] = {
    "all alike": lambda reading, _: (_on_part(reading), np.zeros_like(_on_part(reading))),
    "by their mean": _mean,
    "by mean and deviation, as it ships": lambda reading, maps: (
        np.asarray(evened(reading, maps).weight),
        np.zeros_like(_on_part(reading)),
    ),
    "by their z-score": _z_score,
}


def main() -> int:
    if (shared := find_shared()) is None:
        print("no shared data here (../shared or MEKIKI_SHARED): nothing measured")
        return 0
    for name, given in (("ImageNet", next((shared / "weights").glob("*.pth"))), ("starter", None), ("none", None)):
        weights, file = (NO_WEIGHTS, None) if name == "none" else find_weights("resnet18", given, allow_hub=False)
        wrong: Counter[tuple[str, str]] = Counter()
        for first in range(0, 4 * GOOD, GOOD):
            maps = _maps(shared / "data/mvtec_screw", first, weights, file)
            wrong.update({(form, kind): _wrong(maps, form, kind) for form in FORMS for kind in DEFECTS})
        for form in FORMS:
            print(f"{name:<9} {form:<36}" + ", ".join(f"{kind} {wrong[form, kind]}" for kind in DEFECTS), flush=True)
    return 0


def _maps(screws: Path, first: int, weights: Weights, file: Path | None) -> Maps:
    dataset = scan(screws)
    good = [read_image(path) for path in dataset.train_good[first : first + GOOD]]
    looks = choose_looks(good, "on", "auto", lambda _: None)
    net, seen = Patchcore("resnet18", file, weights), [looks.see(image) for image in good]
    spec = spec_for(SIZE_PX, seen[0])
    if weights.source in WITHOUT_PHOTOGRAPHS:
        net.settle([looks.see_around(image) for image in good[:SETTLED_BY]], spec)
    embedding = net.embedding_graph(spec)
    net.read_upright(np.asarray(looks.mask), embedding)
    bank = make_bank(embedding, seen, looks.plan, BANK, 0, weight=net.reading.weight)
    graph = with_search(embedding.clone(), bank.vectors, replace(net.reading, sigma=0))
    kinds = {"good": dataset.test_good, **{kind: dataset.defects[kind] for kind in DEFECTS}}
    tests = {kind: [looks.see(read_image(path)) for path in paths] for kind, paths in kinds.items()}
    held_out = held_out_maps(graph, seen, bank)
    with tempfile.TemporaryDirectory() as folder:
        save_ir(freeze_bias(graph, bank.vectors), Path(folder) / MODEL_XML)
        runner = Runner(Path(folder) / MODEL_XML, decoder_for(embedding, net.reading), "f32")
        return Maps(net.reading, held_out, {kind: _heat(runner, views) for kind, views in tests.items()})


def _heat(runner: Runner, views: Sequence[Image]) -> F32:
    return np.stack([np.asarray(runner.predict(view).heatmap) for view in views])


def _on_part(reading: Reading) -> F32:
    return np.asarray(np.asarray(reading.weight) > 0, np.float32)


def _wrong(maps: Maps, form: str, kind: str) -> int:
    """Pairs in which a good part scores as high as one with a defect."""
    weight, plus = FORMS[form](maps.reading, maps.held_out)
    top = max(1, round(maps.reading.share * weight.size))
    calm = replace(maps.reading, weight=None)

    def scores(distances: F32) -> NDArray[np.float64]:
        planes = (smoothed(torch.from_numpy(one * weight + plus), calm).numpy().ravel() for one in distances)
        return np.array([np.sort(plane)[-top:].mean() for plane in planes])

    good, bad = scores(maps.tested["good"]), scores(maps.tested[kind])
    return int((good[:, None] >= bad).sum())


if __name__ == "__main__":
    raise SystemExit(main())
