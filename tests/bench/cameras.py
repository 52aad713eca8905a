"""Four cameras on one box: `python -m tests.bench.cameras`.

Once all four flood: each must get its share. Then three are paced and one floods: no frame of the three may wait for
more than one frame of each other camera, which is what taking turns promises.
"""

import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.bench.line import line, make_line, percentile
from tests.edge.box import Box, Subscriber

NAMES = ("a", "b", "c", "d")
WARM, WINDOW_S, PACED_SHARE = 40, 15.0, 0.10


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        bundle, frames = make_line(Path(folder))
        flood = _run(Path(folder), bundle, frames, dict.fromkeys(NAMES))
        infer_s = statistics.median(verdict["stages"]["infer_s"] for verdict in flood)
        fps = PACED_SHARE / infer_s
        mixed = _run(Path(folder), bundle, frames, dict.fromkeys(NAMES[:3], fps) | {"d": None})
    return _shares(flood) | _paced(mixed, fps, infer_s)


def _run(folder: Path, bundle: Path, frames: Path, fps: dict[str, float | None]) -> list[dict]:
    box = Box(folder, bundle)
    tables = [
        f'[[camera]]\nname = "{name}"\nkind = "folder"\npath = "{frames}"\nloop = true\npreload = true\n'
        + (f"fps = {pace}\n" if pace else "")
        for name, pace in fps.items()
    ]
    box.write("\n".join(tables), bus="wait_for_subscriber_s = 30")
    with Subscriber(box.address) as subscriber, box.daemon():
        subscriber.take(WARM)
        until_s, found = time.perf_counter() + WINDOW_S, []
        while time.perf_counter() < until_s:
            found.append(subscriber.next())
    return found


def _shares(verdicts: list[dict]) -> int:
    counts = Counter(verdict["camera"] for verdict in verdicts)
    print("all flood:", ", ".join(f"{name} {counts[name]}" for name in NAMES))
    fair = len(verdicts) / len(NAMES)
    return line("smallest share of four floods / fair share", min(counts.values()) / fair, "at least", 0.95, "")


def _paced(verdicts: list[dict], fps: float, infer_s: float) -> int:
    missed = 0
    print(f"a, b, c at {fps:.2f} frames/s each, d floods; inference {infer_s * 1e3:.1f} ms")
    for name in NAMES[:3]:
        own = [verdict for verdict in verdicts if verdict["camera"] == name]
        waits = [verdict["stages"]["queue_s"] / infer_s for verdict in own]
        missed |= line(f"{name}: frames judged / frames offered", len(own) / (fps * WINDOW_S), "at least", 0.95, "")
        missed |= line(f"{name}: wait, p99, in inferences", percentile(waits, 0.99), "at most", 5.0, "")
    share = sum(verdict["camera"] == "d" for verdict in verdicts) * infer_s / WINDOW_S
    return missed | line("d: share of the device (what a, b, c leave is 0.70)", share, "at least", 0.60, "")


if __name__ == "__main__":
    raise SystemExit(main())
