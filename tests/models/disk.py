"""A disk whose power can be cut: what would be left of a folder at each step of a change.

One run of the change gives all the cuts: before every system call that changes the disk, the folder
is copied as it is at that moment. With `lose_what_is_not_synced` the copies hold what must survive a
power cut and nothing more: content that was not fsynced since it was written is gone from its file.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from models.files import TEMPORARY_PREFIX
from models.store import Store

STEPS = ("mkdir", "sendfile", "fsync", "rename", "replace", "chmod", "unlink", "rmdir")


@contextlib.contextmanager
def steps(before: Callable[[str], None], names: tuple[str, ...] = STEPS) -> Iterator[None]:
    """Calls `before` with the name of each of these functions of `os` before it does its work."""

    def stepped(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def do(*args: object, **kwargs: object) -> object:
            before(name)
            return real(*args, **kwargs)

        return do

    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(mock.patch.object(os, name, stepped(name, getattr(os, name))))
        yield


class Disk:
    def __init__(self, folder: Path, cuts: Path, *, lose_what_is_not_synced: bool) -> None:
        self._folder, self._cuts, self._lossy = folder, cuts, lose_what_is_not_synced
        self._synced: dict[int, tuple[int, int]] = {}  # inode -> size and time of change of what is safe
        self.cuts: list[Path] = []

    @contextlib.contextmanager
    def recorded(self) -> Iterator[None]:
        for path in self._folder.rglob("*"):
            self._note(path.stat())
        fsync, busy = os.fsync, False

        def noted_fsync(descriptor: int) -> None:
            fsync(descriptor)
            self._note(os.fstat(descriptor))

        def before(_: str) -> None:
            nonlocal busy
            if not busy:
                busy = True
                self._cut()
                busy = False

        with mock.patch.object(os, "fsync", noted_fsync), steps(before):
            yield
        self._cut()

    def _note(self, status: os.stat_result) -> None:
        self._synced[status.st_ino] = (status.st_size, status.st_mtime_ns)

    def _cut(self) -> None:
        if not self._folder.exists():
            return
        copy = Path(shutil.copytree(self._folder, self._cuts / f"{len(self.cuts):03}"))
        for path in self._folder.rglob("*") if self._lossy else ():
            status = path.stat()
            if path.is_file() and self._synced.get(status.st_ino) != (status.st_size, status.st_mtime_ns):
                os.truncate(copy / path.relative_to(self._folder), status.st_size // 2)
        self.cuts.append(copy)


def leftovers(store: Store) -> list[str]:
    """What a writer that did not finish has left in the store."""
    return [p.name for p in store.root.rglob(f"{TEMPORARY_PREFIX}*")]


def flip(path: Path) -> None:
    """Damages a file by one bit."""
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
