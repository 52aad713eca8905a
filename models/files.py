"""Files and folders that are whole or absent, even after a power cut.

The order is always the same: write under a temporary name, fsync the content, rename, fsync the
folder that holds the name.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

TEMPORARY_PREFIX = ".incoming-"


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """fsync of a file or of a folder's list of names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hand_over(path: Path) -> None:
    """What root makes belongs to who owns the folder that it lies in: the daemon writes to its store too."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def write_whole(path: Path, content: bytes, staging: Path | None = None) -> None:
    """Writes `content` to `path`; a reader sees the old file or the new one, never a part.

    With `staging`, a folder on the same disk, what a killed writer leaves lies there and not beside `path`.
    """
    with tempfile.NamedTemporaryFile(dir=staging or path.parent, prefix=TEMPORARY_PREFIX, delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
            hand_over(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    sync(path.parent)


def write_once(path: Path, content: bytes) -> None:
    """As `write_whole`, but of two writers of one name the second gets FileExistsError, and the file stays."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=TEMPORARY_PREFIX) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        Path(file.name).chmod(0o644)
        path.hardlink_to(file.name)
    hand_over(path)
    sync(path.parent)


def make_folder(path: Path) -> None:
    """Makes the folder and those above it where they are missing, and syncs each new name."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        hand_over(path)
        sync(path.parent)


def remove_folder(path: Path) -> None:
    """Takes the folder's name away at once, then its content."""
    doomed = Path(tempfile.mkdtemp(dir=path.parent, prefix=TEMPORARY_PREFIX))
    path.rename(doomed)
    shutil.rmtree(doomed)


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yields an empty temporary folder beside `target` that becomes `target` when the block ends well.

    On any exception (Ctrl-C and a full disk included) the temporary folder goes and `target` was
    never there. Everything in it becomes readable for all: the daemon runs as its own user.
    Raises FileExistsError before the block when `target` is there already.
    """
    if target.exists() or target.is_symlink():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    make_folder(target.parent)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f"{TEMPORARY_PREFIX}{target.name}-"))
    try:
        yield temporary
        _settle(temporary)
        temporary.rename(target)
        for path in (target, *target.rglob("*")):
            hand_over(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync(target.parent)


def _settle(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        path.chmod(0o755 if path.is_dir() else 0o644)
        sync(path)
