"""Whether a bundle may judge on this device: right on its golden images, and in time. On the caller's thread."""

import time

from edge.config import Settings
from models.bundle import Bundle
from models.errors import ModelError
from models.golden import check_golden
from models.images import read_image
from models.runner import Runner

_ROUNDS = 20
_SLOW = 0.9  # of so many inferences none is slower


def qualify(bundle: Bundle, settings: Settings, budget_s: float | None) -> str:
    """Compiles it for the device of the settings and runs it there; says how it came out.

    Raises ModelError when it does not compile, judges its golden images otherwise than it must, or nine of ten
    inferences of one of them take longer than `budget_s`.
    """
    runner = Runner.of(bundle, settings.device, settings.inference.hint)
    agreement = check_golden(bundle, runner)
    took_s = _took(bundle, runner)
    words = f"{runner.device} at {runner.precision}, {agreement.n_images} golden images, {took_s * 1e3:.1f} ms"
    if budget_s is None:
        return words
    if took_s > budget_s:
        raise ModelError(
            f"{bundle.path}: {words} on {runner.device}, {budget_s * 1e3:.0f} ms are there from capture to verdict; "
            "fit a smaller model (`mekiki-train fit --cycle-time`) or set a longer deadline_s"
        )
    return f"{words} of {budget_s * 1e3:.0f} ms"


def _took(bundle: Bundle, runner: Runner) -> float:
    """Seconds that nine of ten inferences keep to, on the largest golden image: they are of native size."""
    images = [read_image(bundle.path / golden.file) for golden in bundle.manifest.golden]
    image = max(images, key=lambda image: image.size)
    taken = []
    for _ in range(_ROUNDS):
        started_s = time.perf_counter()
        runner.predict(image)
        taken.append(time.perf_counter() - started_s)
    return sorted(taken)[int(_SLOW * (_ROUNDS - 1))]
