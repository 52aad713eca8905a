"""RTMDet's IR against torch in time: `python -m tests.bench.boxes_latency`.

A raw 1024 px frame in, boxes out, at 320 and 640 px; in turns, so that what else the machine does hits all alike. The
weights are untrained: they find boxes everywhere, which is the most work that suppression can have.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from models.manifest import BoxesDecoder
from models.runner import Runner
from tests.bench.line import line
from trainer.detection.config import SCORE_FLOOR, letterbox_spec
from trainer.detection.graph import export, new_network, torch_network
from trainer.detection.reference import torch_boxes
from trainer.export import save_ir

MODEL, CLASSES = "rtmdet-tiny", ("dent",)
SIDES, RUNS, FRAME_PX = (320, 640), 30, 1024


def main() -> int:
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pth"
        torch.save(new_network(MODEL, len(CLASSES)).state_dict(), weights)
        missed = [_times(weights, side, Path(folder) / str(side)) for side in SIDES]
    return max(missed)


def _times(weights: Path, side_px: int, work: Path) -> int:
    """Medians of RUNS."""
    spec = letterbox_spec(side_px)
    work.mkdir()
    save_ir(export(MODEL, weights, CLASSES, spec, work), work / "model.xml")
    decoder = BoxesDecoder(kind="boxes", labels=CLASSES, score_floor=SCORE_FLOOR)
    network = torch_network(MODEL, weights, CLASSES)
    frame = np.random.default_rng(0).integers(0, 256, (FRAME_PX, FRAME_PX, 3), np.uint8)
    runners = {p: Runner(work / "model.xml", decoder, p) for p in ("f32", "bf16")}
    times: dict[str, list[float]] = {"torch": [], "f32": [], "bf16": []}
    for _ in range(RUNS):
        for name, runner in runners.items():
            times[name].append(runner.predict(frame).infer_s)
        started = time.perf_counter()
        torch_boxes(network, frame, spec, CLASSES)
        times["torch"].append(time.perf_counter() - started)
    ms = {name: statistics.median(values) * 1e3 for name, values in times.items()}
    print(f"{side_px} px: torch {ms['torch']:.1f} ms, IR f32 {ms['f32']:.1f} ms, bf16 {ms['bf16']:.1f} ms")
    return line(f"{side_px} px, f32 / torch", ms["f32"] / ms["torch"], "at most", 1.0, "")


if __name__ == "__main__":
    raise SystemExit(main())
