"""The verdict: what the box says about a part. This is the wire format that a PLC gateway reads."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from models.base import Frozen

Outcome = Literal["ok", "ng", "unknown"]
Reason = Literal[
    "defect",        # ng: the score reached the threshold
    "not_finite",    # unknown: the score was NaN or infinite
    "camera_fault",  # unknown: the camera gave no picture
    "bad_frame",     # unknown: a picture came that is not a picture the model can take
    "model_error",   # unknown: inference failed
]  # fmt: skip


class Region(Frozen):
    """Where the defect is: a box in frame pixels, and the highest score inside it."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int
    score: float
    label: str | None = None


class Stages(Frozen):
    """Seconds that a frame spent in each stage between capture and verdict."""

    queue_s: float
    infer_s: float
    decode_s: float
    total_s: float


class Verdict(BaseModel):
    """One part, one verdict. `(epoch, camera, seq)` names it and has no holes.

    Readers ignore keys that they do not know, so fields may be added within a schema.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = 1
    epoch: str  # one daemon start, UTC; later starts sort after earlier ones
    camera: str
    seq: int  # per camera and epoch, from 0
    part_id: str | None = None
    source: str | None = None  # which picture: a file name for folder cameras, else null
    outcome: Outcome
    reason: Reason | None  # null exactly when the outcome is `ok`
    detail: str | None = None  # one line for people when the outcome is `unknown`
    score: float | None  # null when there is none; higher is worse
    threshold: float | None
    regions: tuple[Region, ...] = ()
    bundle: str | None  # digest of the bundle that judged
    device: str | None
    precision: str | None
    captured_at_ns: int  # wall clock at capture, nanoseconds since 1970
    captured_ns: int  # monotonic clock of this box at capture, nanoseconds
    stages: Stages
    deadline_s: float | None = None
