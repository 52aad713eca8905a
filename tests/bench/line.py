"""What the benchmarks of the daemon share: a real PatchCore bundle for 1280x1024 colour frames, and percentiles.

Made once per run from rendered screws with the starter weights, in a temporary folder.
"""

import subprocess
import sys
from pathlib import Path

import cv2

from models.images import read_image

WIDTH_PX, HEIGHT_PX = 1280, 1024
_IMAGE_SIZE, _BANK, _GOOD = 192, 1000, 12


def make_line(folder: Path) -> tuple[Path, Path]:
    """(bundle, folder of good frames as the camera would give them)."""
    parts, bundle = folder / "parts", folder / "line.bundle"
    train("render", "--out", str(parts), "--good", str(_GOOD))
    frames = sorted((parts / "train/good").iterdir())
    for path in frames:
        wide = cv2.resize(read_image(path), (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(path), wide)
    sizes = ["--image-size", str(_IMAGE_SIZE), "--bank", str(_BANK), "--augment", "off"]
    train("fit", "--family", "anomaly", "--data", str(parts), "--out", str(bundle), *sizes)
    return bundle, parts / "train/good"


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def line(what: str, found: float, relation: str, limit: float, unit: str) -> int:
    """Prints one figure against its limit. Gives 1 when it is missed."""
    missed = found < limit if relation == "at least" else found > limit
    print(f"{what:<58}{found:>9.3f} {unit:<4} {relation} {limit:g}   {'MISSED' if missed else 'ok'}", flush=True)
    return int(missed)


def train(*arguments: str) -> None:
    """Runs `mekiki-train`."""
    subprocess.run([sys.executable, "-m", "trainer.cli", *arguments], check=True, capture_output=True)
