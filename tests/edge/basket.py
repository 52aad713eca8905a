"""A capture for tests: a sink that remembers, and a real camera in its real process."""

import contextlib
import threading
from pathlib import Path

from edge.camera_config import FolderConfig, OpenCVConfig
from edge.capture import Capture
from tests import tiny
from tests.edge.stream import NetworkCamera

SLOTS = 4


class Basket:
    """A sink that keeps what came; `hold` keeps the slots too."""

    def __init__(self, hold: bool = False) -> None:
        self.hold, self.events, self.grabs, self.pixels = hold, [], [], []

    def arrived(self, camera, grab):
        self.pixels.append(None if grab.image is None else grab.image.copy())
        self.grabs.append(grab)
        self.events.append(grab.fault.reason if grab.fault else "picture")
        if not self.hold:
            grab.release()

    def measured(self, camera, grab):
        assert grab is self.grabs[-1]
        self.events.append("measured")

    def lost(self, camera, detail):
        self.detail = detail
        self.events.append("lost")

    def restored(self, camera):
        self.events.append("restored")

    def finished(self, camera):
        self.events.append("finished")

    def count(self, event):
        return self.events.count(event)

    @property
    def sources(self):
        return [grab.source for grab in self.grabs]

    def after(self, event):
        """What came after the last such event."""
        return self.events[len(self.events) - self.events[::-1].index(event) :] if event in self.events else []


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, {"camera": "cam", **labels})


def folder(path, **settings) -> FolderConfig:
    return FolderConfig(kind="folder", name="cam", path=path, **{"reopen_s": 0.1, "health": False, **settings})


def opencv(source, **settings) -> OpenCVConfig:
    quick = {"reopen_s": 0.1, "health": False, "read_timeout_s": 1.0}
    return OpenCVConfig(kind="opencv", name="cam", source=str(source), **(quick | settings))


def write_images(path, patches) -> Path:
    for i, patch in enumerate(patches):
        tiny.write_image(path / f"{i:02}.png", tiny.frame(patch))
    return path


@contextlib.contextmanager
def running(config, sink, metrics, slots=SLOTS):
    stop = threading.Event()
    capture = Capture(config, sink, metrics, stop, slots)
    capture.open()
    thread = threading.Thread(target=capture.run)
    thread.start()
    try:
        yield capture
    finally:
        stop.set()
        thread.join(5)
        assert not thread.is_alive()
        assert sink.events[-1] == "finished"


@contextlib.contextmanager
def streaming(sink, metrics, settings=None, **camera):
    """A network camera and its capture."""
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(NetworkCamera(tiny.frame(), **camera))
        yield source, stack.enter_context(running(opencv(source.url, **(settings or {})), sink, metrics))


ASKED = {"trigger": "external"}


def ended(sink):
    return lambda: sink.count("finished")
