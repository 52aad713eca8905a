"""Frames per second of the whole daemon against a bare asynchronous loop: `python -m tests.bench.throughput`.

The bare loop is OpenVINO's own AsyncInferQueue on the same IR, device, precision, hint and frames, and does
nothing with its results. The daemon reads the frames from a camera in its own process that has them in memory,
and counts are taken at a subscriber. Both take turns, so that a machine that changes its pace changes it for both.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from models.bundle import open_bundle
from models.images import read_image
from models.resize import for_frames
from tests.bench.line import line, make_line
from tests.edge.box import Box, Subscriber

LIMIT = 0.95
ROUNDS, WINDOW_S = 3, 8.0


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        bundle, frames = make_line(Path(folder))
        pairs = [(_bare(bundle, frames), daemon_fps(Path(folder), bundle, frames)) for _ in range(ROUNDS)]
    for bare, daemon in pairs:
        print(f"bare loop {bare:7.2f} frames/s   daemon {daemon:7.2f}   ratio {daemon / bare:.3f}")
    ratio = statistics.median(daemon / bare for bare, daemon in pairs)
    return line("daemon / bare asynchronous loop, median", ratio, "at least", LIMIT, "")


def bare_fps(bundle_path: Path, frames: Path) -> float:
    """AsyncInferQueue, as many requests as the device wants."""
    import openvino as ov

    bundle, images = open_bundle(bundle_path), [read_image(path)[None] for path in sorted(frames.iterdir())]
    core = ov.Core()
    model = for_frames(core.read_model(bundle.model_xml), *images[0].shape[1:3])
    config = {"INFERENCE_PRECISION_HINT": bundle.manifest.precision, "PERFORMANCE_HINT": "LATENCY"}
    jobs = ov.AsyncInferQueue(core.compile_model(model, "CPU", config))
    for image in images:
        jobs.start_async({0: ov.Tensor(np.ascontiguousarray(image), shared_memory=True)})
    jobs.wait_all()
    started_s, count = time.perf_counter(), 0
    while time.perf_counter() - started_s < WINDOW_S:
        jobs.start_async({0: ov.Tensor(images[count % len(images)], shared_memory=True)})
        count += 1
    jobs.wait_all()
    return count / (time.perf_counter() - started_s)


def _bare(bundle: Path, frames: Path) -> float:
    """In a process of its own, as the daemon is."""
    code = "import sys, pathlib, tests.bench.throughput as t; print(t.bare_fps(*map(pathlib.Path, sys.argv[1:])))"
    command = [sys.executable, "-c", code, str(bundle), str(frames)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def daemon_fps(folder: Path, bundle: Path, frames: Path) -> float:
    """Verdicts per second at a subscriber, once the line runs."""
    box = Box(folder, bundle)
    box.write_folder(str(frames), "loop = true\npreload = true", bus="wait_for_subscriber_s = 30")
    with Subscriber(box.address) as subscriber, box.daemon():
        subscriber.take(20)
        started_s, count = time.perf_counter(), 0
        while time.perf_counter() - started_s < WINDOW_S:
            assert subscriber.next()["outcome"] != "unknown"
            count += 1
        return count / (time.perf_counter() - started_s)


if __name__ == "__main__":
    raise SystemExit(main())
