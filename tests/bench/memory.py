"""Whether memory stays flat: over 100,000 frames of the whole daemon, and over 1,000 model swaps.

`python -m tests.bench.memory [--frames N] [--swaps N]`. A tiny model and tiny frames: what grows per frame or
per swap grows with them too. Memory is what is resident of the daemon and its camera process, at a tenth of the way and
at the end; over the swaps, where it rises and falls by whole models, the least of each half.
"""

import argparse
import tempfile
import threading
from pathlib import Path

from edge.swap import Swap
from models.store import Store
from tests import tiny
from tests.bench.line import line
from tests.edge.box import Box, Subscriber
from tests.edge.engines import Gate, Rig, gated, prepare
from tests.edge.engines import line as camera_line

GROWTH = 0.05  # of what it was at a tenth of the way


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--swaps", type=int, default=1000)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return _frames(Path(folder), wanted.frames) | _swaps(Path(folder), wanted.swaps)


def _frames(folder: Path, count: int) -> int:
    box = Box(folder, tiny.make_bundle(folder / "tiny.bundle"))
    frames = box.images("line", [tiny.OK, tiny.NG, tiny.OK, tiny.OK])
    box.write_folder(str(frames), "loop = true\npreload = true", bus="wait_for_subscriber_s = 30")
    with Subscriber(box.address) as subscriber, box.daemon() as process:
        subscriber.take(count // 10)
        early = _tree_mb(process.pid)
        verdicts = subscriber.take(count - count // 10)
        late = _tree_mb(process.pid)
    assert [verdict["seq"] for verdict in verdicts] == list(range(count // 10, count))
    print(f"daemon and camera: {early:.1f} MB after {count // 10} frames, {late:.1f} MB after {count}, no hole")
    return line("growth over the frames", late / early - 1, "at most", GROWTH, "")


def _swaps(folder: Path, count: int) -> int:
    store = Store(folder / "store")
    digests = [store.add(tiny.make_bundle(folder / str(t), threshold=t)).digest for t in (0.5, 0.6)]
    store.activate(digests[0])
    rig = Rig(gated(folder / "0.5", Gate()), [camera_line(queue=64)])
    swap = Swap(rig.engine, rig.metrics, threading.Event())
    swap.follow(store, ["top"], digests[0], prepare)
    judged, resident_mb = [], []
    with rig.running():
        for i in range(1, count + 1):
            store.activate(digests[i % 2])
            rig.send()
            swap.look_at_all()
            rig.send()
            judged += [verdict["bundle"] for verdict in rig.outlet.take(2)]
            resident_mb.append(_own_mb("self"))
        rig.finish()
    assert judged == [digests[i // 2 % 2] for i in range(1, 2 * count + 1)], "a frame was judged by the wrong version"
    early, late = min(resident_mb[: count // 2]), min(resident_mb[count // 2 :])
    print(
        f"engine: {early:.1f} MB at least in the first half, {late:.1f} MB in the second; no frame by the wrong version"
    )
    return line("growth over the swaps", late / early - 1, "at most", GROWTH, "")


def _own_mb(pid: int | str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1000


def _tree_mb(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [int(word) for task in tasks for word in (task / "children").read_text().split()]
    return _own_mb(pid) + sum(_own_mb(child) for child in children)


if __name__ == "__main__":
    raise SystemExit(main())
