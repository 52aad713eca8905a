"""A signed bundle of 50 MB comes into force while parts pass: `python -m tests.bench.install`.

From the command to the first verdict by the new version; meanwhile no verdict may be missing, and none later at the
subscriber than its deadline + 5 ms.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

from models.bundle import MANIFEST, open_bundle
from models.files import sha256_of
from models.gate import Gate
from models.store import Store
from tests.bench.line import line, make_line
from tests.edge.box import Box, Subscriber, no_holes
from tests.signer import Signer

SIZE_BYTES, LIMIT_S, LATE_MS = 50_000_000, 60.0, 5.0
FPS, DEADLINE_S, BEFORE, AFTER = 5, 1.0, 20, 50


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made, frames = make_line(folder)
        signer = Signer(folder / "keys", "line")
        large = signer.sign(_padded(made, folder / "large.bundle"))
        store = Store(folder / "store", Gate(signer.trust))
        store.activate(store.add(signer.sign(made)).digest)
        took_s, verdicts, late_ms = _installed(folder, frames, large)
    print(f"a bundle of {SIZE_BYTES / 1e6:.0f} MB, {FPS} parts/s, deadline {DEADLINE_S} s, {len(verdicts)} parts")
    missed = line("from the command to the first verdict by the new version", took_s, "at most", LIMIT_S, "s")
    missed |= line("holes in the verdicts", float(not no_holes(verdicts)), "at most", 0, "")
    missed |= line("verdicts that missed their deadline", _missed(verdicts), "at most", 0, "")
    return missed | line("latest verdict after its deadline", max(late_ms), "at most", LATE_MS, "ms")


def _padded(bundle: Path, to: Path) -> Path:
    """The same with a file more, which no compression makes small."""
    shutil.copytree(bundle, to)
    (to / "pad.bin").write_bytes(os.urandom(SIZE_BYTES))
    raw = json.loads((to / MANIFEST).read_bytes())
    raw["files"]["pad.bin"] = {"sha256": sha256_of(to / "pad.bin"), "bytes": SIZE_BYTES}
    (to / MANIFEST).write_text(json.dumps(raw))
    return to


def _installed(folder: Path, frames: Path, large: Path) -> tuple[float, list[dict], list[float]]:
    """Seconds to the first verdict, all verdicts, and by how much each was later than its deadline in ms."""
    box, new = Box(folder, large), open_bundle(large).digest
    extra = f"loop = true\npreload = true\nfps = {FPS}\ndeadline_s = {DEADLINE_S}"
    box.write_folder(str(frames), extra, head='store = "store"\ntrust = "keys/trust"', bus="wait_for_subscriber_s = 30")
    verdicts, late_ms, after, took_s = [], [], 0, 0.0
    with Subscriber(box.address) as subscriber, box.daemon():
        command = [sys.executable, "-m", "edge.cli", "model", "install", str(large), "--config", str(box.config)]
        process, started_s = None, 0.0
        while after < AFTER:
            verdicts.append(subscriber.next())
            late_ms.append((subscriber.read_ns - verdicts[-1]["captured_ns"]) / 1e6 - DEADLINE_S * 1e3)
            if len(verdicts) == BEFORE:
                process, started_s = subprocess.Popen(command, stdout=subprocess.PIPE, text=True), time.monotonic()
                threading.Thread(target=_say, args=(process.stdout, started_s), daemon=True).start()
            after += verdicts[-1]["bundle"] == new
            if after == 1:
                took_s = took_s or time.monotonic() - started_s
        assert process is not None
        assert process.wait(60) == 0
    return took_s, verdicts, late_ms


def _say(lines: IO[str], started_s: float) -> None:
    """Each step of the command, with when it was done."""
    for step in lines:
        print(f"{time.monotonic() - started_s:6.1f} s  {step.strip()}", flush=True)


def _missed(verdicts: list[dict]) -> float:
    return float(sum(verdict["reason"] in ("deadline", "overload") for verdict in verdicts))


if __name__ == "__main__":
    raise SystemExit(main())
