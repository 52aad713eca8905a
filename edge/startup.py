"""The steps between settings and a daemon that may judge. `run` and `check` take the same ones.

Runs on the main thread, before any other is started.
"""

from collections.abc import Iterable

from edge.cameras import Camera, open_camera
from edge.config import CameraConfig, Settings
from models.bundle import Bundle, open_bundle
from models.errors import BundleError, ConfigError
from models.runner import Runner


def load_bundle(settings: Settings) -> Bundle:
    """The bundle named, or the active version of the store named. Raises BundleError."""
    if settings.bundle is not None:
        return open_bundle(settings.bundle)
    if settings.store is None:
        raise ConfigError("neither bundle nor store is set; set one of them")
    if not settings.store.is_dir():
        raise BundleError(f"{settings.store}: no such folder; correct `store` in the settings or push a bundle to it")
    from models.store import Store

    return Store(settings.store).active()


def open_cameras(configs: Iterable[CameraConfig]) -> dict[str, Camera]:
    """All cameras by name, or none. Raises CameraError."""
    cameras: dict[str, Camera] = {}
    try:
        for config in configs:
            cameras[config.name] = open_camera(config)
    except BaseException:
        for camera in cameras.values():
            camera.close()
        raise
    return cameras


def warm_up(runner: Runner, cameras: Iterable[Camera]) -> None:
    """Compiles for the frame sizes to come, so that the first part is not the slow one."""
    for size in {camera.frame_size_px() for camera in cameras} - {None}:
        if size is not None:
            runner.warm_up(*size)
