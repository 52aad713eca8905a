"""From the start of the process to the first verdict at a subscriber: `python -m tests.bench.cold_start [BUNDLE]`.

The daemon, one camera that gives 1280x1024 frames from files, and a subscriber that waits already. First without
anything on disk, where the bundle is qualified and compiled; then with what that start has left; then with that and
without the compiled graph. Without BUNDLE a model is made from rendered screws. The median of several starts each, and
the processor time of the daemon alone, which other programs disturb less. Python's byte code is there, as where mekiki
was installed.
"""

import argparse
import json
import os
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
        _start(box, ())  # leaves the byte code
        found = {words: [_start(box, gone) for _ in range(ROUNDS)] for words, gone in STARTS.items()}
    for words, starts in found.items():
        wall_s, cpu_s = ([start[i] for start in starts] for i in (0, 1))
        spread = f"({min(wall_s):.2f} to {max(wall_s):.2f}; {statistics.median(cpu_s):.2f} s of processor time)"
        print(f"{words:<48}{statistics.median(wall_s):>7.2f} s  {spread}")
    if arguments.json is not None:
        text = {words: [{"wall_s": wall_s, "cpu_s": cpu_s} for wall_s, cpu_s in found[words]] for words in found}
        arguments.json.write_text(json.dumps(text, indent=2) + "\n")
    warm_s = statistics.median(wall_s for wall_s, _ in found["warm cache"])
    return line("process start to first verdict, warm", warm_s, "at most", LIMIT_S, "s")


def _frames_of(bundle: Path, folder: Path) -> Path:
    """A good golden image is of native size."""
    (folder / "frames").mkdir()
    for path in sorted((bundle / "golden").glob("good*")):
        shutil.copyfile(path, folder / "frames" / path.name)
    return folder / "frames"


def _start(box: Box, gone: tuple[str, ...]) -> tuple[float, float]:
    """Seconds until the first verdict, and of the daemon's processor time; without these folders of the state."""
    for name in gone:
        shutil.rmtree(box.folder / "state" / name, ignore_errors=True)
    command = [sys.executable, "-m", "edge.cli", "run", "--config", str(box.config)]
    byte_code = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(box.folder / "pycache")}
    with Subscriber(box.address) as subscriber:
        started_s = time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | byte_code, stderr=subprocess.PIPE, text=True)
        try:
            verdict = subscriber.next(60)
            taken_s, cpu_s = time.monotonic() - started_s, _cpu_s(process.pid)
        finally:
            process.terminate()
            process.communicate(timeout=60)
    assert verdict["outcome"] != "unknown", verdict
    return taken_s, cpu_s


def _cpu_s(pid: int) -> float:
    """What it has used up to now, the processes of its cameras left out."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    raise SystemExit(main())
