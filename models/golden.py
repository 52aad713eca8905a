"""Whether a model says on this device what its bundle says it must."""

import time
from dataclasses import dataclass, field
from typing import Final

from models.bundle import Bundle
from models.errors import DatasetError, ModelError
from models.images import read_image
from models.manifest import Golden
from models.runner import Runner
from models.scoring import judge

MAX_RELATIVE: Final = 1e-3
MAX_ABSOLUTE: Final = 1e-5  # enough where the expected score is (nearly) 0, as that of a good part without boxes


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the golden images came out."""

    n_images: int
    max_relative: float  # largest |score - expected| / |expected|; an expected score under 0.01 counts as 0.01
    n_review: int  # of them, those that a person would have to look at
    # Seconds that each took, by frame size (height, width): the first of a size has waited for its graph.
    took_s: dict[tuple[int, int], list[float]] = field(default_factory=dict)


def check_golden(bundle: Bundle, runner: Runner) -> Agreement:
    """Runs every golden image through the runner.

    Raises ModelError when an outcome differs from the manifest's, or a score by more than 1e-3 of it and 1e-5.
    """
    golden, took_s = bundle.manifest.golden, dict[tuple[int, int], list[float]]()
    off_by = max(_off_by(bundle, runner, item, took_s) for item in golden)
    return Agreement(len(golden), off_by, sum(item.outcome == "unknown" for item in golden), took_s)


def _off_by(bundle: Bundle, runner: Runner, golden: Golden, took_s: dict[tuple[int, int], list[float]]) -> float:
    path = bundle.path / golden.file
    try:
        image = read_image(path)
    except DatasetError as error:
        raise ModelError(f"golden image {error}; make the bundle again") from error
    started_s = time.perf_counter()
    score = runner.predict(image).score
    took_s.setdefault((image.shape[0], image.shape[1]), []).append(time.perf_counter() - started_s)
    threshold = bundle.manifest.threshold
    outcome, _ = judge(score, threshold.ng_at_or_above, threshold.review_at_or_above)
    relative = abs(score - golden.score) / max(abs(golden.score), MAX_ABSOLUTE / MAX_RELATIVE)
    if outcome != golden.outcome or not relative <= MAX_RELATIVE:
        raise ModelError(
            f"{path}: {runner.device} at {runner.precision} says {outcome} {score:.6g}, the manifest says "
            f"{golden.outcome} {golden.score:.6g}; do not use this bundle on this device: make it again or "
            "choose another device"
        )
    return relative
