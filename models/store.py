"""The versions of a model on one machine, and which of them is in force.

    STORE/versions/<digest>/   bundles, immutable
    STORE/state.json           which version is active, which was before it

Both names of the state live in one file that is replaced whole, so after a power cut a reader finds
the state before the change or the one after it. Writers take a lock; readers need none.
"""

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from models.base import Frozen, Sha256, first_error
from models.bundle import MANIFEST, Bundle, open_bundle
from models.errors import BundleError
from models.files import TEMPORARY_PREFIX, make_folder, remove_folder, whole_folder, write_whole


class State(Frozen):
    """Digests of the version in force and of the one before it."""

    active: Sha256 | None = None
    previous: Sha256 | None = None


class Store:
    """Bundles in a folder. Adding does not activate; activating verifies first."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, source: Path) -> Bundle:
        """Copies a bundle in and verifies the copy. Adding a version twice changes nothing; one that
        was damaged on this disk is replaced.

        Raises BundleError when the source or the copy is not a whole bundle; nothing stays behind.
        """
        bundle = open_bundle(source)
        with self._locked():
            target = self._folder(bundle.digest)
            if target.exists():
                with contextlib.suppress(BundleError):
                    return self.open(bundle.digest)
                remove_folder(target)
            with whole_folder(target) as copy:
                _copy(bundle, copy)
                _refuse_other(open_bundle(copy), bundle.digest)
        return self.open(bundle.digest)

    def activate(self, digest: str) -> Bundle:
        """Puts a stored version in force after verifying it again; the old one becomes `previous`.

        Raises BundleError when it is absent or damaged; then the old version stays in force.
        """
        with self._locked():
            bundle = self.open(self.find(digest))
            before = self._active_before()
            if before != bundle.digest:
                self._write(State(active=bundle.digest, previous=before))
        return bundle

    def rollback(self) -> Bundle:
        """Puts the previous version in force again. A second rollback undoes the first."""
        with self._locked():
            state = self.state()
            if state.previous is None:
                raise BundleError(f"{self.root}: no version before the active one; push another bundle")
            bundle = self.open(state.previous)
            self._write(State(active=state.previous, previous=state.active))
        return bundle

    def active(self) -> Bundle:
        """The version in force, verified. Raises BundleError when there is none or it is damaged."""
        state = self.state()
        if state.active is None:
            raise BundleError(f"{self.root}: no active version; `mekiki-deploy push BUNDLE --to {self.root}` first")
        return self.open(state.active)

    def open(self, digest: str) -> Bundle:
        """A stored version, verified. Raises BundleError when it is absent, damaged or another one."""
        return _refuse_other(open_bundle(self._folder(digest)), digest)

    def state(self) -> State:
        """Which versions are active and previous. Raises BundleError when the record is damaged."""
        path = self.root / "state.json"
        try:
            return State.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return State()
        except ValidationError as error:
            raise BundleError(f"{path}: {first_error(error)}; push a bundle again") from error

    def versions(self) -> list[str]:
        """Digests of all stored versions, sorted."""
        folder = self.root / "versions"
        return sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")) if folder.is_dir() else []

    def find(self, start: str) -> str:
        """The one stored version whose digest starts with `start`."""
        found = [digest for digest in self.versions() if start and digest.startswith(start)]
        if len(found) != 1:
            what = "no version" if not found else f"{len(found)} versions"
            raise BundleError(f"{self.root}: {what} starting with {start!r}; see `mekiki-deploy status`")
        return found[0]

    def _active_before(self) -> str | None:
        """None also where the record is damaged: activating is how it is repaired."""
        with contextlib.suppress(BundleError):
            return self.state().active
        return None

    def _folder(self, digest: str) -> Path:
        return self.root / "versions" / digest

    def _write(self, state: State) -> None:
        write_whole(self.root / "state.json", state.model_dump_json(indent=2).encode() + b"\n")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time. What a killed writer left half-copied is cleared here."""
        make_folder(self.root / "versions")
        with (self.root / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for folder in (self.root, self.root / "versions"):
                for left in folder.glob(f"{TEMPORARY_PREFIX}*"):
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
            yield


def _copy(bundle: Bundle, to: Path) -> None:
    """What the manifest names and nothing else; modes of a read-only medium stay behind."""
    for name in (MANIFEST, *bundle.manifest.files):
        (to / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(bundle.path / name, to / name)


def _refuse_other(bundle: Bundle, digest: str) -> Bundle:
    if bundle.digest != digest:
        raise BundleError(
            f"{bundle.path}: holds version {bundle.digest[:12]}, not {digest[:12]}; push the bundle again"
        )
    return bundle
