"""What moves from the capture threads to the engine."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

from models.health import Health
from models.prediction import Image

FaultReason = Literal["camera_fault", "bad_frame", "stale_frame"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no picture: it becomes the reason of an `unknown` verdict."""

    reason: FaultReason
    detail: str


@dataclass(slots=True)
class Checkup:
    """The health of a picture. The camera's process measures it while the device is already at work."""

    health: Health | None = None  # None at the end of it: the process died before it had measured
    is_done: bool = False


def _nothing() -> None:
    """A grab without a slot has nothing to give back."""


@dataclass(frozen=True, slots=True)
class Grab:
    """What one read of a camera gave, not yet admitted for judgement. Made on a capture thread.

    `image` lies in shared memory that the camera's process fills again after `release`: whoever holds
    the grab calls it exactly once, when nobody reads the picture any more.
    """

    captured_ns: int  # time.monotonic_ns() right after the grab
    captured_at_ns: int  # time.time_ns() at the same moment
    ready_ns: int  # time.monotonic_ns() when the picture lay decoded in memory
    image: Image | None  # uint8 (H, W, 3), BGR; nobody writes to it; None when there is a fault
    source: str | None = None  # which picture: a file name for folder cameras
    fault: Fault | None = None
    checkup: Checkup | None = None  # None where nobody measures
    repeats: int = 0  # how many pictures in a row before this one were the same, to the last bit
    release: Callable[[], None] = _nothing

    @classmethod
    def now(cls, image: Image | None, source: str | None = None, fault: Fault | None = None) -> Self:
        """A grab that was captured at this moment and holds no slot."""
        now_ns = time.monotonic_ns()
        return cls(now_ns, time.time_ns(), now_ns, image, source, fault)

    @classmethod
    def missing(cls, asked_ns: int) -> Self:
        """The picture that a part never had: its times count from when it was asked for."""
        return cls(asked_ns, time.time_ns() - (time.monotonic_ns() - asked_ns), asked_ns, None)
