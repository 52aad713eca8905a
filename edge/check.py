"""`mekiki-edge check`: takes every step of a start, and says of each whether it is in order."""

import contextlib
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from prometheus_client import CollectorRegistry

from edge.camera_config import CameraConfig
from edge.cameras.frame import Grab
from edge.capture import Capture
from edge.config import Settings
from edge.journal_file import damage
from edge.metrics import Metrics
from edge.metrics.endpoint import Endpoint
from edge.qualified import budget_of, qualified, wanted_precisions
from edge.settings import load_settings
from edge.sockets import bind, open_context
from edge.startup import load_bundle, model_path, signature_of
from models.bundle import Bundle
from models.command import DONE, FAILED
from models.errors import CameraError, MekikiError
from models.gate import Gate
from models.golden import check_golden
from models.manifest import Threshold
from models.runner import Runner
from models.store import Store

_KINDS = {"bind": zmq.XPUB, "replay": zmq.ROUTER, "trigger": zmq.ROUTER, "pictures": zmq.XPUB}


@dataclass(slots=True)
class _Report:
    """Prints one line per check."""

    say: Callable[[str], None]
    failed: list[str] = field(default_factory=list)

    def line(self, name: str, step: Callable[[], str]) -> bool:
        return self.remark(name, lambda: (step(), True))

    def remark(self, name: str, step: Callable[[], tuple[str, bool]]) -> bool:
        """The same of a step that may find what is no failure, but wants somebody's attention."""
        try:
            found, is_fine = step()
        except MekikiError as error:
            self.failed.append(name)
            self.say(f"failed  {name}: {' '.join(str(error).split())}")
            return False
        self.say(f"{'ok' if is_fine else 'warning':<7} {name}: {found}")
        return True


def check(file: Path, say: Callable[[str], None]) -> int:
    """Exit code 0 when all is in order, else 1. Raises ConfigError when the settings are wrong."""
    settings = load_settings(file)
    report = _Report(say)
    report.line("settings", lambda: str(file))
    for path, is_store in dict(model_path(settings, camera) for camera in settings.camera).items():
        _check_model(report, settings, path, is_store=is_store)
    for camera in settings.camera:
        report.line(f"camera {camera.name}", lambda camera=camera: _one_frame(camera))  # type: ignore[misc]
    report.line("state", lambda: _check_state(settings.state))
    for name, address in settings.bus.addresses.items():
        if name != "trigger" or settings.listens:
            label = "bus" if name == "bind" else name
            report.line(label, lambda name=name, address=address: _check_socket(settings, name, address))  # type: ignore[misc]
    report.line("metrics", lambda: _check_metrics(settings))
    return FAILED if report.failed else DONE


def _check_model(report: _Report, settings: Settings, path: Path, *, is_store: bool) -> None:
    """Four checks that need each other: what follows a failed one is not tried."""
    held: list[Bundle] = []

    def bundle() -> tuple[str, bool]:
        held.append(load_bundle(path, is_store=is_store))
        words = f"{held[0].path} verified, {len(held[0].manifest.files)} files, sha256 {held[0].digest[:12]}"
        damage = Store(path).record.damage() if is_store else None
        return words if damage is None else f"{words}; {damage}", damage is None

    runners: list[Runner] = []

    def model() -> str:
        held[0] = _at_precision(held[0], settings, path)
        runners.append(Runner.of(held[0], settings.device, settings.inference.hint))
        manifest = held[0].manifest
        runners[0].warm_up(manifest.preprocess.height_px, manifest.preprocess.width_px)
        return f"{manifest.family}/{manifest.model} compiled for {settings.device} at {manifest.precision}"

    def golden() -> str:
        found = check_golden(held[0], runners[0])
        words = f"{found.n_images} images as the manifest says, scores within {found.max_relative:.1e} relative"
        return words + _review_words(held[0].manifest.threshold, found.n_review)

    _ = (
        report.remark("bundle", bundle)
        and report.remark("signature", lambda: signature_of(held[0], Gate(settings.trust)))
        and report.line("model", model)
        and report.line("golden", golden)
    )


def _at_precision(bundle: Bundle, settings: Settings, path: Path) -> Bundle:
    """As a start would judge by it; a precision without a choice is looked at by the checks that follow."""
    wanted = wanted_precisions(bundle, settings)
    if len(wanted) == 1:
        return bundle.at(wanted[0])
    names = [camera.name for camera in settings.camera if model_path(settings, camera)[0] == path]
    return qualified(bundle, settings, budget_of(settings, names), keep=False)


def _review_words(threshold: Threshold, n_review: int) -> str:
    """How many of the golden images a person would look at, if this bundle leaves anything to one."""
    if threshold.review_at_or_above is None:
        return ""
    return f"; {n_review} of them for review, {threshold.review_at_or_above:.4g} to {threshold.ng_at_or_above:.4g}"


class _First:
    """Takes the first picture that a camera gives."""

    def __init__(self) -> None:
        self.grabs: queue.SimpleQueue[Grab] = queue.SimpleQueue()

    def arrived(self, _: str, grab: Grab) -> None:
        self.grabs.put(grab)

    def lost(self, camera: str, detail: str) -> None:
        """The fault that follows says it."""

    def measured(self, camera: str, grab: Grab) -> None:
        """One picture is enough, however it looks."""

    def restored(self, camera: str) -> None:
        """Not waited for."""

    def finished(self, camera: str) -> None:
        """It had its picture."""


def _one_frame(config: CameraConfig) -> str:
    """Whatever triggers it later, the camera must give a picture now."""
    free = config.model_copy(update={"trigger": "free"})
    first, stop = _First(), threading.Event()
    capture = Capture(free, first, Metrics(CollectorRegistry(), [config.name]), stop, slots=2)
    with contextlib.closing(capture):
        capture.open()
        thread = threading.Thread(target=capture.run, name=capture.name, daemon=True)
        thread.start()
        try:
            grab = first.grabs.get(timeout=config.open_timeout_s + config.read_timeout_s)
        except queue.Empty:
            raise CameraError(f"camera {config.name}: no picture came; see its cable and its trigger") from None
        finally:
            stop.set()
            thread.join(timeout=2)
    if grab.image is None:
        raise CameraError(grab.fault.detail if grab.fault else f"camera {config.name}: no picture came")
    height_px, width_px = grab.image.shape[:2]
    return f"opened, one frame of {width_px}x{height_px} px read"


def _check_state(folder: Path) -> str:
    """The journal is there, or can be made."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise MekikiError(f"{there}: cannot be written; give the daemon's user that folder, or set `state`")
    wrong = damage(folder / "journal.db")
    return f"{folder} can be written" + (f"; its journal is damaged ({wrong}) and will be set aside" if wrong else "")


def _check_socket(settings: Settings, name: str, address: str) -> str:
    with open_context(settings.bus) as context:
        bind(context, _KINDS[name], address, settings.bus, name).close(linger=0)
    return f"{address} is free" + ("" if settings.bus.keys is None else ", and asks for a key")


def _check_metrics(settings: Settings) -> str:
    Endpoint(settings.metrics, CollectorRegistry()).close()
    return f"http://{settings.metrics.host}:{settings.metrics.port}/metrics is free"
