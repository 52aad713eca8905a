"""RTMDet-tiny on a box, ours against mmdet in torch: `python -m tests.bench.peer_boxes SIDE`.

From a raw 1024 px frame to boxes, in turns: our IR at each precision, the same in OpenVINO's own loop (the limit), and
mmdet's own prediction in torch. With the starter weights as they are, fitted to nothing here: AUC says whether all see
the same, not what a fit is worth. Says where the time goes, by OpenVINO's own counters. Writes
out/bench/peer/boxes-SIDE.json. Needs the shared data.
"""

import argparse
import json
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import openvino as ov

from models.device import core
from models.images import read_image
from models.manifest import BoxesDecoder, Precision
from models.precision import cpu_has_bf16
from models.prediction import Image
from models.resize import for_frames
from models.runner import Runner
from tests.bench.race import Row, aucs, bare, folder_of, times_of, written
from tests.shared import find_shared
from trainer.backbone import STARTER
from trainer.dataset import Dataset, scan
from trainer.detection.config import SCORE_FLOOR, letterbox_spec
from trainer.detection.graph import export, torch_network
from trainer.detection.reference import torch_boxes
from trainer.export import save_ir
from trainer.quantize import Calibration, calibration_of, last_layers, quantize

MODEL, CLASSES, ROUNDS, TORCH_FRAMES, COUNTED = "rtmdet-tiny", ("defect",), 3, 8, 30
LEAST_MS = 0.02


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side_px", type=int)
    side_px = parser.parse_args().side_px
    if (shared := find_shared()) is None:
        print("no shared data here (../shared or MEKIKI_SHARED): nothing measured")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(scan(shared / "data/mvtec_screw"), side_px, Path(folder))
    out = folder_of("peer") / f"boxes-{side_px}.json"
    out.write_text(json.dumps([row.as_json() for row in rows], indent=1) + "\n", encoding="utf-8")
    print(written(rows), flush=True)
    return 0


def measured(dataset: Dataset, side_px: int, work: Path) -> list[Row]:
    """Every way at one size."""
    frames = [read_image(path) for path in dataset.test_good]
    spec = letterbox_spec(side_px)
    weights = STARTER / f"{MODEL}.pth"
    ours = _ours(export(MODEL, weights, CLASSES, spec, work), calibration_of(dataset.train_good, spec), work)
    ways: dict[tuple[str, str], Callable[[Image], object]] = {
        **{("ours", name): runner.predict for name, runner in ours.items()},
        **{("limit", name): bare(runner, frames[0]) for name, runner in ours.items()},
    }
    for name, runner in ours.items():
        print(f"{name}:", ", ".join(f"{kind} {ms:.2f}" for kind, ms in counted(runner, frames[0]).items()), flush=True)
    ms = times_of({str(name): run for name, run in ways.items()}, frames, ROUNDS)
    auc = {
        name: aucs(lambda image, runner=runner: runner.predict(image).score, dataset) for name, runner in ours.items()
    }
    rows = [
        Row("RTMDet", kind, name, side_px, None, *ms[str((kind, name))], auc[name] if kind == "ours" else {})
        for kind, name in ways
    ]
    network = torch_network(MODEL, weights, CLASSES)

    def score(image: Image) -> float:
        return float(torch_boxes(network, image, spec, CLASSES).scores.max(initial=0))

    torch_ms = times_of({"torch": score}, frames[:TORCH_FRAMES], 1)["torch"]
    return [*rows, Row("RTMDet", "torch", "f32", side_px, None, *torch_ms, aucs(score, dataset))]


def counted(runner: Runner, frame: Image) -> dict[str, float]:
    """Milliseconds of each kind of node and what computes it, those of most time first, without what hardly counts."""
    graph = for_frames(core().read_model(runner.model_xml), *frame.shape[:2])
    config = {**runner._compiled.profile.asked, "PERF_COUNT": True}
    request = core().compile_model(graph, runner.device, config).create_infer_request()
    request.set_input_tensor(ov.Tensor(frame[None].copy()))
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(COUNTED):
        request.infer()
        for node in request.get_profiling_info():
            kind = f"{node.node_type} {node.exec_type}"
            times[node.node_name, kind].append(node.real_time.total_seconds() * 1e3)
    kinds: dict[str, float] = defaultdict(float)
    for (_, kind), values in times.items():
        kinds[kind] += statistics.median(values)
    return dict(sorted(((k, v) for k, v in kinds.items() if v >= LEAST_MS), key=lambda item: -item[1]))


def _ours(graph: ov.Model, calibration: Calibration, work: Path) -> dict[Precision, Runner]:
    """At each precision that this machine computes, int8 as a fit begins with it: all but the last layers quantised."""
    decoder = BoxesDecoder(kind="boxes", labels=CLASSES, score_floor=SCORE_FLOOR)
    graphs: dict[Precision, ov.Model] = {"f32": graph, "int8": quantize(graph, calibration.images, last_layers(graph))}
    if cpu_has_bf16():
        graphs["bf16"] = graph
    for name, one in graphs.items():
        save_ir(one, work / f"{name}.xml")
    return {name: Runner(work / f"{name}.xml", decoder, name) for name in graphs}


if __name__ == "__main__":
    raise SystemExit(main())
