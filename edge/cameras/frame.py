"""What moves between the capture threads and the `inspect` thread."""

import time
from dataclasses import dataclass
from typing import Literal, Self

from models.prediction import Image

FaultReason = Literal["camera_fault", "bad_frame"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no picture: it becomes the reason of an `unknown` verdict."""

    reason: FaultReason
    detail: str


@dataclass(frozen=True, slots=True)
class Grab:
    """What one read of a camera gave, not yet admitted for judgement. Made on a capture thread."""

    captured_ns: int  # time.monotonic_ns() right after the grab
    captured_at_ns: int  # time.time_ns() at the same moment
    image: Image | None  # uint8 (H, W, 3), BGR; nobody writes to it; None when there is a fault
    source: str | None = None  # which picture: a file name for folder cameras
    fault: Fault | None = None

    @classmethod
    def now(cls, image: Image | None, source: str | None = None, fault: Fault | None = None) -> Self:
        """A grab that was captured at this moment."""
        return cls(time.monotonic_ns(), time.time_ns(), image, source, fault)


@dataclass(frozen=True, slots=True)
class Frame:
    """One admitted grab. Every frame gets exactly one verdict."""

    camera: str  # name in the settings, e.g. "top"
    seq: int  # per camera, from 0, without holes
    grab: Grab
    part_id: str | None = None
