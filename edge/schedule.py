"""Whose part is judged next, and which cannot be judged in time. Rules without I/O; within the engine's turns only."""

import math
from collections.abc import Mapping

from edge.inspector import Doubt
from edge.lane import Lane
from edge.line import Line
from edge.model import Model
from edge.parts import Part


class Schedule:
    """Cameras in turn: one that floods waits for itself, not for the others."""

    def __init__(self, lines: Mapping[str, Line], models: Mapping[str, Model], lanes: list[Lane]) -> None:
        self._lines, self._models, self._lanes = lines, models, lanes
        self._turn = list(lines)

    def take(self) -> Part | None:
        """The next part for a lane; its camera goes to the back."""
        for name in self._turn:
            if self._lines[name].waiting:
                self._turn.remove(name)
                self._turn.append(name)
                return self._lines[name].take()
        return None

    def is_too_late(self, part: Part, now_ns: int) -> bool:
        """Whether a part whose lane is free now would miss its deadline."""
        due_ns = part.last_call_ns
        return due_ns is not None and now_ns + self._expected_ns(part.camera) > due_ns

    def is_hopeless(self, part: Part, now_ns: int) -> bool:
        """Whether a part that has just joined its queue would miss its deadline, with all that is before it."""
        due_ns = part.last_call_ns
        if due_ns is None:
            return False
        return self.free_ns(part.camera, now_ns) + self._expected_ns(part.camera) > due_ns

    def is_hopeless_alone(self, part: Part) -> bool:
        """Whether it would miss its deadline though a lane had waited for it: what is expected is too long."""
        due_ns, grab = part.last_call_ns, part.grab
        return due_ns is not None and grab is not None and grab.ready_ns + self._expected_ns(part.camera) > due_ns

    def late(self, part: Part, why: str) -> Doubt:
        """Of a part that would miss its deadline, or has."""
        expected_s = self._models[part.camera].pace.expected_s
        return Doubt("deadline", f"{why}: deadline {part.deadline_s:g} s, an inference takes {expected_s:.3f} s")

    def turned_away(self, part: Part, why: str) -> Doubt:
        """The same by what is expected, though nobody tried."""
        doubt = self.late(part, why)
        if self.is_hopeless_alone(part):
            self._models[part.camera].pace.turned_away()
        return doubt

    def free_ns(self, camera: str, now_ns: int) -> int:
        """When a lane is expected to be free for the part that is last in this camera's queue.

        Cameras take turns: while a camera's k-th part waits, each other one gets at most k turns.
        """
        mine = max(self._lines[camera].waiting, 1)
        before = {name: min(line.waiting, mine) for name, line in self._lines.items() if name != camera}
        work_ns = sum(count * self._expected_ns(name) for name, count in before.items())
        work_ns += (mine - 1) * self._expected_ns(camera)
        busy = [lane for lane in self._lanes if lane.job is not None]
        rest_ns = min((self._rest_ns(lane, now_ns) for lane in busy), default=0)
        return now_ns + (0 if len(busy) < len(self._lanes) else rest_ns) + work_ns // len(self._lanes)

    def _expected_ns(self, camera: str) -> int:
        return int(self._models[camera].pace.expected_s * 1e9)

    def _rest_ns(self, lane: Lane, now_ns: int) -> int:
        expected_s = lane.job.model.pace.expected_s if lane.job is not None else 0.0
        return max(0, lane.since_ns + int(expected_s * 1e9) - now_ns)


def pause_s(now_ns: int, *moments_ns: int | None) -> float:
    """Seconds until the earliest of the moments; infinity when there is none."""
    return min((max(0.0, (at - now_ns) / 1e9) for at in moments_ns if at is not None), default=math.inf)
