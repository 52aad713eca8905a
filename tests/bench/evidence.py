"""What it takes to pack a frame as evidence, beside OpenCV's default: `python -m tests.bench.evidence`.

Two frames of 1280x1024: a rendered screw, and the same with the noise of a camera. Least of several, in time of the
processor: it is that which the next part may lack.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edge.evidence import png
from models.images import read_image
from models.prediction import Image
from tests.bench.line import HEIGHT_PX, WIDTH_PX, line, train

TIMES, NOISE, RATIO = 10, 3.0, 0.75


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        train("render", "--out", folder, "--good", "1")
        (path,) = (Path(folder) / "train/good").iterdir()
        clean = cv2.resize(read_image(path), (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(0).normal(0, NOISE, clean.shape)
    missed = 0
    for name, image in (("rendered", clean), ("with noise", np.clip(clean + noise, 0, 255).astype(np.uint8))):
        default_ms, default_kb = _measured(_default, image)
        ours_ms, ours_kb = _measured(png, image)
        print(f"{name}: default {default_ms:.1f} ms, {default_kb:.0f} kB; ours {ours_ms:.1f} ms, {ours_kb:.0f} kB")
        missed |= line(f"ours / default, time, {name}", ours_ms / default_ms, "at most", RATIO, "")
    return missed


def _default(image: Image) -> bytes:
    return cv2.imencode(".png", image, (cv2.IMWRITE_PNG_COMPRESSION, 1))[1].tobytes()


def _measured(pack: Callable[[Image], bytes], image: Image) -> tuple[float, float]:
    """Milliseconds of the processor, and kilobytes."""
    taken, packed = [], b""
    for _ in range(TIMES):
        started_s = time.thread_time()
        packed = pack(image)
        taken.append(time.thread_time() - started_s)
    return min(taken) * 1e3, len(packed) / 1e3


if __name__ == "__main__":
    raise SystemExit(main())
