"""A lane: one thread that runs the model on one frame at a time. Threads `infer-0`, `infer-1`, ...

The engine stays free meanwhile: it takes frames, watches deadlines and sees a device that hangs.
"""

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge.model import Model
from edge.parts import Part
from edge.watchdog import Done
from models.errors import ModelError
from models.prediction import Image, Prediction


@dataclass(frozen=True, slots=True)
class Job:
    """One frame and the model that judges it. It keeps that model alive until the result is there."""

    part: Part
    model: Model
    image: Image


Result = Prediction | ModelError


class Lane:
    """Takes a job when it has none. `start` and `stop` are the engine's; `run` is the lane's own thread."""

    def __init__(self, number: int, done: Callable[["Lane", Job, Result], None]) -> None:
        self.number, self.name = number, f"infer-{number}"
        self.job: Job | None = None  # what it works on, as the engine knows it
        self.since_ns = 0  # time.monotonic_ns() of its start
        self._done = done
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()

    def start(self, job: Job) -> None:
        """Begins with a frame."""
        self.job, self.since_ns = job, time.monotonic_ns()
        self._jobs.put(job)

    def done(self) -> Done:
        """As the watchdog looks at it: each job has its own start."""
        return Done(self.since_ns, self.job is None)

    def stop(self) -> None:
        """Ends the thread, after the frame it works on."""
        self._jobs.put(None)

    def run(self) -> None:
        """The body of the thread. The result is a copy: the device may go on with the next frame."""
        while (job := self._jobs.get()) is not None:
            self._done(self, job, _result(job, self.number))
            del job  # the old model of a swap must not live on here


def _result(job: Job, number: int) -> Result:
    try:
        return job.model.runners[number].predict(job.image)
    except ModelError as error:
        return error
