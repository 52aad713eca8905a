"""A real model and a real engine with real lanes for tests: its model waits until the test lets it go on."""

import contextlib
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry

from edge.camera_config import FolderConfig
from edge.cameras.frame import Checkup, Fault, Grab
from edge.config import InferenceConfig
from edge.engine import Engine
from edge.inspector import Inspector
from edge.line import Line
from edge.metrics import Metrics
from edge.model import Model, Pace, Size, check, warm
from edge.parts import Judged
from models.bundle import Bundle, open_bundle
from models.errors import MekikiError
from models.health import Health
from models.prediction import Image, Prediction
from models.runner import Runner
from tests import tiny

LIMIT_S = 10
SIZES = {(tiny.SIDE_PX, tiny.SIDE_PX)}


def prepare(bundle: Bundle, sizes: Iterable[Size] = SIZES, lanes: int = 1) -> Model:
    """Compiled, right on its golden images, and warm: as a start makes it, which has something to do in between."""
    config = InferenceConfig()
    return warm(check(bundle, "CPU", config), config, sizes, lanes)


class Gate:
    """Lets inferences through: all of them, or as many as are let go one by one."""

    def __init__(self, *, is_open: bool = True) -> None:
        self._tickets = threading.Semaphore(0)
        self.is_open, self.entered = is_open, threading.Semaphore(0)
        self.frames: list[Image] = []

    def pass_one(self, image: Image) -> None:
        self.frames.append(image)
        self.entered.release()
        if not self.is_open:
            assert self._tickets.acquire(timeout=LIMIT_S), "the test never let this inference go on"

    def let(self, count: int = 1) -> None:
        self._tickets.release(count)

    def open(self) -> None:
        self.is_open = True
        self.let(1000)


class GatedRunner(Runner):
    """The real runner of a real model, behind a gate."""

    def predict(self, image: Image) -> Prediction:
        self.gate.pass_one(image)
        return super().predict(image)


def gated(bundle: Path, gate: Gate, lanes: int = 1, expected_s: float = 0.0) -> Model:
    model = prepare(open_bundle(bundle), lanes=lanes)
    for runner in model.runners:
        runner.__class__ = GatedRunner
        runner.gate = gate
    pace = Pace()
    if expected_s:
        pace.took(expected_s)
    return Model(model.bundle, model.runners, pace)


class Outlet:
    """Collects verdicts and gives slots back, as the publisher does."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Judged] = queue.SimpleQueue()
        self.late: list[Judged] = []
        self.put_late = self.late.append

    def put(self, judged: Judged) -> None:
        self._queue.put(judged)
        judged.grab.release()

    def next(self, limit_s: float = LIMIT_S) -> dict:
        return self._queue.get(timeout=limit_s).verdict.model_dump()

    def take(self, count: int) -> list[dict]:
        return [self.next() for _ in range(count)]

    @property
    def is_empty(self) -> bool:
        return self._queue.empty()


class Asked:
    """What the engine asked of its cameras."""

    def __init__(self) -> None:
        self.wants: list[str] = []
        self.from_ns: dict[str, int] = {}

    def want(self, camera: str) -> None:
        self.wants.append(camera)

    def wanted_from(self, camera: str, at_ns: int) -> None:
        self.from_ns[camera] = at_ns


class Rig:
    """Cameras of a test, the engine and what comes out of it."""

    def __init__(self, model: Model, lines: Sequence[Line], hang_s: float = 60) -> None:
        names = [line.config.name for line in lines]
        self.metrics = Metrics(CollectorRegistry(), names)
        self.outlet, self.asked = Outlet(), Asked()
        self.lines = dict(zip(names, lines, strict=True))
        models = dict.fromkeys(names, model)
        self.engine = Engine(Inspector("E"), self.lines, models, self.outlet, self.metrics, hang_s, self.asked)
        self.released: list[int] = []
        self.error: Exception | None = None
        self._sent = 0
        self._unmeasured: dict[int, tuple[str, Grab]] = {}

    def send(
        self,
        camera: str = "top",
        patch: int = tiny.OK,
        *,
        age_s: float = 0,
        fault: str | None = None,
        checkup: Checkup | None = None,
    ) -> int:
        """A picture arrives. Gives its number, which stands in `released` once its slot is free again."""
        number, now_ns = self._sent, time.monotonic_ns() - int(age_s * 1e9)
        image, problem = (None, Fault(fault, "drawn by the test")) if fault else (tiny.frame(patch), None)
        released = self.released
        back = partial(released.append, number)
        grab = Grab(now_ns, 0, now_ns, image, str(number), problem, checkup, release=back)
        self._sent += 1
        if checkup is not None:
            self._unmeasured[number] = (camera, grab)
        self.engine.arrived(camera, grab)
        return number

    def measured(self, number: int, health: Health | None) -> None:
        """The checkup of a picture is done."""
        camera, grab = self._unmeasured[number]
        grab.checkup.health, grab.checkup.is_done = health, True
        self.engine.measured(camera, grab)

    def finish(self) -> None:
        for name in self.lines:
            self.engine.finished(name)
        self.thread.join(LIMIT_S)
        assert not self.thread.is_alive(), "the engine did not end"

    def _run(self) -> None:
        try:
            self.engine.run()
        except MekikiError as error:
            self.error = error

    @contextlib.contextmanager
    def running(self) -> Iterator["Rig"]:
        threads = [threading.Thread(target=lane.run, daemon=True) for lane in self.engine.lanes]
        self.thread = threading.Thread(target=self._run, daemon=True)
        for thread in (*threads, self.thread):
            thread.start()
        try:
            yield self
        finally:
            self.engine.stop_by(time.monotonic_ns())
            self.thread.join(LIMIT_S)


def line(name: str = "top", trigger: str = "free", *, live: bool = False, **settings: object) -> Line:
    return Line(FolderConfig(name=name, kind="folder", path="x", trigger=trigger, **settings), live=live)
