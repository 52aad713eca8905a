"""`mekiki-edge status`: what this box says of itself. On the caller's thread; the daemon need not run.

It reads only, and what cannot be read is said in its place: the rest is wanted most when something is wrong.
"""

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from edge.config import Settings
from edge.journal_file import connect, is_made
from edge.startup import model_path
from models import __version__
from models.bundle import SIGNATURE, Bundle
from models.errors import ConfigError, MekikiError
from models.files import sha256_of
from models.gate import Gate
from models.state import State
from models.status import BoxStatus, LastVerdict, StepSaid, StoreStatus
from models.store import Store

_STEPS = 20  # of the history
_ENDS = {"committed": "committed", "rolled_back": "rolled back"}
_LAST = "SELECT epoch, seq, verdict FROM verdict WHERE camera = ? ORDER BY epoch DESC, seq DESC LIMIT 1"


def look(settings: Settings, camera: str | None = None) -> BoxStatus:
    """The box, or what of it is judged by one camera's store. Raises ConfigError where there is no such camera."""
    known = [one.name for one in settings.camera]
    if camera not in (None, *known):
        raise ConfigError(f"--camera {camera}: this box has {', '.join(known)}; name one of these")
    return BoxStatus(
        mekiki=__version__,
        at=datetime.now(UTC),
        state=str(settings.state),
        free_bytes=shutil.disk_usage(_existing(settings.state)).free,
        stores=tuple(
            _store(Store(root, Gate(settings.trust)), names)
            for root, names in sorted(_stores(settings).items())
            if camera in (None, *names)
        ),
        cameras=_last_verdicts(settings.state / "journal.db", known),
    )


def lines_of(status: BoxStatus) -> Iterator[str]:
    """The same for a person."""
    for one in status.stores:
        version = "" if one.active is None else f" {one.active[:12]} {one.about or ''}".rstrip()
        why = "" if one.why is None else f": {one.why}"
        yield f"store {one.store} ({', '.join(one.cameras)}):{version} {one.standing}{why}"
        if one.waiting is not None:
            yield f"store {one.store}: {one.waiting[:12]} waits until the line stops"
        if one.shadow is not None:
            yield f"store {one.store}: {one.shadow[:12]} judges in shadow"
    for name, verdict in status.cameras.items():
        words = "no verdict yet" if verdict is None else _words(verdict)
        yield f"camera {name}: {words}"
    yield f"disk of {status.state}: {status.free_bytes / 1e9:.1f} GB free"


def _words(verdict: LastVerdict) -> str:
    reason = "" if verdict.reason is None else f" ({verdict.reason})"
    at = datetime.fromtimestamp(verdict.captured_at_ns / 1e9, UTC)
    return f"last {verdict.outcome}{reason}, {at:%Y-%m-%d %H:%M:%S} UTC, seq {verdict.seq} of epoch {verdict.epoch}"


def _stores(settings: Settings) -> dict[Path, list[str]]:
    """Folder -> cameras that are judged by it; a camera with a bundle of its own is judged by no store."""
    found: dict[Path, list[str]] = {}
    for camera in settings.camera:
        path, is_store = model_path(settings, camera)
        if is_store:
            found.setdefault(path, []).append(camera.name)
    return found


def _store(store: Store, cameras: list[str]) -> StoreStatus:
    place, names = str(store.root), tuple(cameras)
    try:
        state = store.state()
    except MekikiError as error:
        return StoreStatus(store=place, cameras=names, standing="damaged", why=_one_line(error))
    standing, why = _standing(state)
    about = signature = None
    if state.active is not None:
        try:
            about, signature = _about(bundle := store.open(state.active)), _signature(bundle)
        except MekikiError as error:
            standing, why = "damaged", _one_line(error)
    return StoreStatus(
        store=place,
        cameras=names,
        standing=standing,
        why=why,
        active=state.active,
        signature=signature,
        about=about,
        previous=state.previous,
        waiting=None if state.waiting is None else state.waiting.version,
        shadow=state.shadow,
        failed=state.failed,
        last=tuple(StepSaid(**event.model_dump()) for event in state.history[-_STEPS:]),
    )


def _standing(state: State) -> tuple[str, str | None]:
    """What the active version is, and why."""
    if state.active is None:
        return "empty", None
    if state.on_probation:
        return "on probation", None
    ends = [event for event in state.history if event.step in ("activated", *_ENDS)]
    last = ends[-1] if ends else None
    if last is None or last.step == "activated":
        return "active", state.because
    of = f"{last.version[:12]}: " if last.version != state.active else ""
    return _ENDS[last.step], f"{of}{last.why}" if last.why else None


def _about(bundle: Bundle) -> str:
    manifest = bundle.manifest
    return f"{manifest.family}/{manifest.model}" + (f" for {manifest.compatible}" if manifest.compatible else "")


def _signature(bundle: Bundle) -> str | None:
    path = bundle.path / SIGNATURE
    return sha256_of(path) if path.is_file() else None


def _last_verdicts(journal: Path, cameras: list[str]) -> dict[str, LastVerdict | None]:
    found: dict[str, LastVerdict | None] = dict.fromkeys(cameras)
    with contextlib.suppress(sqlite3.Error):  # the daemon says what is wrong with it, and sets it aside
        if is_made(journal):
            with contextlib.closing(connect(journal, read_only=True)) as connection:
                for camera in cameras:
                    for epoch, seq, text in connection.execute(_LAST, (camera,)):
                        found[camera] = LastVerdict(**json.loads(text) | {"epoch": epoch, "seq": seq})
    return found


def _existing(folder: Path) -> Path:
    """It, or what of it is there: a new box has no state yet."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
