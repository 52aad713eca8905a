"""What a box says of itself, for whoever looks after many of them. Wire format, as the verdict: readers ignore unknown
keys. `mekiki-edge status --json` writes it, `mekiki-deploy` reads it."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from models.verdict import Outcome


class _Said(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class StepSaid(_Said):
    """One step of one version, as in `models/state.py`; a newer box may know more of them."""

    at: AwareDatetime
    step: str
    version: str
    why: str | None = None


class LastVerdict(_Said):
    """The newest verdict of one camera that is on the disk of the box."""

    epoch: str
    seq: int
    outcome: Outcome
    reason: str | None
    captured_at_ns: int  # wall clock of the box, nanoseconds since 1970


class StoreStatus(_Said):
    """One store of the box."""

    store: str  # its folder
    cameras: tuple[str, ...]  # that are judged by it
    standing: str  # empty, damaged, on probation, committed, rolled back, active
    why: str | None = None  # why it stands so
    active: str | None = None  # digest
    signature: str | None = None  # sha256 of the active version's model.sig
    about: str | None = None  # what the active version is: family/model, product
    previous: str | None = None
    waiting: str | None = None  # the version that comes into force when the line stops
    shadow: str | None = None  # the version that judges beside the active one
    failed: dict[str, str] = {}  # versions that went back from a probation here, and why
    last: tuple[StepSaid, ...] = ()  # the newest steps, the newest last


class BoxStatus(_Said):
    """The whole box."""

    schema_version: Literal[1] = 1
    mekiki: str  # its version
    at: AwareDatetime  # the clock of the box
    state: str  # the folder of journal, evidence and reviews
    free_bytes: int  # on the disk of that folder
    stores: tuple[StoreStatus, ...]
    cameras: dict[str, LastVerdict | None]
