"""What a candidate in shadow costs the active model: `python -m tests.bench.shadow`.

One camera with 1280x1024 colour frames, paced at 40 % of what the daemon can judge. The candidate is a model of the
same size that says otherwise of one frame in twelve, each of which is kept as evidence. Windows without and with it
take turns in one daemon, as a machine that is shared changes its pace. Measured is the time from capture until the
verdict is read at a subscriber; the medians of the windows count.
"""

import json
import shutil
import statistics
import tempfile
from pathlib import Path

from edge.shadow.records import records_in
from edge.shadow.report import reports
from edge.shadow.words import show
from models.bundle import MANIFEST, open_bundle
from models.images import read_image
from models.runner import Runner
from models.store import Store
from tests.bench.line import line, make_line, percentile
from tests.bench.throughput import daemon_fps
from tests.edge.box import Box, Subscriber, children, no_holes, wait_for

LOAD, WARM, COUNT, ROUNDS, RATIO = 0.4, 20, 200, 5, 1.1


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle, frames = make_line(folder)
        store = Store(folder / "store")
        store.activate(store.add(bundle).digest)
        candidate = store.add(_other(bundle, frames, folder / "candidate.bundle")).digest
        fps = LOAD * daemon_fps(folder, bundle, frames)
        without, beside, seen = _measured(folder, frames, store, candidate, fps)
        show(reports(records_in(folder / "state"))[0], print)
    print(f"{ROUNDS} times {COUNT} frames of 1280x1024 at {fps:.1f} per second, without and with a candidate")
    for share in (0.5, 0.99):
        alone, both = (statistics.median(percentile(one, share) for one in of) for of in (without, beside))
        print(f"capture to verdict, p{share * 100:.0f}: alone {alone:.2f} ms, beside a candidate {both:.2f} ms")
    ratios = [percentile(two, 0.99) / percentile(one, 0.99) for one, two in zip(without, beside, strict=True)]
    print("p99 beside a candidate / alone, by window:", ", ".join(f"{ratio:.2f}" for ratio in ratios))
    missed = line("p99 beside a candidate / alone, median", statistics.median(ratios), "at most", RATIO, "")
    return missed | line("share of the frames that the candidate judged too", seen, "at least", 0.2, "")


def _other(bundle: Path, frames: Path, to: Path) -> Path:
    """The same model with another threshold: below the highest score of the frames, above all others."""
    shutil.copytree(bundle, to)
    runner = Runner.of(open_bundle(bundle))
    second, highest = sorted(runner.predict(read_image(path)).score for path in frames.iterdir())[-2:]
    raw = json.loads((to / MANIFEST).read_bytes())
    raw["threshold"]["ng_at_or_above"] = limit = (second + highest) / 2
    for golden in raw["golden"]:
        golden["outcome"] = "ng" if golden["score"] >= limit else "ok"
    (to / MANIFEST).write_text(json.dumps(raw))
    return to


def _measured(
    folder: Path, frames: Path, store: Store, candidate: str, fps: float
) -> tuple[list[list[float]], list[list[float]], float]:
    """Milliseconds of each frame by window, without and with a candidate, and the share that it judged."""
    box = Box(folder, folder)
    extra = f"loop = true\npreload = true\nfps = {fps}"
    box.write_folder(str(frames), extra, head='store = "store"', bus="wait_for_subscriber_s = 30")
    without, beside, verdicts, judged = [], [], [], 0.0
    resident_mb = 0.0
    with Subscriber(box.address) as subscriber, box.daemon() as process:

        def window(count: int) -> list[float]:
            found = []
            for _ in range(count):
                verdicts.append(subscriber.next())
                found.append((subscriber.read_ns - verdicts[-1]["captured_ns"]) / 1e6)
            return found

        for _ in range(ROUNDS):
            window(WARM)
            without.append(window(COUNT))
            store.shadow(candidate)
            while not box.metric("mekiki_shadow_up"):
                window(WARM)
            window(WARM)
            before = box.metric("mekiki_shadow_verdicts_total")
            beside.append(window(COUNT))
            resident_mb = _resident_mb(process.pid)
            judged += box.metric("mekiki_shadow_verdicts_total") - before
            store.end_shadow()
            wait_for(lambda: not box.metric("mekiki_shadow_up"))
            verdicts += subscriber.there()
    assert no_holes(verdicts)
    print(f"memory of the candidate's process: {resident_mb:.0f} MB")
    return without, beside, judged / (ROUNDS * COUNT)


def _resident_mb(daemon: int) -> float:
    (pid,) = (pid for pid in children(daemon) if b"edge.shadow.child" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


if __name__ == "__main__":
    raise SystemExit(main())
