"""At which precision this box judges by a bundle: one that is on record as qualified, or found to be so now.

Runs on the main thread before any other is started, on `swap`, and in the process of a candidate.
"""

import contextlib
import logging
from pathlib import Path
from typing import Literal, Protocol

from edge.config import InferenceConfig, Settings
from edge.qualify import BRIEF, How, openvino_version, qualify
from edge.record import Record, Trial, fastest, read_record, write_record
from models.bundle import Bundle
from models.cache import Cache
from models.device import find_device
from models.errors import ModelError
from models.manifest import Precision

_log = logging.getLogger(__name__)
_CACHE = "compiled"


class Judging(Protocol):
    """What decides at which precision a box judges: its settings, or as much of them as a candidate is told."""

    @property
    def state(self) -> Path:
        """Where it is kept what is qualified."""

    @property
    def device(self) -> str:
        """OpenVINO's name."""

    @property
    def precision(self) -> Literal["auto"] | Precision:
        """Of those that a bundle holds."""

    @property
    def inference(self) -> InferenceConfig:
        """How the device is used."""


def cache_of(settings: Judging) -> Cache:
    """Where compiled graphs are kept for the next start."""
    return Cache(settings.state / _CACHE)


def wanted_precisions(bundle: Bundle, settings: Judging) -> tuple[Precision, ...]:
    """Those that the settings leave to choose from. Raises BundleError where the bundle lacks the one they name."""
    return bundle.precisions if settings.precision == "auto" else bundle.at(settings.precision).precisions[:1]


def budget_of(settings: Settings, cameras: list[str]) -> float | None:
    """The shortest deadline of these cameras."""
    deadlines = [camera.deadline_s for camera in settings.camera if camera.name in cameras]
    return min((deadline_s for deadline_s in deadlines if deadline_s is not None), default=None)


def qualified(bundle: Bundle, settings: Judging, budget_s: float | None, *, keep: bool = True) -> Bundle:
    """The bundle at the fastest precision that judges right on the device of the settings, in time if one does.

    What is not on record is tried now and, with `keep`, put there. One that judges right but too late is better than
    none: its parts are `unknown` in time. Raises ModelError where none judges right, DeviceError where the device is
    not there, BundleError for a precision that the bundle does not hold.
    """
    wanted, record = wanted_precisions(bundle, settings), read_record(settings.state, bundle.digest)
    known = _known(record, settings, wanted)
    missing = [one for one in wanted if one not in known or not any(trial.is_right for trial in known.values())]
    if missing:
        known |= {one.precision: one for one in _find_out(bundle, settings, missing, record, keep=keep)}
    chosen = pick(list(known.values()), budget_s)
    if chosen is None:
        words = "; ".join(f"{one.name}: {one.why}" for one in known.values())
        raise ModelError(f"bundle {bundle.digest[:12]} is not qualified on this box: {words}")
    if not chosen.fits(budget_s):
        _log.warning("bundle %s: %s is right, but slow: %s", bundle.digest[:12], chosen.name, figure_words(chosen))
    others = ", ".join(figure_words(one) for one in known.values() if one is not chosen)
    _log.info(
        "bundle %s: %s, qualified %s UTC%s", bundle.digest[:12], figure_words(chosen),
        f"{chosen.at:%Y-%m-%d %H:%M}", f"; not chosen: {others}" if others else "",
    )  # fmt: skip
    return bundle.at(chosen.precision)


def pick(trials: list[Trial], budget_s: float | None) -> Trial | None:
    """The fastest that is right and in time, else the fastest that is right."""
    right = [one for one in trials if one.is_right]
    return fastest([one for one in right if one.fits(budget_s)]) or fastest(right)


def figure_words(trial: Trial) -> str:
    """For the log."""
    return f"{trial.name} " + ("refused" if trial.figures is None else f"{trial.figures.p50_s * 1e3:.1f} ms")


def _known(record: Record, settings: Judging, wanted: tuple[Precision, ...]) -> dict[Precision, Trial]:
    """What is on record and still holds."""
    trials = [one for one in record.trials if one.device == settings.device and one.precision in wanted]
    if not trials:
        return {}
    device = find_device(settings.device)
    return {one.precision: one for one in trials if one.holds_for(device, openvino_version())}


def _find_out(
    bundle: Bundle, settings: Judging, missing: list[Precision], record: Record, *, keep: bool
) -> list[Trial]:
    find_device(settings.device)  # where it is not there that is no finding about the bundle
    names = ", ".join(missing)
    _log.info("bundle %s: not on record for %s at %s; tried now", bundle.digest[:12], settings.device, names)
    cache = cache_of(settings) if keep else None
    trials = qualify(bundle, [settings.device], missing, How(hint=settings.inference.hint, effort=BRIEF, cache=cache))
    if keep:
        with contextlib.suppress(OSError):  # a full disk: the next start tries it again
            write_record(settings.state, record.with_trials(trials))
    return trials
