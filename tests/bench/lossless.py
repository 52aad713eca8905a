"""Counts what is lost between a folder camera and a subscriber: `python -m tests.bench.lossless`.

Starts the real daemon on a real (tiny) model, so the figures are those of everything but the model.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from tests import tiny
from tests.edge.box import Box, Subscriber, no_holes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2000)
    frames = parser.parse_args().frames
    with tempfile.TemporaryDirectory() as folder:
        box = Box(Path(folder), tiny.make_bundle(Path(folder) / "tiny.bundle"))
        kinds = [box.images("kinds", [tiny.OK, tiny.NG]) / f"{i:04}.png" for i in range(2)]
        (box.folder / "line").mkdir()
        for i in range(frames):
            (box.folder / "line" / f"{i:08}.png").symlink_to(kinds[i % 2])
        box.write_folder("line", bus="wait_for_subscriber_s = 20")
        return _figures(box, frames)


def _figures(box: Box, frames: int) -> int:
    with Subscriber(box.address) as subscriber, box.daemon() as process:
        verdicts = [subscriber.next()]
        started_s = time.perf_counter()
        verdicts += subscriber.take(frames - 1)
        took_s = time.perf_counter() - started_s
        extra, code = subscriber.rest(), process.wait(10)
    total_ms = [verdict["stages"]["total_s"] * 1e3 for verdict in verdicts]
    right = sum(verdict["outcome"] == ("ok", "ng")[verdict["seq"] % 2] for verdict in verdicts)
    whole = no_holes(verdicts) and not extra
    print(f"frames offered        {frames}")
    print(f"verdicts received     {len(verdicts) + len(extra)}")
    print(f"holes or repeats      {'none' if whole else 'YES'}")
    print(f"outcome as drawn      {right}")
    print(f"verdicts per second   {(frames - 1) / took_s:.0f}")
    print(f"capture to verdict    p50 {statistics.median(total_ms):.2f} ms, max {max(total_ms):.2f} ms")
    print(f"daemon's exit code    {code}")
    return 0 if whole and right == frames and code == 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
