"""The recipe of the long loop: rendered screws, a real fit, and a real retraining."""

from pathlib import Path

import numpy as np

from models.images import read_image
from models.prediction import Image
from tests.system.line import Parts
from tests.system.loop import Run
from trainer.synth import write_dataset

SIDE_PX = 512
N_GOOD, N_KNOWN, N_NEW = 24, 4, 4
PRODUCT = "m5-screw"


class Screws:
    """Good screws and scratched necks at first; then under a harder lamp, and with scratched heads too."""

    over_ssh, deadline_s, fps, probation = True, 2.0, 4.0, 60

    def __init__(self, folder: Path) -> None:
        """Renders what will come over the line below `folder`."""
        self._folder = folder
        for name, counts, seed, defect in (
            ("parts", (20, 8, 8), 0, "scratch_neck"),
            ("usual", (0, N_GOOD + N_NEW, N_KNOWN), 1, "scratch_neck"),
            ("later", (0, N_GOOD, N_KNOWN), 2, "scratch_neck"),
            ("heads", (0, 0, N_NEW), 3, "scratch_head"),
        ):
            train, good, bad = counts
            write_dataset(
                folder / name, train_good=train, test_good=good, test_defect=bad, seed=seed, size_px=SIDE_PX,
                defect=defect,  # type: ignore[arg-type]
            )  # fmt: skip

    def first(self, folder: Path, run: Run) -> Path:
        parts, store, out = self._folder / "parts", folder / "screws.store", folder / "first.bundle"
        how = ("--image-size", "320", "--bank", "3000", "--policy", "normal_quantile")
        run("trainer", "fit", "--family", "anomaly", "--data", parts, "--out", out, "--compatible", PRODUCT, *how)
        run("trainer", "dataset", "add", parts, "--store", store)
        run("trainer", "dataset", "snapshot", "--store", store, "--leave-out", "leaks")
        return out

    def next(self, folder: Path, first: Path, run: Run) -> Path:
        store, out = folder / "screws.store", folder / "second.bundle"
        found = ("--add", folder / "pulled", "--dataset", store, "--leave-out", "leaks")
        run("trainer", "retrain", "--from", first, *found, "--out", out)
        return out

    def bad(self, folder: Path, good: Path, run: Run) -> Path:
        """The same model with a threshold below every part."""
        out = folder / "bad.bundle"
        fixed = ("--policy", "fixed", "--at", "0.01", "--out", out)
        run("trainer", "threshold", good, "--data", self._folder / "parts", *fixed)
        return out

    def usual(self) -> Parts:
        return self._in("usual")

    def drifted(self) -> Parts:
        later = [(kind, lit(image)) for kind, image in self._in("later")]
        return [*later, *((kind, lit(image)) for kind, image in self._in("heads"))]

    def _in(self, name: str) -> Parts:
        paths = sorted((self._folder / name / "test").glob("*/*.png"))
        return [(path.parent.name, read_image(path)) for path in paths]


def lit(image: Image) -> Image:
    """A harder lamp: what was half dark is darker."""
    return np.asarray(255 * (image / 255) ** 1.5, np.uint8)
