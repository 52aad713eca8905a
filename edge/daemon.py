"""The daemon: its threads, their start and their end.

    main              starts everything, waits for a signal or a death, stops everything
    capture-NAME      one per camera: reads it into the inbox
    inspect           inbox -> verdict -> bus and metrics; the only thread that runs the model
    metrics           answers Prometheus

At a stop the cameras end first, then what waits in the inbox is judged and published, then the bus
is emptied. All of it takes at most STOP_DEADLINE_S.
"""

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from types import FrameType

from prometheus_client import CollectorRegistry

from edge.bus import Bus
from edge.cameras import Camera
from edge.capture import Capture
from edge.config import Settings
from edge.inbox import Inbox
from edge.inspector import Inspector, new_epoch
from edge.metrics import Endpoint, Metrics
from edge.startup import load_bundle, open_cameras, warm_up
from edge.worker import Worker, died
from models.errors import MekikiError
from models.golden import check_golden
from models.runner import Runner

STOP_DEADLINE_S = 10.0
_CAPTURES_S, _INSPECT_S = 4.0, 4.0  # shares of the deadline; the bus has its own 2 s
_log = logging.getLogger(__name__)


class Signals:
    """Whether SIGTERM or SIGINT came. The handler sets one attribute: a lock there could deadlock."""

    def __init__(self) -> None:
        self.came: str | None = None

    def note(self, number: int, _: FrameType | None) -> None:
        """The handler."""
        self.came = signal.Signals(number).name

    @contextlib.contextmanager
    def caught(self) -> Iterator["Signals"]:
        """Catches both signals inside the block."""
        before = {number: signal.signal(number, self.note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Daemon:
    """Everything that is open while the daemon runs. `start` makes it, `run` uses it up."""

    def __init__(self, settings: Settings, signals: Signals, stack: contextlib.ExitStack) -> None:
        """Verifies, compiles, opens. Raises MekikiError; what `stack` holds by then closes what was opened."""
        self._settings, self._signals = settings, signals
        self._captures: list[Worker] = []
        self.epoch = new_epoch()
        bundle = load_bundle(settings)
        runner = Runner.of(bundle, settings.device)
        check_golden(bundle, runner)
        cameras = open_cameras(settings.camera)
        stack.callback(self._close_unstarted, cameras)
        warm_up(runner, cameras.values())
        self.metrics = Metrics(CollectorRegistry(), cameras)
        self.metrics.model(bundle, runner.device, runner.precision)
        self.metrics.epoch(self.epoch)
        endpoint = Endpoint(settings.metrics, self.metrics.registry)
        stack.callback(endpoint.close)
        self._bus = Bus(settings.bus.bind)
        stack.callback(self._bus.close)
        self._inspector = Inspector(bundle, runner, self.epoch)
        self._inbox = Inbox(cameras)
        self._stop, self._ended = threading.Event(), threading.Event()
        self._captures = [
            Worker(capture.name, capture.run, self._ended)
            for config in settings.camera
            for capture in [Capture(config, cameras[config.name], self._inbox, self.metrics, self._stop)]
        ]
        self._inspect = Worker("inspect", self._judge_all, self._ended)
        _log.info("epoch %s: bundle %s on %s at %s", self.epoch, bundle.digest[:12], runner.device, runner.precision)

    def run(self) -> None:
        """Until a signal, or until every camera has finished. Raises MekikiError when a thread died or hangs."""
        self._await_subscriber()
        if self._signals.came is None:
            for worker in (self._inspect, *self._captures):
                worker.start()
            _log.info("running: %s", ", ".join(worker.name for worker in self._captures))
            self._watch()
            self._end()
        _log.info("stopped: %s", self._signals.came or "all cameras have finished")

    def _close_unstarted(self, cameras: Mapping[str, Camera]) -> None:
        """Once started, a camera belongs to its thread; releasing it here while it hangs could crash."""
        if not any(worker.ident for worker in self._captures):
            for camera in cameras.values():
                camera.close()

    def _await_subscriber(self) -> None:
        wait_s = self._settings.bus.wait_for_subscriber_s
        if wait_s and not self._bus.wait_for_subscriber(wait_s, lambda: self._signals.came is not None):
            _log.warning("no subscriber within %g s; starting without one", wait_s)

    def _watch(self) -> None:
        while self._signals.came is None and self._inspect.is_alive() and not died(self._captures):
            # Short, because a signal handler may not wake it; the event also comes when one camera finishes.
            self._ended.wait(0.1)
            self._ended.clear()

    def _end(self) -> None:
        self._stop.set()
        if not self._inspect.is_alive():
            self._inbox.abandon()
        _join(self._captures, _CAPTURES_S)
        for config in self._settings.camera:  # one that hangs must not keep the others' frames from a verdict
            self._inbox.finish(config.name)
        _join([self._inspect], _INSPECT_S)
        workers = [self._inspect, *self._captures]
        if dead := died(workers):
            what = f"{type(dead.error).__name__}: {dead.error}"
            raise MekikiError(f"thread {dead.name} died ({what}); stopped, because half a daemon passes bad parts")
        if stuck := [worker.name for worker in workers if worker.is_alive()]:
            raise MekikiError(f"thread {', '.join(stuck)} did not end in time; left without it")

    def _judge_all(self) -> None:
        """The body of the `inspect` thread."""
        fits = True
        while (frame := self._inbox.take()) is not None:
            verdict = self._inspector.inspect(frame)
            sent = self._bus.publish(verdict)
            self.metrics.verdict(verdict)
            if not sent:
                self.metrics.bus_dropped()
            if sent != fits:
                fits = sent
                _log.log(*_BUS_STATE[fits])


_BUS_STATE = {
    False: (logging.ERROR, "bus: a subscriber reads too slowly, verdicts are lost; see mekiki_bus_dropped_total"),
    True: (logging.INFO, "bus: verdicts fit again"),
}


def _join(workers: list[Worker], limit_s: float) -> None:
    until_s = time.monotonic() + limit_s
    for worker in workers:
        worker.join(max(0.0, until_s - time.monotonic()))


def run_daemon(settings: Settings) -> None:
    """Starts, runs and stops. Raises MekikiError; by then everything is closed."""
    with Signals().caught() as signals, contextlib.ExitStack() as stack:
        Daemon(settings, signals, stack).run()
