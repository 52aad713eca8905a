"""The resize of a 1024 px frame to 448 px as it runs, against OpenVINO's own: `python -m tests.bench.resize`.

Time to compile and to compute, in turns, so that what else the machine does hits both alike.
"""

import statistics
import time

import numpy as np
import openvino as ov
from openvino import opset13 as op

from models.manifest import Preprocess
from models.preprocess import with_preprocess
from models.resize import for_frames
from tests.bench.line import line

FRAME_PX, SIDE_PX, ROUNDS, LEAST = 1024, 448, 30, 4.0
CONFIG = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}


def main() -> int:
    frame = np.random.default_rng(0).integers(0, 256, (1, FRAME_PX, FRAME_PX, 3), np.uint8)
    theirs = _stored()
    theirs.reshape([1, FRAME_PX, FRAME_PX, 3])
    requests = {
        "OpenVINO's": _compiled("OpenVINO's", theirs),
        "ours": _compiled("ours", for_frames(_stored(), FRAME_PX, FRAME_PX)),
    }
    times: dict[str, list[float]] = {name: [] for name in requests}
    for _ in range(ROUNDS):
        for name, request in requests.items():
            started = time.perf_counter()
            request.infer([frame])
            times[name].append(time.perf_counter() - started)
    theirs_s, ours_s = (statistics.median(values) for values in times.values())
    print(f"{FRAME_PX} px to {SIDE_PX} px: OpenVINO's {theirs_s * 1e3:.1f} ms, ours {ours_s * 1e3:.1f} ms")
    return line("OpenVINO's / ours", theirs_s / ours_s, "at least", LEAST, "")


def _stored() -> ov.Model:
    seen = op.parameter([1, 3, SIDE_PX, SIDE_PX], np.float32)
    spec = Preprocess(height_px=SIDE_PX, width_px=SIDE_PX, mean_rgb=(124, 116, 104), std_rgb=(58, 57, 57))
    return with_preprocess(ov.Model([op.multiply(seen, np.float32(1))], [seen], "seen"), spec)


def _compiled(name: str, graph: ov.Model) -> ov.InferRequest:
    started = time.perf_counter()
    request = ov.Core().compile_model(graph, "CPU", CONFIG).create_infer_request()
    print(f"{name}: compiled in {time.perf_counter() - started:.2f} s")
    return request


if __name__ == "__main__":
    raise SystemExit(main())
