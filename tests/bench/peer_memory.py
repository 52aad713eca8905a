"""Peak MB of a process that scores frames: `python -m tests.bench.peer_memory ours BUNDLE PRECISION`, or
`peer MODEL.xml default|f32 SIDE`.
"""

import re
import sys
from pathlib import Path

import numpy as np

FRAMES = 5


def main(kind: str, path: Path, precision: str, side_px: int = 1024) -> float:
    """Opens the model as a user would and scores frames."""
    frame = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), np.uint8)
    if kind == "ours":
        from models.bundle import open_bundle
        from models.runner import Runner

        score = Runner.of(open_bundle(path).at(precision)).predict  # type: ignore[arg-type]
    else:
        from tests.bench.anomalib_peer import STOCK, Inferencer

        score = Inferencer(path, None if side_px == len(frame) else side_px, STOCK[precision]).score  # type: ignore[assignment]
    for _ in range(FRAMES):
        score(frame)
    # What `getrusage` says is at least what the parent held when it started this process.
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) / 1e3


if __name__ == "__main__":
    _, asked, model, asked_precision, *side = sys.argv
    print(main(asked, Path(model), asked_precision, *map(int, side)))
