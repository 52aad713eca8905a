"""The heartbeat: the box says that it is alive, and how far it has come. Wire format, as the verdict."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class CameraBeat(BaseModel):
    """One camera of the box."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    seq: int  # of the last verdict published in this epoch, -1 before the first: a subscriber that has less lost some
    up: bool  # whether it delivers pictures
    finished: bool = False  # a finite camera at its end
    bundle: str  # digest of the model in force for it


class Heartbeat(BaseModel):
    """Sent on the bus every `interval_s`, by the thread that publishes verdicts. Readers ignore unknown keys."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = 1
    epoch: str
    sent_at_ns: int  # wall clock, nanoseconds since 1970
    interval_s: float  # the next one comes after so long; no heartbeat for several of these is an alarm
    cameras: dict[str, CameraBeat]
    ending: bool = False  # the last one of a daemon that stops in order
