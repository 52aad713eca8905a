"""What it takes to find a part in a frame and lay it upright: `python -m tests.bench.finding [--threads N]`.

The first twenty good real screws say how a screw looks; medians and least times of the good test images, 1024 px, as
they are and where they are shifted, under other light and on coloured sheets. Needs the shared data.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import cv2

from models.images import read_image
from models.prediction import Image
from models.upright import edges_of
from tests.bench.line import line
from tests.shared import find_shared
from trainer.conditions import Labelled, apply, eight
from trainer.dataset import scan
from trainer.upright import learn_upright

GOOD, FRAMES, ROUNDS, MOST_MS = 20, 5, 4, 5.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    wanted = parser.parse_args()
    if (shared := find_shared()) is None:
        print("no shared data here (../shared or MEKIKI_SHARED): nothing measured")
        return 0
    dataset = scan(shared / "data/mvtec_screw", GOOD)
    learned = learn_upright([read_image(path) for path in dataset.train_good])
    assert not isinstance(learned, str), learned
    paths = dataset.test_good[:FRAMES]
    pictures = [(condition, path) for condition in eight() for path in paths]
    frames = [apply(one, Labelled.of(read_image(path)), seed=0, key=path.name).image for one, path in pictures]
    upright, search = learned.upright(), learned.search()
    cv2.setNumThreads(wanted.threads)
    fields = [edges_of(frame) for frame in frames]
    at = {id(frame): field for frame, field in zip(frames, fields, strict=True)}
    _time("its edges", edges_of, frames)
    _time("coarsely, at any turn", lambda frame: list(search.starts(at[id(frame)])), frames)
    _time("coarsely, then finer", lambda frame: search.find(at[id(frame)]), frames)
    return line("all, and laid upright", _time("all", upright.view, frames), "at most", MOST_MS, "ms")


def _time(name: str, run: Callable[[Image], object], frames: Sequence[Image]) -> float:
    """Median milliseconds; says the least too."""
    found = []
    for frame in list(frames) * ROUNDS:
        started = time.perf_counter()
        run(frame)
        found.append((time.perf_counter() - started) * 1e3)
    print(f"{name:<58}{statistics.median(found):>9.2f} ms, least {min(found):.2f}", flush=True)
    return statistics.median(found)


if __name__ == "__main__":
    raise SystemExit(main())
