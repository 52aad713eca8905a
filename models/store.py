"""The versions of a model on one machine, and which of them is in force.

    STORE/versions/<digest>/   bundles, immutable but for their signature (models/versions.py)
    STORE/state.json           which version is active, which was before it, and the history (models/state.py)
    STORE/state.copy.json      the same (models/record.py)

The whole state lives in one file that is replaced whole, so after a power cut a reader finds
the state before the change or the one after it. Writers take a lock; readers need none.
"""

import contextlib
import fcntl
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from models.bundle import Bundle, open_bundle
from models.errors import BundleError
from models.files import TEMPORARY_PREFIX, hand_over, make_folder
from models.gate import Gate
from models.manifest import Manifest
from models.record import Record
from models.state import State, Step
from models.versions import Versions

__all__ = ["State", "Store"]


class Store:
    """Bundles in a folder. Adding does not activate; activating verifies first.

    Where the gate has keys, no version is taken in, put in force or opened that none of them signed.
    """

    def __init__(self, root: Path, gate: Gate | None = None) -> None:
        self.root, self.gate, self.record = root, gate or Gate(), Record(root)
        self._versions = Versions(root, self.gate)

    def add(self, source: Path) -> Bundle:
        """Copies a bundle in and verifies the copy. Adding a version twice changes nothing but its signature;
        one that was damaged on this disk is replaced.

        Raises BundleError when the source or the copy is not a whole bundle, or the gate does not let it pass;
        nothing stays behind.
        """
        bundle = open_bundle(source)
        self.gate.take_in(bundle)
        with self._locked():
            is_new = self._versions.take(bundle)
        if is_new:
            self.note("staged", bundle.digest)
        return self.open(bundle.digest)

    def activate(self, digest: str, because: str | None = None, *, on_probation: bool = False) -> Bundle:
        """Puts a stored version in force after verifying it again; the old one becomes `previous`.

        Raises BundleError when it is absent or damaged, or may not follow the active version (`admit`); then the
        old version stays in force.
        """
        with self._locked():
            bundle = self._versions.open(self.find(digest))
            self.admit(bundle, because)
            self._change(
                lambda state: state.activated(bundle.digest, self.gate.now(), because, on_probation=on_probation)
            )
        return bundle

    def hold(self, digest: str, because: str | None = None) -> Bundle:
        """The same of a version that waits until the line stops; then `release` puts it in force."""
        with self._locked():
            bundle = self._versions.open(self.find(digest))
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
            bundle = self._versions.open(self.find(digest))
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
        bundle = self._versions.open(digest)
        self.gate.verify(bundle)
        return bundle

    def state(self) -> State:
        """Which versions are active and previous. Raises BundleError when the record is damaged."""
        return self.record.read()

    def versions(self) -> list[str]:
        """Digests of all stored versions, sorted."""
        return self._versions.digests()

    def find(self, start: str) -> str:
        """The one stored version whose digest starts with `start`."""
        return self._versions.find(start)

    def _active_manifest(self) -> Manifest | None:
        """As far as it can be read: a damaged version must not keep out the one that mends it."""
        with contextlib.suppress(BundleError, OSError):
            return self._versions.manifest(self.state().active or "none")
        return None

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
