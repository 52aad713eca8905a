"""What a bundle costs on this device: time of a part, parts at a time, memory. Alone on the machine, or it lies."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from models.bundle import Bundle, open_bundle
from models.errors import ModelError
from models.images import read_image
from models.prediction import Image
from models.runner import Runner

_LEAST, _MOST, _ENOUGH_S = 20, 200, 15.0  # frames to time, and when so many are enough
_BUSY_S = 2.0  # of all requests at a time
_PICTURES = 8
_MEMORY_S = 600


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one bundle."""

    latency_s: dict[str, float]  # p50, p95, p99 of one frame after another: inference and decoding
    throughput_per_s: float  # with as many requests as the device wants
    memory_bytes: int  # growth of a fresh process


def measure_cost(path: Path, pictures: Sequence[Path], device: str = "CPU") -> Cost:
    """Times the bundle on pictures as a camera gives them. Raises ModelError, DatasetError."""
    bundle = open_bundle(path)
    images = [read_image(picture) for picture in pictures[:_PICTURES]]
    height, width = images[0].shape[:2]
    return Cost(_latency(bundle, images, device), _throughput(bundle, images, device), _memory(path, height, width))


def _latency(bundle: Bundle, images: Sequence[Image], device: str) -> dict[str, float]:
    runner = Runner.of(bundle, device)
    for image in images:
        runner.predict(image)
    times: list[float] = []
    started = time.monotonic()
    for image in islice(cycle(images), _MOST):
        prediction = runner.predict(image)
        times.append(prediction.find_s + prediction.infer_s + prediction.decode_s)
        if len(times) >= _LEAST and time.monotonic() - started > _ENOUGH_S:
            break
    return {f"p{q}": round(float(np.percentile(times, q)), 6) for q in (50, 95, 99)}


def _throughput(bundle: Bundle, images: Sequence[Image], device: str) -> float:
    runner = Runner.of(bundle, device, "throughput")
    image = images[0]
    count = runner.wanted_requests(image.shape[0], image.shape[1])
    twins = [runner.twin() for _ in range(count)]

    def work(twin: Runner) -> int:
        twin.predict(image)
        end, done = time.monotonic() + _BUSY_S, 0
        while time.monotonic() < end or not done:
            twin.predict(image)
            done += 1
        return done

    with ThreadPoolExecutor(count) as pool:
        started = time.monotonic()
        done = sum(pool.map(work, twins))
        return round((done + count) / (time.monotonic() - started), 3)


def _memory(path: Path, height_px: int, width_px: int) -> int:
    command = [sys.executable, "-m", "trainer.study.footprint", str(path.resolve()), str(height_px), str(width_px)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_MEMORY_S, check=False)
    if done.returncode:
        raise ModelError(f"{path}: its memory could not be measured ({done.stderr.strip()[-200:]}); free memory")
    return int(done.stdout)


def machine_words() -> str:
    """Processor, cores, memory."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB"
