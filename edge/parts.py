"""A part on its way from a trigger or a picture to its one verdict. Touched by the engine only."""

from collections.abc import Callable
from dataclasses import dataclass

from edge.cameras.frame import Grab
from models.prediction import Prediction
from models.verdict import Verdict

# Before a deadline, for the journal, the bus and a busy machine.
GUARD_S = 0.01
_GUARD_SHARE = 0.2  # of a deadline so short that the guard would eat it


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict on its way out, and what it was made from.

    Whoever has it last calls `grab.release()`, once: the picture's slot goes back to the camera.
    """

    verdict: Verdict
    grab: Grab
    prediction: Prediction | None = None  # None when the model was not asked or failed


@dataclass(slots=True, eq=False)
class Part:
    """One part: admitted, not yet published. `seq` has no holes per camera and epoch."""

    camera: str
    seq: int
    asked_ns: int  # time.monotonic_ns() of the trigger; of the capture where nothing triggered
    part_id: str | None = None
    deadline_s: float | None = None  # from capture to verdict
    grab: Grab | None = None  # None while a trigger waits for its picture
    started_ns: int | None = None  # time.monotonic_ns() when a lane took it
    finish: Callable[[], None] | None = None  # set while the device's result waits for the checkup of the picture
    judged: Judged | None = None  # set once; from then on it waits only for those before it

    @property
    def last_call_ns(self) -> int | None:
        """When a part without a verdict gets `deadline`; from the trigger while no picture came."""
        return last_call_ns(self.asked_ns if self.grab is None else self.grab.captured_ns, self.deadline_s)


def last_call_ns(since_ns: int, deadline_s: float | None) -> int | None:
    """time.monotonic_ns() at which `deadline` must be said, so that it is out in time. None without a deadline."""
    if deadline_s is None:
        return None
    return since_ns + int((deadline_s - min(GUARD_S, deadline_s * _GUARD_SHARE)) * 1e9)
