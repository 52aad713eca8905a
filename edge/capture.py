"""Reads one camera into the inbox. Runs on that camera's `capture-NAME` thread."""

import logging
import threading
import time

from edge.cameras import Camera
from edge.cameras.frame import Fault, Grab
from edge.config import CameraConfig, OpenCVConfig
from edge.inbox import Inbox
from edge.metrics import Metrics
from models.errors import CameraError

_log = logging.getLogger(__name__)


class Capture:
    """The loop around one camera; it owns the camera from its start to its end."""

    def __init__(
        self, config: CameraConfig, camera: Camera, inbox: Inbox, metrics: Metrics, stop: threading.Event
    ) -> None:
        self.name = f"capture-{config.name}"
        self._config, self._camera, self._inbox, self._metrics, self._stop = config, camera, inbox, metrics, stop

    def run(self) -> None:
        """Until the stop event, or the end of a finite camera."""
        try:
            if self._camera.live:
                self._watch()
            else:
                self._play()
        finally:
            self._camera.close()
            self._inbox.finish(self._config.name)

    def _play(self) -> None:
        """A finite camera waits for us: nothing is dropped."""
        period_s = 1 / self._config.fps if self._config.fps else 0.0
        due_s = time.monotonic()
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            due_s = max(due_s + period_s, time.monotonic())
            grab = self._camera.read()
            if grab is None:
                _log.info("camera %s: finished", self._config.name)
                return
            self._seen(grab)
            if not self._inbox.put(self._config.name, grab):
                return

    def _watch(self) -> None:
        """A live camera does not wait: the newest frame wins, and a lost camera is opened again."""
        lost = False
        while not self._stop.is_set():
            try:
                if lost:
                    self._camera.open()
                grab = self._camera.read()
            except CameraError as error:
                self._lost(error, first=not lost)
                lost = True
                continue
            if lost:
                _log.info("camera %s: delivers again", self._config.name)
            lost = False
            if grab is None:
                return
            self._seen(grab)
            self._metrics.dropped(self._config.name, self._inbox.offer(self._config.name, grab))

    def _lost(self, error: CameraError, *, first: bool) -> None:
        """One `unknown` per failed attempt, and a pause before the next."""
        if first:
            _log.error("%s; tried again every %g s", error, self._reopen_s)
        self._metrics.fault(self._config.name)
        grab = Grab.now(None, fault=Fault("camera_fault", str(error)))
        self._metrics.dropped(self._config.name, self._inbox.offer(self._config.name, grab))
        self._camera.close()
        self._stop.wait(self._reopen_s)

    def _seen(self, grab: Grab) -> None:
        if grab.fault is None:
            self._metrics.seen(self._config.name, grab.captured_at_ns)

    @property
    def _reopen_s(self) -> float:
        return self._config.reopen_s if isinstance(self._config, OpenCVConfig) else 1.0
