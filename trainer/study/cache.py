"""What a study has found already: one folder for each fit, with its bundle and a file for each test.

    OUT/work/fits/<key>/bundle/            what `fit` wrote
    OUT/work/fits/<key>/fit.json           that it is done, and how long it took; written last
    OUT/work/fits/<key>/<condition>.json   what the bundle is worth under it; written after its pictures

A key holds all that decides what comes out, so that a changed study takes over what still holds and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from models import __version__
from models.base import Frozen, Sha256
from models.files import make_folder, sha256_of, write_whole
from models.manifest import Threshold
from trainer import backbone
from trainer.conditions import Condition
from trainer.study.pool import Source
from trainer.study.splits import Split
from trainer.study.types import Candidate, Figures, ScoredPart

Kept = TypeVar("Kept", bound=Frozen)


class Fit(Frozen):
    """`fit.json`."""

    took_s: float
    left_out: tuple[str, ...]  # names of defects that the condition moved out of the picture


class Measured(Frozen):
    """What one bundle is worth under one condition."""

    threshold: Threshold
    figures: Figures
    parts: tuple[ScoredPart, ...]
    pictures: dict[Sha256, str]  # path from OUT


@dataclass(frozen=True, slots=True)
class Place:
    """Where one fit and its tests are kept."""

    folder: Path

    @property
    def data(self) -> Path:
        """What the fit reads; it goes when the fit is done."""
        return self.folder / "data"

    @property
    def bundle(self) -> Path:
        """What it writes."""
        return self.folder / "bundle"

    @property
    def fit(self) -> Path:
        """That it is done."""
        return self.folder / "fit.json"

    def test(self, condition: Condition, sources: tuple[Source, ...]) -> Path:
        """What the bundle is worth under `condition` on these pictures."""
        told = [condition.model_dump(mode="json"), [(source.sha256, source.name) for source in sources]]
        return self.folder / f"{condition.name[:80]}.{_digest(told)[:12]}.json"


def place_of(  # noqa: PLR0913, PLR0917 - what comes out of a fit hangs on all of it
    work: Path, candidate: Candidate, split: Split, learn: Condition, seed: int, policy: str
) -> Place:
    """By the candidate with its weights, what it learns from under which condition, the seed, and mekiki's version.

    Where no weights are given, those that ship stand for them: what a hub's cache on this machine holds is not asked.
    """
    weights = candidate.options.get("weights")
    told = {
        "candidate": candidate.model_dump(mode="json"),
        "weights": _shipped(backbone.STARTER) if weights is None else sha256_of(Path(str(weights))),
        "condition": learn.model_dump(mode="json"),
        "learn": [(source.sha256, source.name) for source in split.learn],
        "seed": seed,
        "policy": policy,
        "mekiki": __version__,
    }
    return Place(work / "fits" / _digest(told)[:24])


def read(path: Path, kind: type[Kept]) -> Kept | None:
    """What is kept in `path`; None where it is not there, or was written by a mekiki that wrote it otherwise."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def keep(path: Path, found: Frozen) -> None:
    """Writes it, whole or not at all."""
    make_folder(path.parent)
    write_whole(path, found.model_dump_json(indent=1).encode())


@cache
def _shipped(folder: Path) -> str:
    return _digest({path.name: sha256_of(path) for path in folder.glob("*.pth")})


def _digest(told: object) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
