"""Boxes with one fault each, all running at once: real daemons with the tiny model, whose faults come and go."""

import contextlib
import resource
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from edge.cli import main
from edge.trigger import ask
from models.bundle import open_bundle
from models.drift import usual_of
from models.errors import MekikiError
from models.health import Health
from models.measure import measure
from models.runner import Runner
from models.store import Store
from models.trigger import Trigger
from tests import tiny
from tests.edge.box import Box, wait_for
from tests.edge.stream import NetworkCamera

FPS = 10
_SIZE = f"fps = {FPS}\nloop = true"
_ROOM_BYTES = 64 << 20


class Station:
    """One box, its daemon, and what can be done to it."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        folder.mkdir(parents=True)
        self.box = Box(folder, bundle)
        self.process: subprocess.Popen[str] | None = None
        self.said = ""

    def start(self) -> None:
        self.process = self.box.popen("run", "--config", str(self.box.config))
        threading.Thread(target=self._listen, args=[self.process], daemon=True).start()
        wait_for(self.box.answers)

    def _listen(self, process: subprocess.Popen[str]) -> None:
        self.said = process.communicate()[1]

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)

    def again(self) -> None:
        self.kill()
        self.start()

    def no_file_grows(self, *, is_full: bool) -> None:
        assert self.process is not None
        hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (0 if is_full else hard, hard))


def good_line(station: Station, tables: str = "") -> None:
    """A folder of good parts, for ever."""
    station.box.images("line", [tiny.OK])
    station.box.write_folder("line", _SIZE, tables=tables)


def by_store(station: Station) -> Store:
    """The same, judged by a store's active version."""
    store = Store(station.box.folder / "store")
    store.activate(store.add(station.box.bundle).digest)
    station.box.images("line", [tiny.OK])
    station.box.write_folder(
        "line", f"{_SIZE}\ndeadline_s = 0.2", head='store = "store"', tables="[probation]\nparts = 50"
    )
    return store


def install(station: Station, bundle: Path) -> None:
    """As a person does."""
    assert main(["model", "install", str(bundle), "--config", str(station.box.config)]) == 0


@contextlib.contextmanager
def seen_by_camera(station: Station, extra: str = "", fps: float = FPS) -> Iterator[NetworkCamera]:
    """A live camera over HTTP."""
    with NetworkCamera(tiny.frame(), fps=fps, flicker=20) as camera:
        station.box.write_source(camera.url, f"read_timeout_s = 1\nreopen_s = 0.2\n{extra}")
        yield camera


@contextlib.contextmanager
def triggered(station: Station, wanted: threading.Event) -> Iterator[None]:
    """Parts are announced while `wanted` is set."""
    ended = threading.Event()

    def announce() -> None:
        while not ended.wait(1 / FPS):
            if wanted.is_set():
                with contextlib.suppress(MekikiError):  # it has not started yet
                    ask(station.box.trigger, Trigger(camera="side"), 1, None)

    thread = threading.Thread(target=announce)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(20)


def used_to(folder: Path, camera: NetworkCamera) -> Path:
    """A bundle whose good images are the pictures of that camera, and which has no limits to what it takes."""
    plain = open_bundle(tiny.make_bundle(folder / "plain.bundle"))
    pictures = [_decoded(camera.part()) for _ in range(60)]
    runner = Runner.of(plain)
    scores = usual_of([runner.predict(picture).score for picture in pictures])
    healths = [measure(picture) for picture in pictures]
    usual = {name: found for name in Health.__slots__ if (found := usual_of([getattr(one, name) for one in healths]))}
    assert scores is not None
    assert "brightness" in usual
    threshold = tiny.threshold_at(0.5).model_copy(update={"usual": scores, "false_reject_upper_95": 0.05})
    health = tiny.limits().model_copy(update={"usual": usual})
    return tiny.make_bundle(folder / "used.bundle", health=health, manifest={"threshold": threshold})


def _decoded(part: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(part.partition(b"\r\n\r\n")[2], np.uint8), cv2.IMREAD_COLOR)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[], None]]:
    """64 MB of their own, and how to fill them but for a twentieth."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_ROOM_BYTES}", "tmpfs", str(folder)], check=True)

    def fill() -> None:
        (folder / "ballast").write_bytes(bytes(shutil.disk_usage(folder).free - _ROOM_BYTES // 20))

    try:
        yield fill
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
