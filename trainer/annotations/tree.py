"""The files below a data folder, listed once: names in annotations are looked up here and never opened as paths."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from models.images import is_image_name
from trainer.annotations.problems import RecordError

_HELD_OUT = re.compile(
    r"(?<![a-z])(val|valid|validation|test)(?![a-z])"
)  # `val2017`, but neither `values` nor `latest`


@dataclass(frozen=True, slots=True)
class Tree:
    """What lies below `root`; all paths are relative to it. Hidden files and folders are not there."""

    root: Path
    files: tuple[Path, ...]  # by path
    images: frozenset[Path]
    by_name: dict[str, list[Path]]  # images of one file name
    by_stem: dict[Path, list[Path]]  # images by their path without the suffix

    @classmethod
    def of(cls, root: Path) -> Tree:
        """Lists the folder. Links are followed, each folder once."""
        files = tuple(sorted(_walk(root)))
        by_name: dict[str, list[Path]] = defaultdict(list)
        by_stem: dict[Path, list[Path]] = defaultdict(list)
        images = [path for path in files if is_image_name(path)]
        for path in images:
            by_name[path.name].append(path)
            by_stem[path.parent / path.stem].append(path)
        return cls(root, files, frozenset(images), dict(by_name), dict(by_stem))

    def with_suffix(self, *suffixes: str) -> list[Path]:
        """Files whose names end so, in any case."""
        return [path for path in self.files if path.suffix.lower() in suffixes]

    def locate(self, name: str, folders: Iterable[Path]) -> Path:
        """The image of that name in the first of `folders` that has it, else the only one below the root.

        Raises RecordError for a name that leads out of the root, that no image has, or that several have.
        """
        wanted = inside(name)
        for folder in folders:
            if (path := folder / wanted) in self.images:
                return path
        found = self.by_name.get(wanted.name, [])
        if not found:
            raise RecordError(f"no image {name!r:.120} beside the file or below the folder")
        if len(found) > 1:
            raise RecordError(f"{name!r:.120} may be {found[0]} or {found[1]}; write the folder into the name")
        return found[0]


def inside(name: str) -> Path:
    """A file name out of an annotation as a relative path. Raises RecordError where it may lead elsewhere."""
    path = PurePosixPath(name.replace("\\", "/"))  # labelling tools on Windows write backslashes
    if path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts:
        raise RecordError(f"the name {name!r:.120} leads out of the folder; wanted one relative to it")
    if not path.name or "\0" in name:
        raise RecordError(f"{name!r:.120} is no file name")
    return Path(path)


def is_held_out(path: Path) -> bool:
    """Whether a part of the path holds `val`, `valid`, `validation` or `test` as a word."""
    return any(_HELD_OUT.search(part.lower()) for part in path.parts)


def is_below_good(path: Path) -> bool:
    """Whether the file lies in a folder `good/`."""
    return "good" in path.parts[:-1]


def _walk(root: Path) -> Iterable[Path]:
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link back up would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name).relative_to(root) for name in names if not name.startswith("."))
