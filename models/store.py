"""The versions of a model on one machine, and which of them is in force.

    STORE/versions/<digest>/   bundles, immutable but for their signature
    STORE/state.json           which version is active, which was before it, and the history (models/state.py)
    STORE/state.copy.json      the same (models/record.py)

The whole state lives in one file that is replaced whole, so after a power cut a reader finds
the state before the change or the one after it. Writers take a lock; readers need none.
"""

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from models.bundle import MANIFEST, SIGNATURE, Bundle, open_bundle
from models.errors import BundleError
from models.files import TEMPORARY_PREFIX, hand_over, make_folder, remove_folder, whole_folder, write_whole
from models.gate import Gate
from models.manifest import Manifest, parse_manifest
from models.record import Record
from models.state import State, Step

__all__ = ["State", "Store"]

_SPARE_BYTES = 64 << 20  # that a new version must leave free


class Store:
    """Bundles in a folder. Adding does not activate; activating verifies first.

    Where the gate has keys, no version is taken in, put in force or opened that none of them signed.
    """

    def __init__(self, root: Path, gate: Gate | None = None) -> None:
        self.root, self.gate, self.record = root, gate or Gate(), Record(root)

    def add(self, source: Path) -> Bundle:
        """Copies a bundle in and verifies the copy. Adding a version twice changes nothing but its signature;
        one that was damaged on this disk is replaced.

        Raises BundleError when the source or the copy is not a whole bundle, or the gate does not let it pass;
        nothing stays behind.
        """
        bundle = open_bundle(source)
        self.gate.take_in(bundle)
        with self._locked():
            target = self._folder(bundle.digest)
            if (stored := _whole_or_none(target)) is not None:
                self._sign(stored, bundle)
                return self.open(bundle.digest)
            if target.exists():
                remove_folder(target)
            self._refuse_full(bundle)
            with whole_folder(target) as copy:
                _copy(bundle, copy)
                self.gate.take_in(_refuse_other(open_bundle(copy), bundle.digest))
        self.note("staged", bundle.digest)
        return self.open(bundle.digest)

    def activate(self, digest: str, because: str | None = None, *, on_probation: bool = False) -> Bundle:
        """Puts a stored version in force after verifying it again; the old one becomes `previous`.

        Raises BundleError when it is absent or damaged, or may not follow the active version (`admit`); then the
        old version stays in force.
        """
        with self._locked():
            bundle = _whole(self._folder(self.find(digest)))
            self.admit(bundle, because)
            self._change(
                lambda state: state.activated(bundle.digest, self.gate.now(), because, on_probation=on_probation)
            )
        return bundle

    def hold(self, digest: str, because: str | None = None) -> Bundle:
        """The same of a version that waits until the line stops; then `release` puts it in force."""
        with self._locked():
            bundle = _whole(self._folder(self.find(digest)))
            self.admit(bundle, because)
            self._change(lambda state: state.held(bundle.digest, self.gate.now(), because))
        return bundle

    def release(self, digest: str, *, on_probation: bool) -> None:
        """The version that waits comes into force. Nothing happens where it waits no more; else as `activate`."""
        waiting = self.state().waiting
        if waiting is not None and waiting.version == digest:
            self.activate(digest, waiting.because, on_probation=on_probation)

    def refuse(self, digest: str, why: str) -> None:
        """One more line of history, as `note`: the version may not come into force. It waits for that no more."""
        with self._locked(), contextlib.suppress(BundleError):
            self._change(lambda state: state.refused(digest, self.gate.now(), why))

    def shadow(self, digest: str) -> Bundle:
        """A stored version judges beside the active one, and acts on nothing; it may be an older one.

        Raises BundleError when it is damaged, not trusted, for another product, or active itself.
        """
        with self._locked():
            bundle = _whole(self._folder(self.find(digest)))
            self.gate.put_in_force(bundle, self._active_manifest(), "it only looks on")
            self._change(lambda state: state.shadowed(bundle.digest, self.gate.now()))
        return bundle

    def end_shadow(self, digest: str | None = None, why: str | None = None) -> None:
        """No version judges beside the active one any more; with a digest, only where it is that one."""
        with self._locked():
            if digest is None or self.state().shadow == digest:
                self._change(lambda state: state.unshadowed(self.gate.now(), why))

    def admit(self, bundle: Bundle, because: str | None = None) -> None:
        """Raises BundleError when the bundle may not come into force here: the gate's reasons, another product than
        the active version's, an older one without a reason to go back, or one that failed on probation here."""
        self.state().refuse_failed(bundle.digest)
        self.gate.put_in_force(bundle, self._active_manifest(), because)

    def rollback(self, why: str | None = None) -> Bundle:
        """Puts the previous version in force again. A second rollback undoes the first."""
        with self._locked():
            state = self.state()
            if state.previous is None:
                raise BundleError(f"{self.root}: no version before the active one; push another bundle")
            bundle = self.open(state.previous)
            self.record.write(state.rolled_back(self.gate.now(), why))
        return bundle

    def commit(self, digest: str, why: str) -> None:
        """The version on probation has proved itself. Nothing happens where it is another's turn by now."""
        self._settle(digest, lambda state: state.committed(self.gate.now(), why))

    def give_up(self, digest: str, why: str, *, is_final: bool = True) -> None:
        """The version on probation has failed: the one before it is in force again. Else as `commit`.

        `is_final`: it would fail again, and is not taken again. One that was damaged on this disk is, once it is whole.

        Raises BundleError where the one before it is damaged or not signed; then the state stays.
        """

        def back(state: State) -> State:
            self.open(state.previous or digest)
            return state.given_up(self.gate.now(), why, is_final=is_final)

        self._settle(digest, back)

    def start(self, digest: str, boot: str) -> None:
        """Counts a start of the daemon with a version on probation, in this boot of the machine."""
        self._settle(digest, lambda state: state.started(boot))

    def end(self, digest: str) -> None:
        """That start ended in order."""
        self._settle(digest, State.ended)

    def note(self, step: Step, digest: str, why: str | None = None) -> None:
        """One more line of history, where the record is whole."""
        with self._locked(), contextlib.suppress(BundleError):
            self._change(lambda state: state.noted(step, digest, self.gate.now(), why))

    def _settle(self, digest: str, change: Callable[[State], State]) -> None:
        with self._locked():
            state = self.state()
            if (state.active, state.on_probation) == (digest, True):
                self._change(change)

    def _change(self, change: Callable[[State], State]) -> None:
        """Under the lock. Raises BundleError when the record is damaged, or the change may not be."""
        before = self.state()
        if (after := change(before)) != before:
            self.record.write(after)

    def active(self) -> Bundle:
        """The version in force, verified. Raises BundleError when there is none or it is damaged."""
        state = self.state()
        if state.active is None:
            raise BundleError(f"{self.root}: no active version; `mekiki-deploy push BUNDLE --to {self.root}` first")
        return self.open(state.active)

    def open(self, digest: str) -> Bundle:
        """A stored version, verified. Raises BundleError when it is absent, damaged, another one or not signed."""
        bundle = _whole(self._folder(digest))
        self.gate.verify(bundle)
        return bundle

    def state(self) -> State:
        """Which versions are active and previous. Raises BundleError when the record is damaged."""
        return self.record.read()

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

    def _active_manifest(self) -> Manifest | None:
        """As far as it can be read: a damaged version must not keep out the one that mends it."""
        with contextlib.suppress(BundleError, OSError):
            path = self._folder(self.state().active or "none") / MANIFEST
            return parse_manifest(path.read_bytes(), str(path))
        return None

    def _sign(self, stored: Bundle, bundle: Bundle) -> None:
        """The signature that comes with a version takes the place of the one that it had, if it is as good."""
        new, old = bundle.path / SIGNATURE, stored.path / SIGNATURE
        if not new.is_file() or (old.is_file() and new.read_bytes() == old.read_bytes()):
            return
        with tempfile.TemporaryDirectory(dir=stored.path.parent, prefix=TEMPORARY_PREFIX) as folder:
            staged = Path(shutil.copyfile(new, Path(folder) / SIGNATURE))
            self.gate.verify(stored, staged)
            write_whole(old, staged.read_bytes(), staging=Path(folder))

    def _refuse_full(self, bundle: Bundle) -> None:
        free = shutil.disk_usage(self.root).free
        if bundle.bytes + _SPARE_BYTES > free:
            raise BundleError(
                f"{self.root}: {free >> 20} MB free, {bundle.path} takes {bundle.bytes >> 20} MB and "
                f"{_SPARE_BYTES >> 20} MB must stay free; free space, then push again"
            )

    def _folder(self, digest: str) -> Path:
        return self.root / "versions" / digest

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time. What a killed writer left half-copied is cleared here."""
        make_folder(self.root / "versions")
        with (self.root / ".lock").open("a") as lock:
            hand_over(self.root / ".lock")
            fcntl.flock(lock, fcntl.LOCK_EX)
            for folder in (self.root, self.root / "versions"):
                for left in folder.glob(f"{TEMPORARY_PREFIX}*"):
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
            yield


def _copy(bundle: Bundle, to: Path) -> None:
    """What the manifest names, the signature and nothing else; modes of a read-only medium stay behind."""
    signature = [SIGNATURE] if (bundle.path / SIGNATURE).is_file() else []
    for name in (MANIFEST, *signature, *bundle.manifest.files):
        (to / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(bundle.path / name, to / name)


def _whole(folder: Path) -> Bundle:
    """The version that the folder is named after."""
    return _refuse_other(open_bundle(folder), folder.name)


def _whole_or_none(folder: Path) -> Bundle | None:
    with contextlib.suppress(BundleError):
        return _whole(folder)
    return None


def _refuse_other(bundle: Bundle, digest: str) -> Bundle:
    if bundle.digest != digest:
        raise BundleError(
            f"{bundle.path}: holds version {bundle.digest[:12]}, not {digest[:12]}; push the bundle again"
        )
    return bundle
