"""The recipe of the short loop: a model that finds bright spots, and nothing is trained."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from models.prediction import Image
from tests import tiny
from tests.system.line import Parts
from tests.system.loop import Run

GOOD, SHINE, SPOT = 20, 145, 220  # brightest patch: of good parts, under the new lamp, and of defects


def part(seed: int, patch: int) -> Image:
    """No two look alike."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 40, (tiny.SIDE_PX, tiny.SIDE_PX, 3))
    x, y = (8 * int(place) for place in rng.integers(0, 8, 2))
    image[y : y + 8, x : x + 8] = patch
    return image.astype(np.uint8)


class Tinies:
    """Thresholds are all that its bundles differ in."""

    over_ssh, deadline_s, fps, probation = False, 5.0, 10.0, 30

    def first(self, folder: Path, run: Run) -> Path:
        for seed, (place, patch) in enumerate(
            [("train/good", GOOD)] * 4 + [("test/good", GOOD)] * 3 + [("test/spot", SPOT)] * 3
        ):
            tiny.write_image(folder / "parts" / place / f"{seed:03}.png", part(seed, patch))
        run("trainer", "dataset", "add", folder / "parts", "--store", folder / "parts.store")
        run("trainer", "dataset", "snapshot", "--store", folder / "parts.store")
        return self._bundle(folder / "first.bundle", 0.5, 1)

    def next(self, folder: Path, first: Path, run: Run) -> Path:
        run("trainer", "dataset", "add", folder / "pulled", "--store", folder / "parts.store")
        run("trainer", "dataset", "snapshot", "--store", folder / "parts.store")
        run("trainer", "dataset", "diff", "v1", "v2", "--store", folder / "parts.store")
        return self._bundle(folder / "second.bundle", 0.7, 2)

    def bad(self, folder: Path, good: Path, run: Run) -> Path:
        return self._bundle(folder / "bad.bundle", 0.01, 3)

    def usual(self) -> Parts:
        return self._parts(GOOD, 1000)

    def drifted(self) -> Parts:
        return self._parts(SHINE, 2000)

    @staticmethod
    def _parts(good: int, seed: int) -> Parts:
        parts: Parts = [("good", part(seed + number, good)) for number in range(10)]
        new = "good" if good == GOOD else "dent"
        return [*parts, ("spot", part(seed + 100, SPOT)), (new, part(seed + 101, good + 50))]

    @staticmethod
    def _bundle(path: Path, threshold: float, day: int) -> Path:
        changed = {"created_at": datetime(2026, 1, day, tzinfo=UTC)}
        return tiny.make_bundle(path, threshold=threshold, manifest=changed)
