"""The bundles of a store, each whole in a folder that is named after its digest.

STORE/versions/<digest>/   immutable but for its signature
"""

import contextlib
import shutil
import tempfile
from pathlib import Path

from models.bundle import MANIFEST, SIGNATURE, Bundle, open_bundle
from models.errors import BundleError
from models.files import TEMPORARY_PREFIX, remove_folder, whole_folder, write_whole
from models.gate import Gate
from models.manifest import Manifest, parse_manifest

_SPARE_BYTES = 64 << 20  # that a new version must leave free


class Versions:
    """Reads them at any time; takes one in under the lock of its store."""

    def __init__(self, root: Path, gate: Gate) -> None:
        self._root, self._gate = root, gate

    def digests(self) -> list[str]:
        """Of all, sorted."""
        folder = self._root / "versions"
        return sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")) if folder.is_dir() else []

    def find(self, start: str) -> str:
        """The one whose digest starts with `start`. Raises BundleError."""
        found = [digest for digest in self.digests() if start and digest.startswith(start)]
        if len(found) != 1:
            what = "no version" if not found else f"{len(found)} versions"
            raise BundleError(f"{self._root}: {what} starting with {start!r}; see `mekiki-deploy status`")
        return found[0]

    def open(self, digest: str) -> Bundle:
        """One that is whole and the one that its folder is named after; who signed it is not asked.

        Raises BundleError.
        """
        return _refuse_other(open_bundle(self._folder(digest)), digest)

    def manifest(self, digest: str) -> Manifest:
        """Of one that may be damaged otherwise. Raises BundleError, OSError."""
        path = self._folder(digest) / MANIFEST
        return parse_manifest(path.read_bytes(), str(path))

    def take(self, bundle: Bundle) -> bool:
        """Copies one in and verifies the copy; False where it lies there already, and has at most a new signature.

        Raises BundleError; nothing stays behind.
        """
        target = self._folder(bundle.digest)
        if (stored := self._open_or_none(bundle.digest)) is not None:
            self._sign(stored, bundle)
            return False
        if target.exists():
            remove_folder(target)
        self._refuse_full(bundle)
        with whole_folder(target) as copy:
            _copy(bundle, copy)
            self._gate.take_in(_refuse_other(open_bundle(copy), bundle.digest))
        return True

    def _sign(self, stored: Bundle, bundle: Bundle) -> None:
        """The signature that comes with a version takes the place of the one that it had, if it is as good."""
        new, old = bundle.path / SIGNATURE, stored.path / SIGNATURE
        if not new.is_file() or (old.is_file() and new.read_bytes() == old.read_bytes()):
            return
        with tempfile.TemporaryDirectory(dir=stored.path.parent, prefix=TEMPORARY_PREFIX) as folder:
            staged = Path(shutil.copyfile(new, Path(folder) / SIGNATURE))
            self._gate.verify(stored, staged)
            write_whole(old, staged.read_bytes(), staging=Path(folder))

    def _refuse_full(self, bundle: Bundle) -> None:
        free = shutil.disk_usage(self._root).free
        if bundle.bytes + _SPARE_BYTES > free:
            raise BundleError(
                f"{self._root}: {free >> 20} MB free, {bundle.path} takes {bundle.bytes >> 20} MB and "
                f"{_SPARE_BYTES >> 20} MB must stay free; free space, then push again"
            )

    def _folder(self, digest: str) -> Path:
        return self._root / "versions" / digest

    def _open_or_none(self, digest: str) -> Bundle | None:
        with contextlib.suppress(BundleError):
            return self.open(digest)
        return None


def _copy(bundle: Bundle, to: Path) -> None:
    """What the manifest names, the signature and nothing else; modes of a read-only medium stay behind."""
    signature = [SIGNATURE] if (bundle.path / SIGNATURE).is_file() else []
    for name in (MANIFEST, *signature, *bundle.manifest.files):
        (to / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(bundle.path / name, to / name)


def _refuse_other(bundle: Bundle, digest: str) -> Bundle:
    if bundle.digest != digest:
        raise BundleError(
            f"{bundle.path}: holds version {bundle.digest[:12]}, not {digest[:12]}; push the bundle again"
        )
    return bundle
