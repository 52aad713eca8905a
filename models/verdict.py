"""The verdict: what the box says about a part. This is the wire format that a PLC gateway reads."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from models.base import Frozen

Outcome = Literal["ok", "ng", "unknown"]
Reason = Literal[
    "defect",        # ng: the score reached the threshold
    # all that follow: unknown
    "not_finite",    # the score was NaN or infinite
    "review",        # it lay below the threshold, too near for `ok`: a person looks
    "camera_fault",  # the camera gave no picture
    "bad_frame",     # a picture came that is not a picture the model can take
    "stale_frame",   # the camera repeated a picture that was judged before
    "too_dark",      # darker than any picture that the model was trained on
    "too_bright",    # brighter
    "blurred",       # less sharp
    "shifted",       # the part lies where none lay
    "not_found",     # no part was found in the picture, or too little of it
    "model_error",   # inference failed
    "deadline",      # it could not be judged in time
    "overload",      # a triggered part for which no place was left in the queue
]  # fmt: skip


class Region(Frozen):
    """Where the defect is: a box in frame pixels, and the highest score inside it."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int
    score: float
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Stages:
    """Seconds that a frame spent in each stage between capture and verdict.

    What is left of `total_s` went into handing the frame from thread to thread.
    """

    read_s: float  # from capture until the picture lay in memory
    queue_s: float  # from there until inference began
    infer_s: float  # in the device; 0 when it was not asked
    decode_s: float  # from the device's numbers to score and regions
    total_s: float
    find_s: float = 0.0  # before the device: finding the part and laying it upright, where the model wants that


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
    review_at_or_above: float | None = None  # from here up to the threshold it is `review`; null: nowhere
    regions: tuple[Region, ...] = ()
    bundle: str | None  # digest of the bundle that judged
    device: str | None
    precision: str | None
    captured_at_ns: int  # wall clock at capture, nanoseconds since 1970
    captured_ns: int  # monotonic clock of this box at capture, nanoseconds
    stages: Stages
    deadline_s: float | None = None
