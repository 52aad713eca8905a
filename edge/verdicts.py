"""The moment at which a part gets its one verdict, and the one at which that leaves. Within the engine's turns only."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from edge.cameras.frame import Grab
from edge.inspector import Doubt, Inspector
from edge.lane import Job, Result
from edge.line import Line
from edge.model import Model
from edge.parts import Judged, Part
from edge.schedule import Schedule
from models.errors import ModelError


class Outlet(Protocol):
    """Where verdicts go: the publisher."""

    def put(self, judged: Judged) -> None:
        """Publishes the verdict, keeps its evidence, and releases its slot."""

    def put_late(self, judged: Judged) -> None:
        """Keeps the evidence of a verdict that is out, and releases its slot."""


@dataclass(eq=False, slots=True)
class Verdicts:
    """Given by the device, or because it is too late; out per camera in order."""

    inspector: Inspector
    lines: Mapping[str, Line]
    models: Mapping[str, Model]  # in force now, by camera
    schedule: Schedule
    outlet: Outlet
    given_up: int = field(init=False, default=0)  # parts

    def give(self, job: Job, result: Result) -> None:
        """What the device said of a part, as soon as the checkup of its picture is there too."""
        if job.part.judged is None and self.inspector.waits_for_checkup(job.part, job.model):
            job.part.finish = lambda: self._give(job, result)
        else:
            self._give(job, result)

    def give_up(self, part: Part, doubt: Doubt) -> None:
        """`unknown`, now. A lane that still reads the picture keeps it."""
        self.given_up += 1
        self.lines[part.camera].give_up(part)
        judged = self.inspector.unknown(part, self.models[part.camera], doubt)
        if part.started_ns is not None and part.finish is None:
            judged = Judged(judged.verdict, replace(judged.grab, image=None, release=_nothing))
        part.judged = judged

    def give_up_due(self, now_ns: int) -> None:
        """Of every part whose last call has come."""
        for line in self.lines.values():
            if (call_ns := line.last_call_ns()) is None or now_ns < call_ns:
                continue
            line.admit_newest()
            for part in line.due(now_ns):
                self.give_up(part, self.schedule.late(part, "was not judged in time"))

    def abandon(self, doubt: Doubt) -> None:
        """Of all parts, and no more come."""
        for line in self.lines.values():
            line.admit_newest()
            line.finished = True
            for part in line.undecided():
                self.give_up(part, doubt)

    def flush(self) -> None:
        """Out with those whose turn it is."""
        for line in self.lines.values():
            for judged in line.ready():
                self.outlet.put(judged)

    def _give(self, job: Job, result: Result) -> None:
        part, prediction = job.part, None if isinstance(result, ModelError) else result
        part.finish = None
        if part.judged is not None:  # its verdict is out: only the picture is left
            self.outlet.put_late(Judged(part.judged.verdict, part.grab or Grab.missing(part.asked_ns), prediction))
        elif part.last_call_ns is not None and time.monotonic_ns() >= part.last_call_ns:
            late = self.schedule.late(part, "was judged too late")
            part.judged = replace(self.inspector.unknown(part, job.model, late), prediction=prediction)
        else:
            part.judged = self.inspector.judged(part, job.model, result)


def _nothing() -> None:
    """The lane gives the slot back."""
