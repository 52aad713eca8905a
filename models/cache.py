"""Compiled graphs on disk, so that a start need not compile: CACHE/<key>.blob, each whole or absent.

OpenVINO has a cache of its own (CACHE_DIR). Ours needs no graph to be read first, which is what takes longest, writes
no half files, and does not take what was damaged. A blob is as good as the program that loads it: the folder belongs
to the daemon's user, and a bundle's golden images are asked at every start whatever it was loaded from.
"""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.files import make_folder, write_whole

_MAX_BLOBS: Final = 16  # the least recently used go first
_SUFFIX: Final = ".blob"
_DIGEST_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder of blobs. Any process may read and write it at any time."""

    folder: Path

    def load(self, key: str) -> bytes | None:
        """None where there is none, or none that is whole and was written by who may write here."""
        path = self._path(key)
        try:
            if self._is_open_to_all():
                return None
            content = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        digest, blob = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        return blob if hashlib.sha256(blob).digest() == digest else None

    def store(self, key: str, blob: bytes) -> None:
        """Raises OSError where it cannot be written."""
        make_folder(self.folder)
        if self._is_open_to_all():
            return
        write_whole(self._path(key), hashlib.sha256(blob).digest() + blob)
        blobs = sorted(self.folder.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime_ns)
        for path in blobs[:-_MAX_BLOBS]:
            path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / (hashlib.sha256(key.encode()).hexdigest() + _SUFFIX)

    def _is_open_to_all(self) -> bool:
        return bool(self.folder.stat().st_mode & stat.S_IWOTH)
