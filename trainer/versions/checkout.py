"""A snapshot as a folder in MVTec AD's layout, to be given as `--data`.

train/good/          what is learned from
test/good/           good parts to test on
test/<defect>/       defects; ground_truth/<defect>/ their masks
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from models.errors import ConfigError, DatasetError
from models.files import sha256_of, whole_folder
from trainer.dataset import GOOD, MASKS
from trainer.versions.store import DatasetStore
from trainer.versions.types import Item


def checkout(store: DatasetStore, items: Sequence[Item], to: Path) -> None:
    """Makes the folder `to`, whole or not at all, of links into the store.

    Of the train part a fit may be made, whose defects place the threshold; the test part is to measure on. Raises
    ConfigError where `to` is there, DatasetError where the store is damaged.
    """
    if to.exists() or to.is_symlink():
        raise ConfigError(f"{to}: exists already; choose another --to or remove it first")
    with whole_folder(to) as folder:
        for item in items:
            side = "train" if item.label == GOOD and item.role == "train" else "test"
            picture = _whole(store, item.picture, item.suffix)
            _link(picture, folder / side / item.label / f"{item.picture}{item.suffix}")
            if item.mask is not None and item.label != GOOD:
                mask = _whole(store, item.mask, ".png")
                _link(mask, folder / MASKS / item.label / f"{item.picture}_mask.png")


def _whole(store: DatasetStore, sha256: str, suffix: str) -> Path:
    path = store.object(sha256, suffix)
    if not path.is_file() or sha256_of(path) != sha256:
        what = "changed" if path.exists() else "missing"
        raise DatasetError(f"{path}: {what}; add the picture again after taking this file away")
    return path


def _link(target: Path, place: Path) -> None:
    """A hard link costs nothing; on another disk it is a copy."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(target, place)
    except OSError:
        shutil.copyfile(target, place)
