"""The engine: owns every part from its admission to its verdict.

What other threads tell it happens in turns (edge/turns.py). So a model is switched between two frames because
everything happens between two frames. The `inspect` thread does what no event brings: deadlines, and the watch over
the device.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from edge.cameras.frame import Grab
from edge.garbage import Garbage
from edge.inspector import Doubt, Inspector
from edge.lane import Job, Lane, Result
from edge.line import Line
from edge.metrics import Metrics
from edge.model import Model
from edge.parts import Part
from edge.schedule import Schedule, pause_s
from edge.turns import Turns
from edge.verdicts import Outlet, Verdicts
from edge.watchdog import ROUND_S, Beat, Done, Stage
from edge.worker import HangError
from models.errors import ModelError

_LOOK_S = 0.5  # at most so long without a look at the lanes


class Cameras(Protocol):
    """What the engine asks of the captures."""

    def want(self, camera: str) -> None:
        """One more picture, captured after this call."""

    def wanted_from(self, camera: str, at_ns: int) -> None:
        """Pictures captured before this moment need not be decoded."""


@dataclass(eq=False)
class Engine:
    """Parts in, verdicts out; each exactly once, per camera in order."""

    inspector: Inspector
    lines: Mapping[str, Line]
    models: dict[str, Model]  # in force now, by camera
    outlet: Outlet
    metrics: Metrics
    hang_s: float
    cameras: Cameras
    lanes: list[Lane] = field(init=False)
    _schedule: Schedule = field(init=False)
    _verdicts: Verdicts = field(init=False)
    _turns: Turns = field(init=False)
    _garbage: Garbage = field(init=False, default_factory=Garbage)
    _stop_ns: int | None = field(init=False, default=None)
    _counted: dict[str, int] = field(init=False, default_factory=dict)  # what the metrics say
    _is_over: bool = field(init=False, default=False)
    beat: Beat = field(init=False, default_factory=Beat)
    _begun: int = field(init=False, default=0)  # parts that a lane took

    def __post_init__(self) -> None:
        count = len(next(iter(self.models.values())).runners)
        self.lanes = [Lane(number, self._returned) for number in range(count)]
        self._schedule = Schedule(self.lines, self.models, self.lanes)
        self._verdicts = Verdicts(self.inspector, self.lines, self.models, self._schedule, self.outlet)
        self._turns = Turns(self._settle)

    # From any thread.

    def arrived(self, camera: str, grab: Grab) -> None:
        """A picture, or why there is none."""
        self._turns.post(partial(self._picture, self.lines[camera], grab))

    def lost(self, camera: str, detail: str) -> None:
        """A camera is down."""
        self._turns.post(partial(self._down, self.lines[camera], detail))

    def measured(self, camera: str, grab: Grab) -> None:
        """The checkup of a picture is done."""
        self._turns.post(partial(self._checked, self.lines[camera], grab))

    def restored(self, camera: str) -> None:
        """It delivers again."""
        self._turns.post(partial(setattr, self.lines[camera], "up", True))

    def finished(self, camera: str) -> None:
        """Nothing more comes from it."""
        self._turns.post(partial(self._end_line, self.lines[camera]))

    def trigger(self, camera: str, part_id: str | None) -> Future[int]:
        """A part is there. The future gives its seq."""
        seq: Future[int] = Future()
        self._turns.post(partial(self._trigger, self.lines[camera], part_id, seq))
        return seq

    def swap(self, cameras: Sequence[str], model: Model) -> threading.Event:
        """Puts a prepared model in force for these cameras, between two frames; the event says when."""
        done = threading.Event()
        self._turns.post(partial(self._swap, cameras, model, done))
        return done

    @property
    def is_idle(self) -> bool:
        """Whether no part waits or is judged, as far as another thread can know."""
        return not any(lane.job for lane in self.lanes) and not any(line.waiting for line in self.lines.values())

    def expected_s(self, camera: str) -> float:
        """How long an inference of this camera's model takes."""
        return self.models[camera].pace.expected_s

    def stop_by(self, at_ns: int) -> None:
        """What has no verdict at this moment becomes `unknown`, and the thread ends."""
        self._turns.post(partial(setattr, self, "_stop_ns", at_ns))

    # From the main thread, which watches.

    def stages(self) -> list[Stage]:
        """What must move. An inference has its own limit, and `run`, which watches it, is the first to leave."""
        lanes = [Stage(lane.name, lane.done, self.hang_s + ROUND_S) for lane in self.lanes]
        return [Stage("inspect", self.beat.done), Stage("the queues", self._queues, self.hang_s), *lanes]

    def status(self) -> str:
        """In words: which cameras deliver, and which models judge."""
        down = [name for name, line in self.lines.items() if not line.up and not line.finished]
        models = sorted({model.bundle.digest[:12] for model in self.models.values()})
        faults = f", no picture from {', '.join(down)}" if down else ""
        deliver = f"{len(self.lines) - len(down)} of {len(self.lines)} cameras deliver{faults}"
        return f"{deliver}; judged by {', '.join(models)}"

    def _queues(self) -> Done:
        """Whether parts that wait for a lane get on."""
        return Done(self._begun + self._verdicts.given_up, not any(line.waiting for line in self.lines.values()))

    # The inspect thread.

    def run(self) -> None:
        """The body of the thread: until all cameras have finished and all verdicts are out.

        Raises HangError when a device does not return; by then every open part has its verdict.
        """
        try:
            while not self._is_over:
                self.beat()
                self._turns.come_round(self._watch_lanes)
        finally:
            for lane in self.lanes:
                lane.stop()

    # Any thread, in turn.

    def _settle(self) -> int:
        """After every event. When to look again though none comes."""
        self._verdicts.flush()  # what is made goes out before anything else is looked at
        self._dispatch()
        self._expire()
        self._verdicts.flush()
        self._count_waiting()
        self._is_over = all(line.is_over for line in self.lines.values())
        self._garbage.collect_when_due(idle=not any(lane.job for lane in self.lanes))
        return 0 if self._is_over else self._next_look_ns()

    def _next_look_ns(self) -> int:
        calls = (line.last_call_ns() for line in self.lines.values())
        now_ns = time.monotonic_ns()
        return now_ns + int(min(pause_s(now_ns, *calls, self._stop_ns), _LOOK_S) * 1e9)

    def _picture(self, line: Line, grab: Grab) -> None:
        if line.finished:  # it was given up before its capture noticed
            grab.release()
            return
        part, replaced = line.picture(grab)
        if replaced is not None:
            self.metrics.dropped(line.config.name, "replaced")
            replaced.release()
        if part is not None:
            self._screen(line, part)

    def _screen(self, line: Line, part: Part) -> None:
        """What is decided the moment that a part has its picture."""
        grab = part.grab
        if grab is not None and grab.fault is not None:
            self._verdicts.give_up(part, Doubt(grab.fault.reason, grab.fault.detail))
        elif self._schedule.is_hopeless(part, time.monotonic_ns()):
            self._verdicts.give_up(part, self._schedule.turned_away(part, "would have to wait too long"))
        elif line.config.trigger == "presence" and line.waiting > line.config.queue:
            self._verdicts.give_up(part, Doubt("overload", f"{line.config.queue} parts wait already"))

    def _trigger(self, line: Line, part_id: str | None, seq: Future[int]) -> None:
        if not seq.set_running_or_notify_cancel():
            return  # who asked was told no
        part, has_room = line.trigger(time.monotonic_ns(), part_id)
        seq.set_result(part.seq)
        if not has_room:
            self._verdicts.give_up(part, Doubt("overload", f"{line.config.queue} parts wait already"))
        elif not line.up or line.finished:
            line.camera_lost()
            self._verdicts.give_up(part, Doubt("camera_fault", f"camera {part.camera} is down, or at its end"))
        else:
            self.cameras.want(part.camera)

    def _down(self, line: Line, detail: str) -> None:
        line.up = False
        for part in line.camera_lost():
            self._verdicts.give_up(part, Doubt("camera_fault", detail))

    def _end_line(self, line: Line) -> None:
        line.finished = True
        for part in line.camera_lost():
            self._verdicts.give_up(part, Doubt("camera_fault", f"camera {part.camera} ended before its picture came"))

    def _swap(self, cameras: Sequence[str], model: Model, done: threading.Event) -> None:
        for camera in cameras:
            self.models[camera] = model
            runner = model.runners[0]
            self.metrics.model(camera, model.bundle, runner.device, runner.precision)
        done.set()

    def _dispatch(self) -> None:
        """Gives work to lanes that have none."""
        for lane in self.lanes:
            while lane.job is None and (part := self._schedule.take()) is not None:
                self._begin(lane, part)
        self._tell_cameras()

    def _begin(self, lane: Lane, part: Part) -> None:
        model = self.models[part.camera]
        grab = part.grab or Grab.missing(part.asked_ns)
        doubt = self.inspector.doubt_of(part, model)
        if doubt is None and self._schedule.is_too_late(part, time.monotonic_ns()):
            doubt = self._schedule.turned_away(part, "waited too long")
        if doubt is not None or grab.image is None:
            self._verdicts.give_up(part, doubt or Doubt("bad_frame", "no picture"))
            return
        part.started_ns = time.monotonic_ns()
        self._begun += 1
        lane.start(Job(part, model, grab.image))

    def _returned(self, lane: Lane, job: Job, result: Result) -> None:
        """Called by the lane's thread."""
        self._turns.post(partial(self._result, lane, job, result))

    def _result(self, lane: Lane, job: Job, result: Result) -> None:
        if not isinstance(result, ModelError):
            job.model.pace.took((time.monotonic_ns() - lane.since_ns) / 1e9)
        lane.job = None
        self._dispatch()  # the device first: what is left to do for this part takes no device
        self._verdicts.give(job, result)

    def _checked(self, line: Line, grab: Grab) -> None:
        part = line.undecided_with(grab)
        if part is not None and part.finish is not None:
            part.finish()

    def _expire(self) -> None:
        now_ns = time.monotonic_ns()
        self._verdicts.give_up_due(now_ns)
        if self._stop_ns is not None and now_ns >= self._stop_ns:
            self._verdicts.abandon(Doubt("deadline", "the daemon stopped before it was judged"))

    def _count_waiting(self) -> None:
        for name, line in self.lines.items():
            if line.waiting != self._counted.get(name):
                self._counted[name] = line.waiting
                self.metrics.waiting(name, line.waiting)

    def _tell_cameras(self) -> None:
        now_ns = time.monotonic_ns()
        for name, line in self.lines.items():
            if line.newest_wins:
                self.cameras.wanted_from(name, self._schedule.free_ns(name, now_ns))

    def _watch_lanes(self) -> None:
        now_ns = time.monotonic_ns()
        for lane in self.lanes:
            if lane.job is not None and now_ns - lane.since_ns > self.hang_s * 1e9:
                what = f"{lane.job.model.name} has not returned for {self.hang_s:g} s"
                self._verdicts.abandon(Doubt("model_error", what))
                self._verdicts.flush()
                raise HangError(f"{lane.name}: {what}; left, so that a restart gets the device back; see its driver")
