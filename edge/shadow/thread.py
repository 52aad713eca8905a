"""Brings frames to a store's candidate, and compares what it says. Thread `shadow`; `offer` is called on `publish`.

The active model comes first, always: a frame is offered after its verdict has left, waits until no part does, and one
that finds another waiting is counted as dropped. Where the device cannot be shared by priority, as a GPU, a frame is
only taken where the deadline has room for both.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from edge.evidence import Beside, Evidence, step_back
from edge.metrics import Metrics
from edge.parts import GUARD_S, Judged
from edge.probation import CAMERAS, LATE
from edge.shadow.messages import Setup
from edge.shadow.process import ShadowProcess
from edge.shadow.records import Dropped, Records
from models.errors import MekikiError, ModelError
from models.health import Health
from models.prediction import Image, Prediction
from models.store import Store
from models.verdict import Verdict

_LOOK_S = 0.5
_POLL_S = 0.005  # between two looks whether the line leaves time
_SILENT_S = 600.0  # a candidate that takes so long for a frame hangs, or gets nothing of the processor
_FLUSH_S = 2.0
_NOBODYS_DOING: Final = (*LATE, *CAMERAS)  # of these parts the active model said nothing
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class Line(Protocol):
    """What a shadow asks of the engine."""

    @property
    def is_idle(self) -> bool:
        """Whether no part waits or is judged."""

    def expected_s(self, camera: str) -> float:
        """How long an inference of its active model takes."""


@dataclass(frozen=True, slots=True)
class _Frame:
    verdict: Verdict
    image: Image  # a copy of our own
    prediction: Prediction | None
    health: Health | None


class Shadow:
    """The candidate of one store, if it has one; follows its record as `swap` does."""

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        store: Store,
        setup: Callable[[str], Setup],
        line: Line,
        records: Records,
        evidence: Evidence,
        metrics: Metrics,
        stop: threading.Event,
    ) -> None:
        self._store, self._setup, self._line, self._records = store, setup, line, records
        self._evidence, self._metrics, self._stop = evidence, metrics, stop
        self._stamp = 0  # of the store's record when it was last read
        self._digest: str | None = None
        self._process: ShadowProcess | None = None
        self._expected_s: float | None = None  # None until it is ready
        self._changed = threading.Condition()
        self._waiting: _Frame | None = None
        self._at_work = False
        self._taken: Counter[str] = Counter()  # by camera
        self._dropped: Counter[Dropped] = Counter()  # not yet in the records
        self._flushed_s = 0.0

    def offer(self, judged: Judged) -> None:
        """A frame whose verdict has left. Never waits, never raises; the image is copied where it is taken."""
        verdict, image = judged.verdict, judged.grab.image
        if self._expected_s is None or image is None or verdict.reason in _NOBODYS_DOING:
            return  # not ready, or nothing to compare
        if not self._has_room(verdict, self._expected_s):
            self._drop(verdict, "no_room")
            return
        with self._changed:
            held, why = self._waiting, "shadow" if self._at_work else "line"
            lost = verdict if held is None else held.verdict
            # Cameras in turn, or one that is triggered first would be the only one that is looked at.
            if held is None or self._taken[verdict.camera] < self._taken[lost.camera]:
                checkup = judged.grab.checkup
                health = None if checkup is None else checkup.health
                self._waiting = _Frame(verdict, image.copy(), judged.prediction, health)
                self._changed.notify()
            else:
                lost = verdict
        if held is not None:
            self._drop(lost, why)

    def run(self) -> None:
        """The body of the thread, until the stop event."""
        step_back()
        try:
            while not self._stop.is_set():
                try:
                    self._step()
                except ModelError as error:
                    self._fail(str(error))
        finally:
            self._close()
            self._flush()
            self._records.close()

    def _step(self) -> None:
        self._follow()
        if time.monotonic() - self._flushed_s > _FLUSH_S:
            self._flush()
        if self._process is None:
            self._stop.wait(_LOOK_S)
        elif self._expected_s is None:
            self._become_ready(self._process)
        elif (frame := self._next()) is not None:
            self._judge(self._process, frame)

    def _follow(self) -> None:
        """Reads the store's record if it changed, and follows it."""
        if (stamp := self._store.record.stamp) == self._stamp:
            return
        self._stamp = stamp
        try:
            wanted = self._store.state().shadow
        except (MekikiError, OSError) as error:
            _log.warning("the shadow stays as it is: %s", error)
            return
        if wanted != self._digest:
            self._close()
            self._digest = wanted
            self._process = None if wanted is None else ShadowProcess(self._setup(wanted))

    def _become_ready(self, process: ShadowProcess) -> None:
        if (ready := process.ready(_LOOK_S)) is not None:
            self._expected_s = ready.expected_s
            self._metrics.shadow_up(str(self._digest), judges=True)
            _log.info("candidate %s judges beside the active model", str(self._digest)[:12])

    def _next(self) -> _Frame | None:
        """The frame that waits, as soon as the line leaves time for it."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting is not None, _LOOK_S):
                return None
        for _ in range(int(_LOOK_S / _POLL_S)):
            if self._line.is_idle:
                with self._changed:
                    frame, self._waiting, self._at_work = self._waiting, None, True
                return frame
            if self._stop.wait(_POLL_S):
                return None
        return None

    def _judge(self, process: ShadowProcess, frame: _Frame) -> None:
        try:
            self._taken[frame.verdict.camera] += 1
            process.ask(frame.verdict, frame.image, frame.health)
            if (candidate := self._waited(process, process.answer)) is not None:
                self._compare(process, frame, candidate)
        finally:
            self._at_work = False

    def _compare(self, process: ShadowProcess, frame: _Frame, candidate: Verdict) -> None:
        self._metrics.shadow_verdict(frame.verdict, candidate)
        self._records.add(frame.verdict, candidate)
        if frame.verdict.outcome != candidate.outcome:
            process.draw(frame.prediction)
            if (pictures := self._waited(process, process.pictures)) is not None:
                drawn = {".active.jpg": pictures.active, ".shadow.jpg": pictures.candidate}
                self._evidence.offer_beside(frame.verdict, Beside(candidate, pictures.frame, drawn))

    def _waited(self, process: ShadowProcess, answer: Callable[[float], _T | None]) -> _T | None:
        """What it answers; None when it is wanted no more."""
        until_s = time.monotonic() + _SILENT_S
        while (answered := answer(_LOOK_S)) is None:
            self._follow()
            if self._stop.is_set() or self._process is not process:
                return None
            if time.monotonic() > until_s:
                raise ModelError(f"has not answered for {_SILENT_S:g} s: it hangs, or the line leaves no time for it")
        return answered

    def _has_room(self, verdict: Verdict, expected_s: float) -> bool:
        """A processor goes to who has the right of way at once; another device only when it is done."""
        if verdict.device is None or verdict.device.startswith("CPU"):
            return True
        both_s = expected_s + self._line.expected_s(verdict.camera)
        return verdict.deadline_s is not None and both_s + GUARD_S < verdict.deadline_s

    def _drop(self, verdict: Verdict, why: str) -> None:
        self._metrics.shadow_dropped(verdict.camera, why)
        if (digest := self._digest) is not None:
            with self._changed:
                self._dropped[Dropped(str(verdict.bundle), digest, verdict.camera, why)] += 1

    def _flush(self) -> None:
        with self._changed:
            dropped, self._dropped = self._dropped, Counter()
        self._flushed_s = time.monotonic()
        if dropped:
            self._records.add_dropped(dropped)

    def _fail(self, why: str) -> None:
        """The line notices nothing; the store's history says it, and nothing is tried again until somebody asks."""
        digest = str(self._digest)
        _log.error("candidate %s: %s; it judges no more, ask again by `mekiki-edge model shadow`", digest[:12], why)
        self._close()
        self._digest = None
        try:
            self._store.end_shadow(digest, " ".join(why.split()))
        except (MekikiError, OSError) as error:
            _log.warning("%s: %s", self._store.root, error)

    def _close(self) -> None:
        process, self._process, self._expected_s = self._process, None, None
        with self._changed:
            self._waiting = None
        if process is not None:
            self._metrics.shadow_up(str(self._digest), judges=False)
            process.close()
