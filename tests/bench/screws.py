"""The first twenty good real screws: AUC, precision at recall 1, parity, and the time of a fit.

Limits from the project's first goal. Needs the shared data; says so and ends well where it is absent.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from models.bundle import open_bundle
from tests.shared import find_shared

LIMITS = {"scratch_neck": (0.98, 0.90), "scratch_head": (0.95, 0.0)}
FIT_S, PARITY = 120.0, 1e-3
COMMAND = [sys.executable, "-m", "trainer.cli"]


def main() -> int:
    shared = find_shared()
    if shared is None:
        print("no shared data here (../shared or MEKIKI_SHARED): nothing measured")
        return 0
    data, weights = shared / "data/mvtec_screw", next((shared / "weights").glob("*.pth"))
    with tempfile.TemporaryDirectory() as folder:
        out, own = Path(folder) / "screws.bundle", Path(folder) / "own.bundle"
        fit_s = _fit(data, out, ["--weights", str(weights)])
        missed = _above("fit, seconds", fit_s, FIT_S)
        missed += _above("torch against IR, of the score", open_bundle(out).manifest.parity.max_relative, PARITY)
        for name, limits in LIMITS.items():
            missed += _measure(out, data, name, limits)
        print("with the weights that ship, for comparison:")
        _fit(data, own, [])
        for name in LIMITS:
            _measure(own, data, name, (0, 0))
    return 1 if missed else 0


def _fit(data: Path, out: Path, weights: list[str]) -> float:
    started = time.monotonic()
    arguments = ["fit", "--family", "anomaly", "--data", str(data), "--out", str(out), "--limit", "20", *weights]
    subprocess.run([*COMMAND, *arguments], check=True)
    return time.monotonic() - started


def _measure(bundle: Path, data: Path, name: str, limits: tuple[float, float]) -> int:
    arguments = ["evaluate", str(bundle), "--data", str(data), "--defects", name, "--json"]
    found = json.loads(subprocess.run([*COMMAND, *arguments], check=True, capture_output=True, text=True).stdout)
    missed = 0
    for key, least in zip(("roc_auc", "precision_at_recall_1"), limits, strict=True):
        is_low = found[key] < least
        missed += is_low
        print(f"{name + ' ' + key:<40}{found[key]:>9.3f}   at least {least:.2f}   {'MISSED' if is_low else 'ok'}")
    print(f"{name + ' latency p50, ms':<40}{found['latency_s']['p50'] * 1e3:>9.0f}", flush=True)
    return missed


def _above(what: str, got: float, most: float) -> int:
    print(f"{what:<40}{got:>9.3g}   at most {most:g}   {'MISSED' if got > most else 'ok'}", flush=True)
    return int(got > most)


if __name__ == "__main__":
    raise SystemExit(main())
