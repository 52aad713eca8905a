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
from prometheus_client import CollectorRegistry

from edge.bus import Bus
from edge.capture import Capture
from edge.checkpoints import Checkpoints
from edge.config import Settings
from edge.drift import Drift
from edge.early import Early
from edge.engine import BusyError, Engine, HangError
from edge.epoch import next_epoch
from edge.evidence import Evidence
from edge.garbage import Garbage
from edge.hold import Hold
from edge.inspector import Inspector
from edge.journal import Journal
from edge.line import Line
from edge.metrics import Metrics
from edge.metrics.endpoint import Endpoint
from edge.model import Model
from edge.notify import Notifier
from edge.outlet import Afterwards
from edge.pictures import HIGH_WATER, Pictures
from edge.probation import Trial
from edge.publisher import Publisher
from edge.qualified import budget_of
from edge.relay import Relay
from edge.reload import Configurable, Reload, Reloads
from edge.replay import Replay
from edge.shadow.messages import Setup
from edge.shadow.records import Records, records_in
from edge.shadow.thread import Shadow
from edge.signals import Signals
from edge.sockets import bind, open_context
from edge.startup import (
    StoppedError,
    check_model,
    count_end,
    count_start,
    load_bundles,
    load_models,
    model_path,
    open_cameras,
    warm_model,
    withdraw_unfit,
)
from edge.swap import Swap
from edge.trigger import TriggerServer
from edge.watchdog import Stage, Watchdog
from edge.worker import Worker, died
from models.bundle import Bundle
from models.errors import MekikiError
from models.gate import Gate
from models.heartbeat import CameraBeat, Heartbeat
from models.store import Store

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
        self.metrics = Metrics(CollectorRegistry(), [camera.name for camera in settings.camera])
        self._open_outside(stack)
        self._assemble(self._open_cameras(stack, bundles))

    def _open_outside(self, stack: contextlib.ExitStack) -> None:
        """What other processes can see: the metrics, the sockets, the files."""
        settings, bus = self._settings, self._settings.bus
        stack.callback(Endpoint(settings.metrics, self.metrics.registry).close)
        self._context = stack.enter_context(open_context(bus))
        self._bus = Bus(self._context, bus)
        stack.callback(self._bus.close)
        self._journal = Journal(settings.state / "journal.db", settings.journal.max_verdicts, self.metrics)
        stack.callback(self._journal.close)
        self.metrics.disk(settings.state)
        self.epoch = next_epoch(self._journal)
        self.metrics.epoch(self.epoch)
        self._replay = Replay(self._context, bus, self._journal, self.epoch, self.metrics)
        stack.callback(self._replay.close)
        self._pictures = None
        if bus.pictures is not None:
            socket = bind(self._context, zmq.XPUB, bus.pictures, bus, "pictures", sndhwm=HIGH_WATER)
            self._pictures = Pictures(socket, self.metrics)
        self._evidence = Evidence(settings.state, settings.evidence, settings.review, self.metrics)

    def _open_cameras(self, stack: contextlib.ExitStack, bundles: Mapping[Path, Bundle]) -> dict[str, Model]:
        settings, self._relay = self._settings, Relay()
        spare = _SPARE_SLOTS + (settings.inference.requests or 0)
        self._captures = [
            Capture(camera, self._relay, self.metrics, self._stop, camera.queue + spare) for camera in settings.camera
        ]
        for capture in self._captures:
            stack.callback(capture.close)
        with Early(settings, bundles) as early:
            self._sizes = open_cameras(self._captures, lambda: self._signals.came is not None)
        count_start(settings)
        return load_models(settings, bundles, self._sizes, early.checked)

    def _assemble(self, models: dict[str, Model]) -> None:
        settings = self._settings
        self._shadows: dict[str, Shadow] = {}  # by camera; made when there is an engine to ask
        drift = Drift(models, settings.drift, self.metrics)
        after = Afterwards(self._evidence, self._pictures, drift, self._shadows)
        self._publisher = Publisher(
            self._bus, self._journal, self.metrics, self._beat, after, settings.bus.heartbeat_s
        )  # fmt: skip
        for config in settings.camera:
            if config.deadline_s is not None:
                self.metrics.deadline(config.name, config.deadline_s)
        self._lines = {capture.config.name: Line(capture.config, live=capture.live) for capture in self._captures}
        self._engine = Engine(
            inspector=Inspector(self.epoch),
            lines=self._lines,
            models=models,
            outlet=self._publisher,
            metrics=self.metrics,
            hang_s=settings.inference.hang_s,
            cameras=self._relay,
        )
        self._relay.connect(self._engine, self._captures)
        for camera, model in models.items():
            runner = model.runners[0]
            self.metrics.model(camera, model.bundle, runner.device, runner.precision)
            _log.info("epoch %s: camera %s: %s", self.epoch, camera, model.name)
        self._make_workers()

    def _make_workers(self) -> None:
        self._trials: list[Configurable] = []
        worker = partial(Worker, ended=self._ended)
        self._inspect = worker("inspect", self._engine.run)
        self._lanes = [worker(lane.name, lane.run) for lane in self._engine.lanes]
        self._inputs = [worker(capture.name, capture.run) for capture in self._captures]
        if (server := self._trigger_server()) is not None:
            self._inputs.append(worker("trigger", server.run))
        stores = self._stores()
        self._swap = self._make_swap(stores) if stores else None
        self._swaps = [worker("swap", self._swap.run)] if self._swap is not None else []
        self._publish = worker("publish", self._publisher.run)
        checkpoints = Checkpoints(self._journal)
        # Each has a body, and what lets it end.
        rest: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "replay": (self._replay.run, self._replay.finish),
            "journal": (checkpoints.run, checkpoints.finish),
            "evidence": (self._evidence.run, partial(self._evidence.finish, _REST_S - 0.5)),
        }
        if self._pictures is not None:
            rest["pictures"] = (self._pictures.run, self._pictures.finish)
        self._helpers = [worker(name, run) for name, (run, _) in rest.items()]
        self._helpers += [worker("shadow", self._shadow(store, cameras).run) for store, cameras in stores.items()]
        self._finishers = [finish for _, finish in rest.values()]

    def _trigger_server(self) -> TriggerServer | None:
        if not self._settings.listens:
            return None
        cameras = [camera.name for camera in self._settings.camera if camera.trigger == "external"]
        bus = self._settings.bus
        socket = bind(self._context, zmq.ROUTER, bus.trigger, bus, "trigger")
        return TriggerServer(socket, cameras, self._engine, self.epoch, self.metrics, self._stop, self._hold)

    def _stores(self) -> dict[Path, list[str]]:
        """Every store with the cameras that are judged by it."""
        places = [(camera.name, *model_path(self._settings, camera)) for camera in self._settings.camera]
        roots = sorted({path for _, path, is_store in places if is_store})
        return {root: [name for name, path, _ in places if path == root] for root in roots}

    def _make_swap(self, stores: Mapping[Path, list[str]]) -> Swap:
        settings, swap = self._settings, Swap(self._engine, self.metrics, self._stop, self._hold)
        for store, cameras in stores.items():
            model = partial(self._model, store)
            digest = self._engine.models[cameras[0]].bundle.digest
            followed = Store(store, Gate(settings.trust))
            trial = Trial(followed, cameras, settings.state / "journal.db", settings.probation, self.metrics)
            self._trials.append(trial)
            swap.follow(followed, cameras, digest, model, trial)
        return swap

    def _model(self, store: Path, bundle: Bundle) -> Model:
        """Of a version that comes into force while we run. Thread `swap`."""
        checked = check_model(self._settings, store, bundle)
        return warm_model(self._settings, store, self._sizes, checked, len(self._engine.lanes))

    def _shadow(self, store: Path, cameras: list[str]) -> Shadow:
        settings = self._settings
        setup = partial(
            Setup,
            store=store,
            trust=settings.trust,
            state=settings.state,
            device=settings.device,
            precision=settings.precision,
            inference=settings.inference,
            budget_s=budget_of(settings, cameras),
            sizes=tuple({size for name in cameras if (size := self._sizes[name]) is not None}),
            epoch=self.epoch,
        )
        shadow = Shadow(
            Store(store, Gate(settings.trust)),
            lambda digest: setup(digest=digest),
            self._engine,
            Records(records_in(settings.state)),
            self._evidence,
            self.metrics,
            self._stop,
        )
        self._shadows |= dict.fromkeys(cameras, shadow)
        return shadow

    def _beat(self, seqs: Mapping[str, int]) -> Heartbeat:
        """Called by the publisher."""
        digests = {name: model.bundle.digest for name, model in self._engine.models.items()}
        cameras = {
            name: CameraBeat(seq=seqs.get(name, -1), up=line.up, finished=line.finished, bundle=digests[name])
            for name, line in self._lines.items()
        }
        return Heartbeat(
            epoch=self.epoch, sent_at_ns=time.time_ns(), interval_s=self._settings.bus.heartbeat_s, cameras=cameras
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
        if wait_s and not self._bus.wait_for_subscriber(wait_s, stopping):
            _log.warning("no subscriber within %g s; starting without one", wait_s)

    def _watch(self) -> None:
        captures = [Stage(capture.name, capture.beat.done) for capture in self._captures]
        stages = [*captures, *self._engine.stages(), Stage("publish", self._publisher.rounds.done)]
        watchdog = Watchdog(self._notifier, stages, self._status)
        live: dict[str, list[Configurable]] = {
            "evidence": [self._evidence], "journal": [self._journal], "probation": self._trials,
        }  # fmt: skip
        reload = Reload(self._settings, self._reread, live)
        reloads = Reloads(self._signals, self._notifier, reload, self._swap)
        while self._signals.came is None and self._inspect.is_alive() and not died(self._all):
            # Short, because a signal handler may not wake it; the event also comes when one camera finishes.
            self._ended.wait(0.1)
            self._ended.clear()
            watchdog.look()
            reloads.look()

    def _status(self) -> str:
        """For `systemctl status`."""
        return f"epoch {self.epoch}: {self._engine.status()}"

    def _end(self) -> None:
        self._stop.set()
        _join(self._inputs, _CAPTURES_S)
        for camera in self._lines:  # one that hangs must not keep the others' frames from a verdict
            self._engine.finished(camera)
        self._engine.stop_by(time.monotonic_ns() + int((_ENGINE_S - 0.5) * 1e9))
        _join([self._inspect], _ENGINE_S)
        self._engine.stop_by(time.monotonic_ns())  # whatever ended or held it: here and now, no part without a verdict
        self._publisher.finish()
        _join([self._publish, *self._lanes], _REST_S)
        for finish in self._finishers:
            finish()
        _join([*self._helpers, *self._swaps], _REST_S)
        self._complain()

    def _complain(self) -> None:
        """Raises MekikiError when something ended that should not have, or did not end that should have."""
        stuck = [worker.name for worker in self._all if worker.is_alive()]
        if dead := died(self._all):
            kind = HangError if stuck or isinstance(dead.error, HangError) else MekikiError
            what = f"thread {dead.name} died ({type(dead.error).__name__}: {dead.error})"
            is_known = isinstance(dead.error, MekikiError)
            raise kind(str(dead.error) if is_known else f"{what}; stopped, because half a daemon passes bad parts")
        if stuck == ["swap"]:
            raise BusyError("stopped while a new version was being prepared; the next start takes it")
        if stuck:
            raise HangError(f"thread {', '.join(stuck)} did not end in time; left without it")


def _join(workers: list[Worker], limit_s: float) -> None:
    until_s = time.monotonic() + limit_s
    for worker in workers:
        worker.join(max(0.0, until_s - time.monotonic()))


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
