"""The daemon: its threads, their start and their end.

    main              starts everything, watches that it moves, waits for a signal or a death, stops everything
    capture-NAME      one per camera: reads its process, replaces it when it fails
    trigger           parts that a PLC announces, and what it says of the line (where `Settings.listens`)
    inspect           the engine's deadlines and its watch over the device; the rest of the engine runs on
                      whichever thread has news for it
    infer-N           the lanes: each runs the model on one frame at a time
    publish           journal -> bus -> evidence, pictures, slot; heartbeats
    replay, journal   verdicts again for who missed them; checkpoints
    swap              prepares a new active version of a store
    shadow            one per store: brings frames to a candidate in its own process, and compares
    evidence, pictures, zap, metrics
    device            while cameras open: loads OpenVINO, compiles

At a stop the cameras end first, then what waits is judged and published, then the disk and the bus
get theirs. All of it takes at most STOP_DEADLINE_S.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import zmq

from edge.capture import Capture
from edge.config import Settings
from edge.drift import Drift
from edge.early import Early
from edge.engine import Engine
from edge.garbage import Garbage
from edge.hold import Hold
from edge.inspector import Inspector
from edge.line import Line
from edge.model import Model
from edge.notify import Notifier
from edge.outlet import Afterwards
from edge.outside import Outside
from edge.publisher import Publisher
from edge.relay import Relay
from edge.reload import Configurable, Reload, Reloads
from edge.shadow.thread import Shadow
from edge.signals import Signals
from edge.sockets import bind
from edge.startup import (
    StoppedError,
    count_end,
    count_start,
    load_bundles,
    load_models,
    open_cameras,
    withdraw_unfit,
)
from edge.stores import Stores
from edge.trigger import TriggerServer
from edge.watchdog import Stage, Watchdog
from edge.worker import HangError, Worker, complain, died, join
from models.bundle import Bundle
from models.heartbeat import CameraBeat, Heartbeat

STOP_DEADLINE_S = 10.0
_CAPTURES_S, _ENGINE_S, _REST_S, _CLOSE_S = 1.5, 3.0, 1.5, 2.5  # shares of the deadline; the bus lingers in the last
_SPARE_SLOTS = 6  # pictures on their way out and at the publisher
_log = logging.getLogger(__name__)


class Daemon:
    """Everything that is open while the daemon runs. The constructor makes it, `run` uses it up."""

    def __init__(
        self,
        settings: Settings,
        signals: Signals,
        stack: contextlib.ExitStack,
        reread: Callable[[], Settings] | None = None,
    ) -> None:
        """Verifies, opens, compiles. Raises MekikiError; what `stack` holds by then closes what was opened.

        `reread` reads the settings again, at a reload.
        """
        self._settings, self._signals, self._notifier = settings, signals, Notifier()
        self._reread = reread or (lambda: settings)
        self._stop, self._ended = threading.Event(), threading.Event()
        self._hold = Hold(settings.activation)
        withdraw_unfit(settings)
        bundles = load_bundles(settings)
        self._outside = Outside(settings, stack)
        self._assemble(self._open_cameras(stack, bundles))

    def _open_cameras(self, stack: contextlib.ExitStack, bundles: Mapping[Path, Bundle]) -> dict[str, Model]:
        settings, self._relay = self._settings, Relay()
        spare = _SPARE_SLOTS + (settings.inference.requests or 0)
        self._captures = [
            Capture(camera, self._relay, self._outside.metrics, self._stop, camera.queue + spare)
            for camera in settings.camera
        ]
        for capture in self._captures:
            stack.callback(capture.close)
        with Early(settings, bundles) as early:
            self._sizes = open_cameras(self._captures, lambda: self._signals.came is not None)
        count_start(settings)
        return load_models(settings, bundles, self._sizes, early.checked)

    def _assemble(self, models: dict[str, Model]) -> None:
        settings, outside = self._settings, self._outside
        self._shadow_of: dict[str, Shadow] = {}  # made when there is an engine to ask
        drift = Drift(models, settings.drift, outside.metrics)
        after = Afterwards(outside.evidence, outside.pictures, drift, self._shadow_of)
        self._publisher = Publisher(
            outside.bus, outside.journal, outside.metrics, self._beat, after, settings.bus.heartbeat_s
        )
        self._lines = {capture.config.name: Line(capture.config, live=capture.live) for capture in self._captures}
        self._engine = Engine(
            inspector=Inspector(outside.epoch),
            lines=self._lines,
            models=models,
            outlet=self._publisher,
            metrics=outside.metrics,
            hang_s=settings.inference.hang_s,
            cameras=self._relay,
        )
        self._relay.connect(self._engine, self._captures)
        for camera, model in models.items():
            runner = model.runners[0]
            outside.metrics.model(camera, model.bundle, runner.device, runner.precision)
            _log.info("epoch %s: camera %s: %s", outside.epoch, camera, model.name)
        self._make_workers()

    def _make_workers(self) -> None:
        worker = partial(Worker, ended=self._ended)
        self._inspect = worker("inspect", self._engine.run)
        self._lanes = [worker(lane.name, lane.run) for lane in self._engine.lanes]
        self._inputs = [worker(capture.name, capture.run) for capture in self._captures]
        if (server := self._trigger_server()) is not None:
            self._inputs.append(worker("trigger", server.run))
        self._stores = Stores(self._settings, self._outside, self._engine, self._sizes, self._stop, self._hold)
        self._shadow_of |= self._stores.shadow_of
        self._swaps = [worker("swap", swap.run)] if (swap := self._stores.swap) is not None else []
        self._publish = worker("publish", self._publisher.run)
        bodies = self._outside.bodies(_REST_S - 0.5)
        self._helpers = [worker(name, run) for name, (run, _) in bodies.items()]
        self._helpers += [worker("shadow", shadow.run) for shadow in self._stores.shadows]
        self._finishers = [finish for _, finish in bodies.values()]

    def _trigger_server(self) -> TriggerServer | None:
        if not self._settings.listens:
            return None
        cameras = [camera.name for camera in self._settings.camera if camera.trigger == "external"]
        bus = self._settings.bus
        socket = bind(self._outside.context, zmq.ROUTER, bus.trigger, bus, "trigger")
        return TriggerServer(
            socket, cameras, self._engine, self._outside.epoch, self._outside.metrics, self._stop, self._hold
        )

    def _beat(self, seqs: Mapping[str, int]) -> Heartbeat:
        """Called by the publisher."""
        digests = {name: model.bundle.digest for name, model in self._engine.models.items()}
        cameras = {
            name: CameraBeat(seq=seqs.get(name, -1), up=line.up, finished=line.finished, bundle=digests[name])
            for name, line in self._lines.items()
        }
        return Heartbeat(
            epoch=self._outside.epoch,
            sent_at_ns=time.time_ns(),
            interval_s=self._settings.bus.heartbeat_s,
            cameras=cameras,
        )

    @property
    def _all(self) -> list[Worker]:
        return [*self._inputs, *self._swaps, self._inspect, *self._lanes, self._publish, *self._helpers]

    def run(self) -> None:
        """Until a signal, or until every camera has finished. Raises MekikiError when a thread died or hangs."""
        self._await_subscriber()
        if self._signals.came is None:
            Garbage().freeze()
            for worker in self._all:
                worker.start()
            _log.info("running: %s", ", ".join(worker.name for worker in self._inputs))
            self._notifier.ready(self._status())
            self._watch()
            self._notifier.stopping("what waits is judged and published")
            self._end()
        _log.info("stopped: %s", self._signals.came or "all cameras have finished")

    def _await_subscriber(self) -> None:
        def stopping() -> bool:
            self._notifier.starting("waits for a subscriber")
            return self._signals.came is not None

        wait_s = self._settings.bus.wait_for_subscriber_s
        if wait_s and not self._outside.bus.wait_for_subscriber(wait_s, stopping):
            _log.warning("no subscriber within %g s; starting without one", wait_s)

    def _watch(self) -> None:
        captures = [Stage(capture.name, capture.beat.done) for capture in self._captures]
        stages = [*captures, *self._engine.stages(), Stage("publish", self._publisher.rounds.done)]
        watchdog = Watchdog(self._notifier, stages, self._status)
        live: dict[str, list[Configurable]] = {
            "evidence": [self._outside.evidence],
            "journal": [self._outside.journal],
            "probation": [*self._stores.trials],
        }
        reload = Reload(self._settings, self._reread, live)
        reloads = Reloads(self._signals, self._notifier, reload, self._stores.swap)
        while self._signals.came is None and self._inspect.is_alive() and not died(self._all):
            # Short, because a signal handler may not wake it; the event also comes when one camera finishes.
            self._ended.wait(0.1)
            self._ended.clear()
            watchdog.look()
            reloads.look()

    def _status(self) -> str:
        """For `systemctl status`."""
        return f"epoch {self._outside.epoch}: {self._engine.status()}"

    def _end(self) -> None:
        self._stop.set()
        join(self._inputs, _CAPTURES_S)
        for camera in self._lines:  # one that hangs must not keep the others' frames from a verdict
            self._engine.finished(camera)
        self._engine.stop_by(time.monotonic_ns() + int((_ENGINE_S - 0.5) * 1e9))
        join([self._inspect], _ENGINE_S)
        self._engine.stop_by(time.monotonic_ns())  # whatever ended or held it: here and now, no part without a verdict
        self._publisher.finish()
        join([self._publish, *self._lanes], _REST_S)
        for finish in self._finishers:
            finish()
        join([*self._helpers, *self._swaps], _REST_S)
        complain(self._all)


def run_daemon(settings: Settings, reread: Callable[[], Settings] | None = None) -> None:
    """Starts, runs and stops. Raises MekikiError; by then everything is closed. `reread` is for reloads.

    After a HangError the process must leave by `os._exit`: an orderly exit would wait for the thread that is stuck.
    """
    with Signals().caught() as signals, contextlib.ExitStack() as stack:
        try:
            Daemon(settings, signals, stack, reread).run()
            count_end(settings)
        except HangError:
            closing = threading.Thread(target=stack.pop_all().close, daemon=True)  # may meet what is stuck
            closing.start()
            closing.join(_CLOSE_S)
            raise
        except StoppedError:
            _log.info("stopped: %s, while it started", signals.came)
