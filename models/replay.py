"""What a subscriber asks the replay socket for, and what it gets. Wire format, as the verdict.

A request is one JSON frame. The answer is one JSON frame, followed after a replay by one frame per
verdict, each the JSON exactly as it was published. Readers ignore unknown keys.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from models.verdict import Verdict


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class SnapshotRequest(_Wire):
    """Asks for the last verdict of every camera."""

    version: Literal[1]
    want: Literal["snapshot"]


class ReplayRequest(_Wire):
    """Asks for the verdicts of a camera that follow one that the subscriber has."""

    version: Literal[1]
    want: Literal["replay"]
    camera: str = Field(min_length=1, max_length=64)
    epoch: str | None = Field(default=None, max_length=64)  # null: from the oldest that is held
    after_seq: int = Field(default=-1, ge=-1, lt=2**63)  # the last one that the subscriber has; -1: none of that epoch
    limit: int = Field(default=500, ge=1)  # the box may send fewer, and says so in `more`


Request = TypeAdapter[SnapshotRequest | ReplayRequest](
    Annotated[SnapshotRequest | ReplayRequest, Field(discriminator="want")]
)


class Place(_Wire):
    """Names one verdict of a camera."""

    epoch: str
    seq: int


class Last(Place):
    """The last verdict of a camera; its epoch is an older one while the camera has none in this one."""

    verdict: Verdict


class Snapshot(_Wire):
    """The answer to `snapshot`."""

    kind: Literal["snapshot"] = "snapshot"
    version: Literal[1] = 1
    epoch: str  # of this start of the daemon
    cameras: dict[str, Last]
    oldest: dict[str, Place]  # the oldest verdict of each camera that can be replayed


class Replayed(_Wire):
    """The first frame of the answer to `replay`."""

    kind: Literal["replay"] = "replay"
    version: Literal[1] = 1
    epoch: str  # of this start of the daemon; the verdicts may be of older ones
    camera: str
    count: int  # frames that follow
    more: bool  # ask again, after the last one of these
    complete: bool  # false: verdicts between the one asked for and the first one here are held no more


class Refused(_Wire):
    """The answer to what is no request."""

    kind: Literal["error"] = "error"
    version: Literal[1] = 1
    error: str  # what was wrong, and what to do
