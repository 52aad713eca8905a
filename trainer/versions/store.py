"""Reads and writes a store of data sets. Whatever is there stays: everything is named after its content, or once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from models.base import first_error
from models.errors import ConfigError, DatasetError
from models.files import make_folder, sha256_of, write_once, write_whole
from models.images import read_image
from trainer.study.sheet import look_bits
from trainer.versions.types import Claim, Picture, Snapshot

_Record = TypeVar("_Record", bound=BaseModel)


class DatasetStore:
    """A folder of objects, claims and snapshots."""

    def __init__(self, root: Path) -> None:
        """Nothing is read or made yet."""
        self.root = root

    def exists(self) -> bool:
        """Whether anything was ever added."""
        return (self.root / "claims").is_dir()

    def take(self, path: Path) -> Picture:
        """Copies a picture in, unless it is there. Raises DatasetError where it is none."""
        sha256 = sha256_of(path)
        record = self._record(sha256)
        if record.is_file():
            return self.picture(sha256)
        image = read_image(path)
        picture = Picture(
            sha256=sha256,
            suffix=path.suffix.lower(),
            size_px=image.shape[:2],
            pixels=hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest(),
            look=np.packbits(look_bits(image)).tobytes().hex(),
        )
        self.keep(path, sha256)
        make_folder(record.parent)
        write_whole(record, _text(picture))
        return picture

    def keep(self, path: Path, sha256: str) -> None:
        """Copies any file in as an object."""
        target = self.object(sha256, path.suffix.lower())
        if not target.exists():
            make_folder(target.parent)
            write_whole(target, path.read_bytes())

    def object(self, sha256: str, suffix: str) -> Path:
        """Where the bytes lie."""
        return self.root / "objects" / f"{sha256}{suffix}"

    def has(self, sha256: str) -> bool:
        """Whether this picture was ever taken in."""
        return self._record(sha256).is_file()

    def picture(self, sha256: str) -> Picture:
        """What is known of one. Raises DatasetError where the record is damaged."""
        return _read(self._record(sha256), Picture)

    def claim(self, claim: Claim) -> bool:
        """Writes it down; False where the very same was said before."""
        text = _text(claim)
        path = self.root / "claims" / f"{hashlib.sha256(text).hexdigest()}.json"
        if path.exists():
            return False
        make_folder(path.parent)
        write_whole(path, text)
        return True

    def claims(self) -> list[Claim]:
        """All, by picture. Raises ConfigError where nothing was ever added."""
        if not self.exists():
            raise ConfigError(
                f"{self.root}: no data set there; `mekiki-train dataset add DIR --store {self.root}` first"
            )
        return [_read(path, Claim) for path in sorted((self.root / "claims").glob("*.json"))]

    def find(self, start: str) -> Picture:
        """The one picture whose hash starts so. Raises ConfigError where there is none, or more than one."""
        found = sorted((self.root / "pictures").glob(f"{start}*.json")) if start.isalnum() else []
        if len(found) != 1:
            raise ConfigError(f"{start}: {len(found) or 'no'} pictures of {self.root} start so; see `dataset show`")
        return _read(found[0], Picture)

    def snapshots(self) -> list[Snapshot]:
        """All, the oldest first."""
        found = [_read(path, Snapshot) for path in (self.root / "snapshots").glob("*.json")]
        return sorted(found, key=lambda snapshot: (snapshot.created_at, snapshot.name))

    def snapshot(self, name: str) -> Snapshot:
        """By its name. Raises ConfigError where there is none."""
        known = {snapshot.name: snapshot for snapshot in self.snapshots()}
        if name not in known:
            raise ConfigError(f"{name}: no such snapshot in {self.root}; it has {', '.join(known) or 'none'}")
        return known[name]

    def write(self, snapshot: Snapshot) -> Path:
        """Raises ConfigError where one of that name is there: it stays as it is."""
        path = self.root / "snapshots" / f"{snapshot.name}.json"
        make_folder(path.parent)
        try:
            write_once(path, _text(snapshot))
        except FileExistsError:
            raise ConfigError(f"{path}: is there, and a snapshot never changes; choose another name") from None
        return path

    def _record(self, sha256: str) -> Path:
        return self.root / "pictures" / f"{sha256}.json"


def _text(record: BaseModel) -> bytes:
    return record.model_dump_json(indent=1).encode() + b"\n"


def _read(path: Path, kind: type[_Record]) -> _Record:
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise DatasetError(f"{path}: {first_error(error)}; bring it back from a copy of the store") from error
