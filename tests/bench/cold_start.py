"""From the start of the process to the first verdict at a subscriber: `python -m tests.bench.cold_start [BUNDLE]`.

The daemon, one camera that gives 1280x1024 frames from files, and a subscriber that waits already. First without
anything on disk, where the bundle is qualified and compiled; then with what that start has left; then with that and
without the compiled graph. Without BUNDLE a model is made from rendered screws. The median of several starts each.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.line import line, make_line
from tests.edge.box import ROOT, Box, Subscriber

LIMIT_S, ROUNDS = 2.0, 5
STARTS = {
    "nothing on disk: qualified and compiled first": ("qualified", "compiled"),
    "qualified before, no compiled graph": ("compiled",),
    "warm cache": (),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", nargs="?", type=Path)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made, frames = make_line(folder) if arguments.bundle is None else (arguments.bundle, None)
        frames = _frames_of(made, folder) if frames is None else frames
        box = Box(folder, made.resolve())
        box.write_folder(str(frames), "loop = true\nfps = 10")
        found = {words: [_first_verdict_s(box, gone) for _ in range(ROUNDS)] for words, gone in STARTS.items()}
    for words, taken in found.items():
        print(f"{words:<48}{statistics.median(taken):>7.2f} s  ({min(taken):.2f} to {max(taken):.2f})")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    return line("process start to first verdict, warm", statistics.median(found["warm cache"]), "at most", LIMIT_S, "s")


def _frames_of(bundle: Path, folder: Path) -> Path:
    """A good golden image is of native size."""
    (folder / "frames").mkdir()
    for path in sorted((bundle / "golden").glob("good*")):
        shutil.copyfile(path, folder / "frames" / path.name)
    return folder / "frames"


def _first_verdict_s(box: Box, gone: tuple[str, ...]) -> float:
    """Seconds; without these folders of the state."""
    for name in gone:
        shutil.rmtree(box.folder / "state" / name, ignore_errors=True)
    command = [sys.executable, "-m", "edge.cli", "run", "--config", str(box.config)]
    with Subscriber(box.address) as subscriber:
        started_s = time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        try:
            verdict = subscriber.next(60)
            taken_s = time.monotonic() - started_s
        finally:
            process.terminate()
            process.communicate(timeout=60)
    assert verdict["outcome"] != "unknown", verdict
    return taken_s


if __name__ == "__main__":
    raise SystemExit(main())
