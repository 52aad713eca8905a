"""Writes folders of synthetic screws in the layout of MVTec AD."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainer.synth.arrays import Image, Mask
from trainer.synth.scene import Defect, render_screw

PNG_COMPRESSION = 1  # noise hardly packs; higher levels only cost time


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture to take."""

    folder: str  # below the data set, e.g. "test/good"
    name: str  # without suffix, e.g. "000"
    seed: int
    defect: Defect | None


def plan_shots(*, train_good: int, test_good: int, test_defect: int, seed: int, defect: Defect) -> list[Shot]:
    """Every picture of a data set. No two share a seed, also across data sets of other seeds.

    The n-th picture of a split depends on `seed`, the split and n only: a larger set starts with the
    pictures of a smaller one.
    """
    splits: tuple[tuple[str, int, Defect | None], ...] = (
        ("train/good", train_good, None),
        ("test/good", test_good, None),
        (f"test/{defect}", test_defect, defect),
    )
    shots = []
    for number, (folder, count, mark) in enumerate(splits):
        shots += [Shot(folder, f"{i:03d}", _seed_of(seed, number, i), mark) for i in range(count)]
    return shots


def _seed_of(seed: int, split: int, index: int) -> int:
    """128 bits, so that two pictures do not meet by chance."""
    low, high = np.random.SeedSequence(seed, spawn_key=(split, index)).generate_state(2, np.uint64)
    return (int(high) << 64) | int(low)


def write_dataset(
    out: Path,
    *,
    train_good: int,
    test_good: int,
    test_defect: int,
    seed: int,
    size_px: int = 1024,
    defect: Defect = "scratch_neck",
    progress: Callable[[Iterable[Any]], Iterable[Any]] | None = None,
) -> None:
    """Renders train/good, test/good, test/<defect> and ground_truth/<defect> below `out`.

    `progress` wraps the iterable of pictures, as tqdm does. The folder is whole or absent: pictures go
    to a temporary folder beside it, which takes the name at the end. Raises ValueError if `out` is a
    file or a folder with something in it.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: wanted a new or an empty folder, found data; name another or remove it")
    counts = {"train_good": train_good, "test_good": test_good, "test_defect": test_defect}
    shots = plan_shots(**counts, seed=seed, defect=defect)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        for name in ("train/good", "test/good", f"test/{defect}", f"ground_truth/{defect}"):
            (temporary / name).mkdir(parents=True)
        for shot in shots if progress is None else progress(shots):
            _take(temporary, shot, size_px)
        temporary.chmod(0o755)  # mkdtemp's folder is for its owner only
        for folder in (temporary, *(path for path in temporary.rglob("*") if path.is_dir())):
            _sync(folder)
        temporary.rename(out)
        _sync(out.parent)
    except BaseException:  # Ctrl-C too must leave nothing behind
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _take(root: Path, shot: Shot, size_px: int) -> None:
    image, mask = render_screw(shot.seed, size_px=size_px, defect=shot.defect)
    _write_png(root / shot.folder / f"{shot.name}.png", image)
    if shot.defect is not None:
        _write_png(root / "ground_truth" / shot.defect / f"{shot.name}_mask.png", mask)


def _write_png(path: Path, picture: Image | Mask) -> None:
    import cv2

    ok, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION])
    if not ok:
        raise RuntimeError(f"{path}: OpenCV could not encode a picture of shape {picture.shape} as PNG")
    with path.open("wb") as file:
        file.write(data.tobytes())
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
