"""Reads one camera through its own process, and replaces that when it fails. Runs on its `capture-NAME` thread.

A process that died is found at once; one that hangs `read_timeout_s` + 50 ms after its last sign of life;
one that repeats a picture after `read_timeout_s`, at the next picture. The next attempt comes after
`reopen_s`, which doubles from attempt to attempt up to 30 s, and starts at `reopen_s` again once the
camera has delivered for longer than `read_timeout_s`.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from edge.camera_config import CameraConfig
from edge.cameras import is_live
from edge.cameras.frame import Fault, Grab
from edge.cameras.messages import Ended, Measured, Opened, Picture
from edge.cameras.presence import MAX_PARTS
from edge.cameras.process import CameraProcess
from edge.cameras.ring import Field
from edge.grabs import grab_of
from edge.metrics import Metrics
from edge.watchdog import Beat
from models.errors import CameraError
from models.health import Health

POLL_S = 0.05
_LONGEST_PAUSE_S = 30.0
_OWN_SLOTS = 3  # in work in the process: the picture before, the one being decoded, one to spare
_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Who takes the pictures. Called on the capture thread; none of these may wait for long."""

    def arrived(self, camera: str, grab: Grab) -> None:
        """A picture or a fault. The sink calls `grab.release()` when it is done with it, from any thread."""

    def lost(self, camera: str, detail: str) -> None:
        """The camera is down: wants that are open are not answered, nor those until `restored`."""

    def measured(self, camera: str, grab: Grab) -> None:
        """The checkup of a picture that arrived is done."""

    def restored(self, camera: str) -> None:
        """It delivers again."""

    def finished(self, camera: str) -> None:
        """Nothing more comes; wants that are open are not answered."""


class Capture:
    """One camera, from `open` to `close`.

    `slots` is how many grabs the sink may hold before it must release one; a finite camera then waits,
    a live one leaves pictures undecoded.
    """

    def __init__(self, config: CameraConfig, sink: Sink, metrics: Metrics, stop: threading.Event, slots: int) -> None:
        self.name, self.config, self.live = f"capture-{config.name}", config, is_live(config)
        self._sink, self._metrics, self._stop = sink, metrics, stop
        self._slots = slots + _OWN_SLOTS + (MAX_PARTS if config.trigger == "presence" else 0)
        self._process: CameraProcess | None = None
        self._using = threading.Lock()  # replacing `_process` against who asks it from another thread
        self._closed = False
        self._up, self._up_ns = False, 0
        self._attempts = 0  # that failed in a row
        self._skip = 0  # pictures of a finite camera that are done
        self._frozen: str | None = None
        self._undecoded = 0
        self._unmeasured: Grab | None = None
        self.beat = Beat()

    def open(self, stopping: Callable[[], bool] = lambda: False) -> tuple[int, int] | None:
        """Starts the process and waits until the camera is open: (height, width) of its frames when that is known.

        On the main thread, before `run`. Raises CameraError, and leaves nothing behind, when it does not open,
        or when `stopping` says that nobody waits for it any more; that is asked every POLL_S.
        """
        try:
            size_px = self._opened(self._start(), stopping)
        except CameraError:
            self.close()
            raise
        self._set_up(True)
        return size_px

    def run(self) -> None:
        """Until the stop event, or the end of a finite camera."""
        try:
            while not self._stop.is_set() and not self._closed and not self._finished():
                pass
        finally:
            self.close()
            self._measured(None)  # a part would wait for it until the engine stops
            self.beat.is_idle = True
            self._sink.finished(self.config.name)

    def want(self) -> None:
        """One more picture, captured after this call; for trigger = "external". Any thread.

        Nothing comes of it while the camera is down.
        """
        with self._using:
            if self._process is not None and self._up:
                ring = self._process.ring
                ring.want(time.monotonic_ns())
                if ring[Field.WAITING]:
                    self._process.wake()

    def wanted_from(self, at_ns: int) -> None:
        """Pictures that are captured long before `at_ns` (monotonic) need not be decoded: a live camera whose
        every picture is a part gives the last one before that moment and those after it. Any thread."""
        with self._using:
            if self._process is not None:
                self._process.ring[Field.WANTED_FROM_NS] = at_ns

    def close(self) -> None:
        """Ends the process. Pictures that are still held stay readable. Any thread; may be called twice."""
        with self._using:
            self._closed = True
            process, self._process = self._process, None
        if process is not None:
            process.close()

    @property
    def pid(self) -> int | None:
        """The camera's process, None while there is none."""
        with self._using:
            return None if self._process is None else self._process.pid

    def _finished(self) -> bool:
        """Reads until the end of a finite camera (True) or the stop; after a failure, until the next attempt."""
        try:
            process = self._process or self._reopened()
            return process is not None and self._read(process)
        except CameraError as error:
            if self._closed:  # by another thread: that the process ended is no fault
                return True
            self._lost(str(error))
            with self.beat.resting():
                return self._stop.wait(self._pause_s())

    def _start(self) -> CameraProcess:
        process = CameraProcess(self.config, self._slots, self._skip, self._frozen)
        self._undecoded = 0
        with self._using:
            if not self._closed:
                self._process = process
                return process
        process.close(grace_s=0)
        raise CameraError(f"camera {self.config.name}: was closed while it opened")

    def _opened(self, process: CameraProcess, stopping: Callable[[], bool]) -> tuple[int, int] | None:
        """Waits for it; None as well when a stop comes first."""
        while not self._stop.is_set():
            self.beat()
            if stopping():
                raise CameraError(f"camera {self.config.name}: stopped while it opened")
            match process.receive(POLL_S):
                case Opened() as said:
                    return said.size_px
                case None:
                    pass
                case said:
                    raise CameraError(
                        f"camera {self.config.name}: its process sent {type(said).__name__} before it opened"
                    )
        return None

    def _reopened(self) -> CameraProcess | None:
        process = self._start()
        self._opened(process, lambda: False)
        if not self.live and not self._stop.is_set():  # it is read when somebody asks, which nobody would
            self._restored()
        return process

    def _read(self, process: CameraProcess) -> bool:
        """True at the end of a finite camera, False at a stop. Raises CameraError when it fails."""
        process.ring[Field.RUNNING] = 1
        process.wake()
        while not self._stop.is_set():
            self.beat()
            said = process.receive(POLL_S)
            if not self._up and process.ring[Field.DONE] > self._skip:
                self._restored()
            match said:
                case Picture():
                    if not self._up:
                        self._restored()
                    self._arrived(process, said)
                case Measured():
                    self._measured(said.health)
                case Ended():
                    _log.info("camera %s: finished", self.config.name)
                    return True
                case _:
                    pass
            self._count(process)  # last: the picture is on its way
        self._take_measured(process)
        return False

    def _take_measured(self, process: CameraProcess) -> None:
        """At a stop, what the process still measures of the last picture: its part needs no doubt."""
        with contextlib.suppress(CameraError):
            if self._unmeasured is not None and isinstance(said := process.receive(POLL_S), Measured):
                self._measured(said.health)

    def _arrived(self, process: CameraProcess, said: Picture) -> None:
        self._measured(None)  # of the picture before, where the process left it out: that part waits for it
        if not self.live:
            self._attempts = 0
        grab = grab_of(process, said, self.config, live=self.live)
        self._unmeasured = grab if grab.checkup is not None else None
        self._sink.arrived(self.config.name, grab)
        if said.fault is None:
            self._metrics.seen(self.config.name, said.captured_at_ns)

    def _measured(self, health: Health | None) -> None:
        """Of the picture before; None when it never will be."""
        grab, self._unmeasured = self._unmeasured, None
        if grab is not None and grab.checkup is not None:
            grab.checkup.health, grab.checkup.is_done = health, True
            self._sink.measured(self.config.name, grab)

    def _lost(self, detail: str) -> None:
        """One `unknown` per failed attempt, unless who asked for pictures is told that none will come."""
        name, process = self.config.name, self._process
        was_up, was_opening = self._up, process is None or not self._up
        if was_up and time.monotonic_ns() - self._up_ns > self.config.read_timeout_s * 1e9:
            self._attempts = 0
        self._attempts += 1
        self._set_up(False)
        in_work = process is not None and self._take_over(process)
        self._metrics.fault(name)
        if was_up:
            _log.error("%s; tried again after %g s", detail, self._pause_s())
            self._sink.lost(name, detail)
        if self.config.trigger != "external" and (self.live or in_work or was_opening):
            self._sink.arrived(name, Grab.now(None, fault=Fault("camera_fault", detail)))

    def _take_over(self, process: CameraProcess) -> bool:
        """What the next process must know of this one, which is killed. True when a picture was in work."""
        with self._using:
            self._process = None
        process.close(grace_s=0)
        self._measured(None)
        self._count(process)
        self._frozen = process.frozen
        started, done = process.ring[Field.STARTED], process.ring[Field.DONE]
        if not self.live:  # a picture that kills the process is not tried again
            self._skip = max(self._skip, started)
        return started > done

    def _restored(self) -> None:
        _log.info("camera %s: delivers again", self.config.name)
        self._set_up(True)
        self._sink.restored(self.config.name)

    def _set_up(self, up: bool) -> None:
        with self._using:
            self._up = up
        self._up_ns = time.monotonic_ns()
        self._metrics.up(self.config.name, delivers=up)

    def _count(self, process: CameraProcess) -> None:
        undecoded = process.ring[Field.UNDECODED]
        self._metrics.dropped(self.config.name, "undecoded", undecoded - self._undecoded)
        self._undecoded = undecoded

    def _pause_s(self) -> float:
        first_s = self.config.reopen_s
        return max(first_s, min(_LONGEST_PAUSE_S, first_s * 2.0 ** min(self._attempts - 1, 10)))
