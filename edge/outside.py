"""What other processes can see of the daemon: its metrics, its sockets, its files. On the main thread."""

import contextlib
from collections.abc import Callable

import zmq
from prometheus_client import CollectorRegistry

from edge.bus import Bus
from edge.checkpoints import Checkpoints
from edge.config import Settings
from edge.epoch import next_epoch
from edge.evidence import Evidence
from edge.journal import Journal
from edge.metrics import Metrics
from edge.metrics.endpoint import Endpoint
from edge.pictures import HIGH_WATER, Pictures
from edge.replay import Replay
from edge.sockets import bind, open_context

Body = tuple[Callable[[], None], Callable[[], None]]  # of a thread, and what lets it end


class Outside:
    """Open from the constructor on; `stack` closes it."""

    def __init__(self, settings: Settings, stack: contextlib.ExitStack) -> None:
        """Raises MekikiError; what `stack` holds by then closes what was opened."""
        bus, state = settings.bus, settings.state
        self.metrics = Metrics(CollectorRegistry(), [camera.name for camera in settings.camera])
        stack.callback(Endpoint(settings.metrics, self.metrics.registry).close)
        self.context = stack.enter_context(open_context(bus))
        self.bus = Bus(self.context, bus)
        stack.callback(self.bus.close)
        self.journal = Journal(state / "journal.db", settings.journal.max_verdicts, self.metrics)
        stack.callback(self.journal.close)
        self.epoch = next_epoch(self.journal)
        self._replay = Replay(self.context, bus, self.journal, self.epoch, self.metrics)
        stack.callback(self._replay.close)
        self.pictures = None
        if bus.pictures is not None:
            socket = bind(self.context, zmq.XPUB, bus.pictures, bus, "pictures", sndhwm=HIGH_WATER)
            self.pictures = Pictures(socket, self.metrics)
        self.evidence = Evidence(state, settings.evidence, settings.review, self.metrics)
        self._measure(settings)

    def bodies(self, limit_s: float) -> dict[str, Body]:
        """Of their threads, by name. What waits of the evidence has `limit_s` to be written at the end."""
        checkpoints = Checkpoints(self.journal)
        bodies: dict[str, Body] = {
            "replay": (self._replay.run, self._replay.finish),
            "journal": (checkpoints.run, checkpoints.finish),
            "evidence": (self.evidence.run, lambda: self.evidence.finish(limit_s)),
        }
        if self.pictures is not None:
            bodies["pictures"] = (self.pictures.run, self.pictures.finish)
        return bodies

    def _measure(self, settings: Settings) -> None:
        self.metrics.disk(settings.state)
        self.metrics.epoch(self.epoch)
        for camera in settings.camera:
            if camera.deadline_s is not None:
                self.metrics.deadline(camera.name, camera.deadline_s)
