"""What the daemon adds to inference, and where it goes: `python -m tests.bench.latency`.

One camera with 1280x1024 colour frames in its memory, paced so that the device is busy 60 % of the time. Added is the
time from capture until the verdict is read at a subscriber, less the time in the device, on this box's monotonic clock.
Three rounds, each paced anew by what an inference takes then; the round in the middle counts, because a machine that is
shared with others has moments when an inference takes twice as long and the next frame waits for it.
"""

import statistics
import tempfile
from pathlib import Path

from tests.bench.line import line, make_line, percentile
from tests.edge.box import Box, Subscriber

LOAD, P50_MS, P99_MS = 0.60, 1.5, 5.0
WARM, COUNT, ROUNDS = 30, 400, 3
REPORTED = {
    "read_s": "read: copy and health",
    "queue_s": "queue: hand-over to the device",
    "decode_s": "decode",
}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        bundle, frames = make_line(Path(folder))
        added = [_round(Path(folder), bundle, frames) for _ in range(ROUNDS)]
    middle = sorted(added, key=lambda values: percentile(values, 0.99))[ROUNDS // 2]
    missed = line("added latency, p50", percentile(middle, 0.50), "at most", P50_MS, "ms")
    return missed | line("added latency, p99", percentile(middle, 0.99), "at most", P99_MS, "ms")


def _round(folder: Path, bundle: Path, frames: Path) -> list[float]:
    fps = LOAD / inference_s(folder, bundle, frames)
    return _added_ms(_paced(folder, bundle, frames, fps), fps)


def inference_s(folder: Path, bundle: Path, frames: Path, count: int = 60) -> float:
    """Median time in the device when the daemon runs as fast as it can: the capacity that loads are shares of."""
    box = Box(folder, bundle)
    box.write_folder(str(frames), "loop = true\npreload = true", bus="wait_for_subscriber_s = 30")
    with Subscriber(box.address) as subscriber, box.daemon():
        return statistics.median(verdict["stages"]["infer_s"] for verdict in subscriber.take(WARM + count)[WARM:])


def _paced(folder: Path, bundle: Path, frames: Path, fps: float) -> list[tuple[int, dict]]:
    box = Box(folder, bundle)
    box.write_folder(str(frames), f"loop = true\npreload = true\nfps = {fps}", bus="wait_for_subscriber_s = 30")
    with Subscriber(box.address) as subscriber, box.daemon():
        subscriber.take(WARM)
        verdicts = (subscriber.next() for _ in range(COUNT))
        return [(subscriber.read_ns, verdict) for verdict in verdicts]


def _added_ms(arrived: list[tuple[int, dict]], fps: float) -> list[float]:
    """Of each frame; prints where it goes."""
    assert all(verdict["outcome"] != "unknown" for _, verdict in arrived)
    infer = [verdict["stages"]["infer_s"] * 1e3 for _, verdict in arrived]
    total = [(at_ns - verdict["captured_ns"]) / 1e6 for at_ns, verdict in arrived]
    added = [whole - device for whole, device in zip(total, infer, strict=True)]
    load = fps * statistics.median(infer) / 10
    print(f"{len(arrived)} frames of 1280x1024 at {fps:.1f} per second, {load:.0f} % load")
    print(f"{'ms':<34}{'p50':>9}{'p99':>9}")
    _row("inference", infer)
    for name, words in REPORTED.items():
        _row(f"  {words}", [verdict["stages"][name] * 1e3 for _, verdict in arrived])
    made = [verdict["stages"]["total_s"] * 1e3 for _, verdict in arrived]
    known = [sum(verdict["stages"][name] for name in REPORTED) * 1e3 for _, verdict in arrived]
    _row("  hand-over of the result", [m - k - i for m, k, i in zip(made, known, infer, strict=True)])
    _row("  journal, bus, subscriber", [t - m for t, m in zip(total, made, strict=True)])
    _row("added in all", added)
    return added


def _row(what: str, values: list[float]) -> None:
    print(f"{what:<34}{percentile(values, 0.5):>9.3f}{percentile(values, 0.99):>9.3f}")


if __name__ == "__main__":
    raise SystemExit(main())
