"""Whether a bundle may judge on a device: right on its golden images, how quick, in time. On the caller's thread."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np

from edge.record import Figures, Trial
from models.bundle import Bundle
from models.cache import Cache
from models.device import find_device
from models.errors import MekikiError, ModelError
from models.golden import check_golden
from models.images import read_image
from models.manifest import Precision
from models.prediction import Image
from models.profile import Hint
from models.runner import Runner

_LEAST_FRAMES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to look. A daemon whose line runs measures little, a person's command a lot."""

    frames: int  # one after the other, and per request under load
    most_s: float  # for each of the two, but for the frame that has begun
    load: bool  # whether to try many frames at a time


BRIEF = Effort(frames=5, most_s=1.0, load=False)
USUAL = Effort(frames=20, most_s=5.0, load=False)
THOROUGH = Effort(frames=100, most_s=10.0, load=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What a trial is held against, and how it is made."""

    hint: Hint = "latency"
    budget_s: float | None = None
    effort: Effort = USUAL
    cache: Cache | None = None


def openvino_version() -> str:
    """Without importing it."""
    return version("openvino")


def qualify(bundle: Bundle, devices: Sequence[str], precisions: Sequence[Precision], how: How) -> list[Trial]:
    """Tries the bundle on each device at each precision. What goes wrong stands in its trial, in words."""
    return [_try(bundle, device, precision, how) for device in devices for precision in precisions]


def _try(bundle: Bundle, name: str, precision: Precision, how: How) -> Trial:
    trial = Trial(
        at=datetime.now(UTC),
        device=name,
        device_name=None,
        plugin=None,
        driver=None,
        openvino=openvino_version(),
        precision=precision,
        budget_s=how.budget_s,
        finding="refused",
    )
    try:
        device = find_device(name)
        what = {"device_name": device.full_name, "plugin": device.plugin, "driver": device.driver}
        trial = trial.model_copy(update=what)
        return trial.model_copy(update=_found(bundle.at(precision), name, how))
    except MekikiError as error:
        return trial.model_copy(update={"why": " ".join(str(error).split())})


def _found(bundle: Bundle, device: str, how: How) -> dict[str, object]:
    """Raises MekikiError where it does not run there, or judges otherwise than it must."""
    runner = Runner.of(bundle, device, how.hint, how.cache)
    agreement = check_golden(bundle, runner)
    image = max((read_image(bundle.path / one.file) for one in bundle.manifest.golden), key=lambda image: image.size)
    figures = _alone(runner, image, how.effort)
    if how.effort.load:
        figures = figures.model_copy(update=_under_load(Runner.of(bundle, device, "throughput"), image, how.effort))
    found: dict[str, object] = {
        "settings": runner.settings,
        "deviations": runner.deviations,
        "golden_images": agreement.n_images,
        "max_relative": agreement.max_relative,
        "figures": figures,
        "finding": "qualified",
    }
    if how.budget_s is not None and figures.p90_s > how.budget_s:
        found |= {"finding": "slow", "why": _slow_words(figures, how.budget_s)}
    return found


def _slow_words(figures: Figures, budget_s: float) -> str:
    return (
        f"{figures.p90_s * 1e3:.1f} ms, {budget_s * 1e3:.3g} ms are there from capture to verdict; fit a smaller model "
        "(`mekiki-train fit --cycle-time`) or set a longer deadline_s"
    )


def _alone(runner: Runner, image: Image, effort: Effort) -> Figures:
    """One frame after the other."""
    taken: list[float] = []
    until_s = time.perf_counter() + effort.most_s
    while len(taken) < effort.frames and (len(taken) < _LEAST_FRAMES or time.perf_counter() < until_s):
        started_s = time.perf_counter()
        runner.predict(image)
        taken.append(time.perf_counter() - started_s)
    p50_s, p90_s, p99_s = (float(np.quantile(taken, share, method="lower")) for share in (0.5, 0.9, 0.99))
    return Figures(frames=len(taken), p50_s=p50_s, p90_s=p90_s, p99_s=p99_s)


def _under_load(runner: Runner, image: Image, effort: Effort) -> dict[str, object]:
    """As many frames at a time as the device wants."""
    count = runner.wanted_requests(image.shape[0], image.shape[1])
    lanes = [runner, *(runner.twin() for _ in range(count - 1))]
    for lane in lanes:
        lane.predict(image)
    done: list[int] = []
    failed: list[Exception] = []
    until_s = time.perf_counter() + effort.most_s

    def work(lane: Runner) -> None:
        try:
            for number in range(effort.frames):
                if number >= _LEAST_FRAMES and time.perf_counter() > until_s:
                    break
                lane.predict(image)
                done.append(number)
        except Exception as error:  # noqa: BLE001  raised below, on the caller's thread
            failed.append(error)

    threads = [threading.Thread(target=work, args=(lane,), name=f"load-{i}") for i, lane in enumerate(lanes)]
    started_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise ModelError(f"under load of {count} frames at a time: {failed[0]}")
    return {"requests": count, "frames_per_s": len(done) / (time.perf_counter() - started_s)}
