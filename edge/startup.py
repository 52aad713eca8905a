"""The steps between settings and a daemon that may judge. `run` and `check` take the same ones.

Runs on the main thread, before any other is started.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from edge.camera_config import CameraConfig
from edge.capture import Capture
from edge.config import Settings
from edge.model import Checked, Model, Size, check, warm
from edge.qualified import budget_of, cache_of, qualified
from models.bundle import Bundle, open_bundle
from models.device import find_device
from models.errors import BundleError, CameraError, ConfigError, MekikiError
from models.gate import Gate
from models.store import Store

_log = logging.getLogger(__name__)


def model_path(settings: Settings, camera: CameraConfig) -> tuple[Path, bool]:
    """The bundle or store that a camera is judged by, and whether it is a store."""
    for place in (camera, settings):
        if place.bundle is not None:
            return place.bundle, False
        if place.store is not None:
            return place.store, True
    raise ConfigError(f"camera {camera.name}: neither bundle nor store is set; set one of them")


def load_bundle(path: Path, *, is_store: bool) -> Bundle:
    """The bundle at `path`, or the active version of the store there, whole. Raises BundleError."""
    if not is_store:
        return open_bundle(path)
    if not path.is_dir():
        raise BundleError(f"{path}: no such folder; correct `store` in the settings or push a bundle to it")
    return Store(path).active()


def signature_of(bundle: Bundle, gate: Gate) -> tuple[str, bool]:
    """Who signed a bundle, and whether that needs nobody's attention. Raises BundleError, ConfigError.

    A signer whose trust has ended does not stop a line: what came in while it was trusted runs on.
    """
    key = gate.verify(bundle)
    if key is None:
        return "not checked, as no trusted keys are set; make some (`mekiki-deploy keys`) and set `trust`", False
    words = f"by {key.name}, trusted until {key.head.trusted_until}"
    if key.is_trusted_at(gate.now()):
        return words, True
    return f"{words}: it runs on, but nothing new of that key is taken; sign the next with a newer key", False


def load_bundles(settings: Settings) -> dict[Path, Bundle]:
    """Every bundle that a camera is judged by, whole and signed by whom the settings trust, by its place.

    Raises BundleError, and ConfigError where the trusted keys are not in order.
    """
    places = dict(model_path(settings, camera) for camera in settings.camera)
    bundles = {path: load_bundle(path, is_store=is_store) for path, is_store in places.items()}
    for bundle in bundles.values():
        words, is_fine = signature_of(bundle, Gate(settings.trust))
        _log.log(logging.INFO if is_fine else logging.WARNING, "bundle %s: signature %s", bundle.digest[:12], words)
    return bundles


def withdraw_unfit(settings: Settings) -> None:
    """A version on probation with which the daemon started again and again goes back, and so does one that is not whole
    or not signed: the version before it proved itself."""
    _at_each_store(settings, lambda store: _withdraw_unfit(store, settings.probation.starts))


def count_start(settings: Settings) -> None:
    """Before a model on probation is compiled. What ends a start earlier, as a camera that is not there, is not its
    doing. Nor is a device that is not there: raises DeviceError, and counts nothing."""
    find_device(settings.device)
    _at_each_store(settings, _count_start)


def count_end(settings: Settings) -> None:
    """The daemon ends in order: that start speaks against no model on probation."""
    _at_each_store(settings, _count_end)


def _at_each_store(settings: Settings, step: Callable[[Store], None]) -> None:
    places = {path for path, is_store in (model_path(settings, camera) for camera in settings.camera) if is_store}
    for store in (Store(path, Gate(settings.trust)) for path in sorted(places) if path.is_dir()):
        try:
            step(store)
        except (BundleError, OSError) as error:
            _log.warning("%s: a probation cannot be looked after: %s", store.root, error)


def _withdraw_unfit(store: Store, most: int) -> None:
    if (damage := store.record.damage()) is not None:
        _log.warning("%s", damage)
    state = store.state()
    if state.active is None or not state.on_probation:
        return
    failed = state.failed_starts(_boot()) >= most
    why = f"{most} starts within its probation did not end in order" if failed else None
    try:
        store.active()
    except BundleError as error:
        why = str(error)
    if why is not None:
        store.give_up(state.active, why, is_final=failed)
        _log.error("version %s rolled back: %s", state.active[:12], why)


def _count_start(store: Store) -> None:
    if (active := store.state().active) is not None:
        store.start(active, _boot())


def _count_end(store: Store) -> None:
    if (active := store.state().active) is not None:
        store.end(active)


def _boot() -> str:
    """Which boot of the machine this is; where the service manager hides it all are one, and every start counts."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def load_models(
    settings: Settings, bundles: Mapping[Path, Bundle], sizes: Mapping[str, Size | None], early: Mapping[Path, Checked]
) -> dict[str, Model]:
    """A model for every camera, by name; cameras that name the same bundle or store share one.

    `sizes` are those of the frames to come, None where a camera cannot tell; `early` has what is checked already.
    Raises as `check_model`.
    """
    models: dict[Path, Model] = {}
    lanes = settings.inference.requests
    for path, bundle in bundles.items():
        checked = early.get(path) or check_model(settings, path, bundle)
        models[path] = warm_model(settings, path, sizes, checked, lanes)
        lanes = len(models[path].runners)  # all models share the lanes
    return {camera.name: models[model_path(settings, camera)[0]] for camera in settings.camera}


def check_model(settings: Settings, path: Path, bundle: Bundle) -> Checked:
    """A bundle from `path` at a precision that is qualified on this box. Raises ModelError, BundleError."""
    chosen = qualified(bundle, settings, budget_of(settings, _cameras_of(settings, path)))
    return check(chosen, settings.device, settings.inference, cache_of(settings))


def warm_model(
    settings: Settings, path: Path, sizes: Mapping[str, Size | None], checked: Checked, lanes: int | None
) -> Model:
    """Ready for the frames of the cameras that are judged by it. Raises ModelError."""
    known = {size for name in _cameras_of(settings, path) if (size := sizes[name]) is not None}
    model = warm(checked, settings.inference, known, lanes)
    for words in model.runners[0].deviations:
        _log.warning("%s: %s", model.name, words)
    return model


def _cameras_of(settings: Settings, path: Path) -> list[str]:
    """The names of those that are judged by what lies there."""
    return [camera.name for camera in settings.camera if model_path(settings, camera)[0] == path]


class StoppedError(MekikiError):
    """A stop came before the start was done."""


def open_cameras(captures: Iterable[Capture], stopping: Callable[[], bool]) -> dict[str, Size | None]:
    """Opens all cameras, or none: frame sizes by name. Raises CameraError, and StoppedError when a stop comes."""
    opened: list[Capture] = []
    sizes: dict[str, Size | None] = {}
    try:
        for capture in captures:
            opened.append(capture)
            sizes[capture.config.name] = capture.open(stopping)
    except BaseException as error:
        for capture in opened:
            capture.close()
        if stopping() and isinstance(error, CameraError):
            raise StoppedError("stopped while it started") from error
        raise
    return sizes
