"""`mekiki-edge check`: takes every step of a start, and says of each whether it is in order."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from edge.bus import Bus
from edge.cameras import open_camera
from edge.config import CameraConfig, Settings
from edge.metrics import Endpoint
from edge.settings import load_settings
from edge.startup import load_bundle
from models.bundle import Bundle
from models.command import DONE, FAILED
from models.errors import CameraError, MekikiError
from models.golden import check_golden
from models.runner import Runner


@dataclass(slots=True)
class _Report:
    """Prints one line per check."""

    say: Callable[[str], None]
    failed: list[str] = field(default_factory=list)

    def line(self, name: str, step: Callable[[], str]) -> bool:
        try:
            found = step()
        except MekikiError as error:
            self.failed.append(name)
            self.say(f"failed  {name}: {' '.join(str(error).split())}")
            return False
        self.say(f"ok      {name}: {found}")
        return True


def check(file: Path, say: Callable[[str], None]) -> int:
    """Exit code 0 when all is in order, else 1. Raises ConfigError when the settings are wrong."""
    settings = load_settings(file)
    report = _Report(say)
    report.line("settings", lambda: str(file))
    _check_model(report, settings)
    for camera in settings.camera:
        _check_camera(report, camera)
    report.line("bus", lambda: _check_bus(settings))
    report.line("metrics", lambda: _check_metrics(settings))
    return FAILED if report.failed else DONE


def _check_model(report: _Report, settings: Settings) -> None:
    """Three checks that need each other: what follows a failed one is not tried."""
    held: list[Bundle] = []

    def bundle() -> str:
        held.append(load_bundle(settings))
        return f"{held[0].path} verified, {len(held[0].manifest.files)} files, sha256 {held[0].digest[:12]}"

    runners: list[Runner] = []

    def model() -> str:
        runners.append(Runner.of(held[0], settings.device))
        manifest = held[0].manifest
        runners[0].warm_up(manifest.preprocess.height_px, manifest.preprocess.width_px)
        return f"{manifest.family}/{manifest.model} compiled for {settings.device} at {manifest.precision}"

    def golden() -> str:
        found = check_golden(held[0], runners[0])
        return f"{found.n_images} images as the manifest says, scores within {found.max_relative:.1e} relative"

    _ = report.line("bundle", bundle) and report.line("model", model) and report.line("golden", golden)


def _check_camera(report: _Report, config: CameraConfig) -> None:
    def one_frame() -> str:
        camera = open_camera(config)
        try:
            grab = camera.read()
        finally:
            camera.close()
        if grab is None or grab.image is None:
            raise CameraError(grab.fault.detail if grab and grab.fault else f"camera {config.name}: no picture came")
        height_px, width_px = grab.image.shape[:2]
        return f"opened, one frame of {width_px}x{height_px} px read"

    report.line(f"camera {config.name}", one_frame)


def _check_bus(settings: Settings) -> str:
    Bus(settings.bus.bind).close()
    return f"{settings.bus.bind} is free"


def _check_metrics(settings: Settings) -> str:
    Endpoint(settings.metrics, CollectorRegistry()).close()
    return f"http://{settings.metrics.host}:{settings.metrics.port}/metrics is free"
