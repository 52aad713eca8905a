"""What a PLC says: that a part is there, and hears which verdict will be its own; that the line runs or is stopped.
Wire format."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from models.base import Frozen

PartId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Trigger(Frozen):
    """What is asked."""

    version: Literal[1] = 1
    camera: str
    part_id: PartId | None = None  # comes back in the verdict


class LineState(Frozen):
    """What the line does: told on the same socket, and answered alike. Where the box holds new models back while the
    line runs, it takes them when it is told `stopped`; after a start of the box the line counts as running."""

    version: Literal[1] = 1
    line: Literal["running", "stopped"]


class TriggerReply(BaseModel):
    """What is answered. Readers ignore unknown keys."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: Literal[1] = 1
    accepted: bool
    epoch: str | None = None
    camera: str | None = None
    seq: int | None = None  # `(epoch, camera, seq)` of the verdict to come; null when not accepted
    part_id: str | None = None
    error: str | None = None  # one line, with what to do, when not accepted
