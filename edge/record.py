"""What was found out on this box about a bundle, on each device and at each precision: STATE/qualified/<digest>.json.

Rules without a clock in `Trial` and `Record`; the file is whole or absent. Whoever may write there may sign it off:
the folder belongs to the daemon's user.
"""

import logging
import socket
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from models import __version__
from models.base import Frozen, Sha256, first_error
from models.device import Device
from models.files import make_folder, write_whole
from models.manifest import Precision

_log = logging.getLogger(__name__)
_FOLDER = "qualified"
Finding = Literal["qualified", "slow", "refused"]  # slow: right, but later than the budget


class Figures(Frozen):
    """How quick it was, on the largest golden image, from the frame to its score."""

    frames: int = Field(ge=1)  # one after the other
    p50_s: float = Field(ge=0)
    p90_s: float = Field(ge=0)  # nine of ten are quicker: what the budget is held against
    p99_s: float = Field(ge=0)
    requests: int | None = None  # at a time, under load; null: not tried
    frames_per_s: float | None = None  # then


class Trial(Frozen):
    """One device at one precision."""

    at: AwareDatetime
    device: str  # OpenVINO's name
    device_name: str | None  # of the hardware; null where it is not there
    plugin: str | None  # version
    driver: str | None  # of what is no CPU
    openvino: str
    precision: Precision
    settings: dict[str, str] = Field(default_factory=dict)  # as the plugin answered when it was asked for them
    deviations: tuple[str, ...] = ()
    golden_images: int = Field(default=0, ge=0)  # that came out as the manifest says
    max_relative: float | None = None  # largest difference of a score, as a share of it
    figures: Figures | None = None
    budget_s: float | None = None
    finding: Finding
    why: str | None = None  # in words, when it is not qualified

    @property
    def is_right(self) -> bool:
        """Whether it judges as the bundle says, in time or not."""
        return self.finding != "refused"

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.device} at {self.precision}"

    def holds_for(self, device: Device, openvino: str) -> bool:
        """Whether nothing has changed since that may change what it says."""
        then = (self.device, self.device_name, self.plugin, self.driver, self.openvino)
        return then == (device.name, device.full_name, device.plugin, device.driver, openvino)

    def fits(self, budget_s: float | None) -> bool:
        """Whether nine of ten frames keep to the budget."""
        return budget_s is None or (self.figures is not None and self.figures.p90_s <= budget_s)


class Record(Frozen):
    """All trials of one bundle on this box, the last one of each device and precision."""

    schema_version: Literal[1] = 1
    bundle: Sha256
    host: str = Field(default_factory=socket.gethostname)
    mekiki: str = __version__
    trials: tuple[Trial, ...] = ()
    fastest: str | None = None  # of those that are qualified

    def with_trials(self, trials: Collection[Trial]) -> "Record":
        """Each takes the place of the older one of its device and precision."""
        newer = {(one.device, one.precision) for one in trials}
        kept = tuple(one for one in self.trials if (one.device, one.precision) not in newer)
        every = (*kept, *trials)
        first = fastest([one for one in every if one.finding == "qualified"])
        return Record(bundle=self.bundle, trials=every, fastest=None if first is None else first.name)


def fastest(trials: Collection[Trial]) -> Trial | None:
    """Of those with figures, by what half of the frames keep to; the first one of none."""
    return min(trials, key=lambda one: float("inf") if one.figures is None else one.figures.p50_s, default=None)


def record_path(state: Path, digest: str) -> Path:
    """Where the record of a bundle lies."""
    return state / _FOLDER / f"{digest}.json"


def read_record(state: Path, digest: str) -> Record:
    """An empty one where there is none, or none of this bundle that can be read: then it is tried again."""
    path = record_path(state, digest)
    try:
        found = Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Record(bundle=digest)
    except (ValidationError, OSError) as error:
        why = first_error(error) if isinstance(error, ValidationError) else error.strerror
        _log.warning("%s: cannot be read (%s); the bundle is tried again", path, why)
        return Record(bundle=digest)
    return found if found.bundle == digest else Record(bundle=digest)


def write_record(state: Path, record: Record) -> Path:
    """Raises OSError where it cannot be written."""
    path = record_path(state, record.bundle)
    make_folder(path.parent)
    write_whole(path, record.model_dump_json(indent=2).encode() + b"\n")
    return path
