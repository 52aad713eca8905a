"""`mekiki-edge qualify`: tries a bundle on the devices of this box at each of its precisions, and puts it on record."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.config import Settings, state_dir
from edge.qualified import budget_of
from edge.qualify import THOROUGH, Effort, How, qualify
from edge.record import Record, Trial, read_record, write_record
from edge.settings import load_settings
from models.bundle import open_bundle
from models.command import DONE, FAILED
from models.device import present
from models.gate import Gate

_HEAD = ("device", "precision", "golden images", "p50", "p99", "under load", "finding")
_SHOWN_NAME = 40


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asks for; nothing stands for what the settings say, else for all that is here."""

    bundle: Path
    devices: tuple[str, ...] = ()
    budget_s: float | None = None
    config: Path | None = None


def qualify_command(asked: Asked, say: Callable[[str], None], effort: Effort = THOROUGH) -> int:
    """Exit code 0 when it is qualified on one device at one precision at least. Raises MekikiError."""
    settings = None if asked.config is None else load_settings(asked.config)
    bundle = open_bundle(asked.bundle)
    Gate(None if settings is None else settings.trust).verify(bundle)
    devices = asked.devices or tuple(present())
    how = How(
        hint="latency" if settings is None else settings.inference.hint,
        budget_s=_budget_s(asked, settings),
        effort=effort,
    )
    trials = qualify(bundle, devices, bundle.precisions, how)
    state = state_dir() if settings is None else settings.state
    record = read_record(state, bundle.digest).with_trials(trials)
    say(report(record, trials, how.budget_s))
    say(f"record: {write_record(state, record)}")
    return DONE if any(one.finding == "qualified" for one in trials) else FAILED


def _budget_s(asked: Asked, settings: Settings | None) -> float | None:
    if asked.budget_s is not None or settings is None:
        return asked.budget_s
    return budget_of(settings, [camera.name for camera in settings.camera])


def report(record: Record, trials: Sequence[Trial], budget_s: float | None) -> str:
    """A table for a person, and below it why what failed did."""
    budget = "" if budget_s is None else f", nine of ten frames within {budget_s * 1e3:g} ms were wanted"
    lines = [f"bundle {record.bundle[:12]} on {record.host}{budget}", *_table([_HEAD, *map(_row, trials)])]
    names = {one.device: one.device_name for one in trials if one.device_name is not None}
    lines += [f"{device}: {name[:_SHOWN_NAME]}" for device, name in names.items()]
    whys = dict.fromkeys(one.why for one in trials if one.why is not None)
    lines += [f"{', '.join(one.name for one in trials if one.why == why)}: {why}" for why in whys]
    lines += [f"{one.name}: {words}" for one in trials for words in one.deviations]
    return "\n".join([*lines, f"fastest: {record.fastest or 'none is qualified'}"])


def _row(trial: Trial) -> tuple[str, ...]:
    found = trial.figures
    if found is None:
        return trial.device, trial.precision, "-", "-", "-", "-", trial.finding
    golden = f"{trial.golden_images}, off by {trial.max_relative:.1e}"
    load = "-" if found.frames_per_s is None else f"{found.frames_per_s:.1f}/s by {found.requests}"
    return trial.device, trial.precision, golden, _ms(found.p50_s), _ms(found.p99_s), load, trial.finding


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
