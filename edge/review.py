"""The parts that a person may be asked about, and the answers. What holds both is told in models/review.py.

On the caller's thread, in a process of its own: the daemon writes evidence meanwhile, and only reads answers.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edge.pictures import overlay
from models.base import first_error
from models.errors import ConfigError, MekikiError
from models.files import make_folder, sha256_of, write_once
from models.images import read_image
from models.prediction import Boxes, Image, Prediction
from models.review import EVIDENCE, HEATMAP, REVIEW, SHADOW, KeptVerdict, Review, Said, answers_in, objection, standing

_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class Asked:
    """A part with all that is known of it."""

    key: str  # "<day>/<name>"
    verdict: KeptVerdict
    picture: Path
    heatmap: Path | None
    is_disputed: bool  # a candidate in shadow said otherwise
    answers: tuple[Review, ...]

    @property
    def why(self) -> str | None:
        """Why a person is asked; None where nobody asks."""
        return self.verdict.asked_for or ("shadow" if self.is_disputed else None)

    @property
    def is_open(self) -> bool:
        """Nobody's answer stands."""
        return not standing(self.answers)


class Reviews:
    """Evidence and answers of one box."""

    def __init__(self, state: Path) -> None:
        """`state` is the daemon's folder; nothing is read or made yet."""
        self._evidence, self._review = state / EVIDENCE, state / REVIEW

    def parts(self, *, everything: bool = False) -> list[Asked]:
        """The open parts that a person is asked about, the oldest first; with `everything` all that is kept.

        Raises MekikiError for an answer that cannot be read.
        """
        found = [part for key in self._keys() if (part := self._read(key)) is not None]
        chosen = [part for part in found if everything or (part.is_open and part.why is not None)]
        return sorted(chosen, key=lambda part: (part.verdict.captured_at_ns, part.key))

    def find(self, name: str) -> Asked:
        """By its key, the second half of that, or its part id. Raises ConfigError where it is none, or not clear."""
        keys = [key for key in self._keys() if name in (key, key.partition("/")[2])]
        if not keys:
            keys = [part.key for part in self.parts(everything=True) if part.verdict.part_id == name]
        part = self._read(keys[0]) if len(keys) == 1 else None
        if part is None:
            what = "no such part is kept" if not keys else f"{len(keys)} parts are called so, or it cannot be read"
            raise ConfigError(f"{name}: {what}; take a name from `mekiki-edge review --all --list`")
        return part

    def say(self, part: Asked, said: Said, by: str, kind: str | None = None, note: str | None = None) -> Review:
        """Writes an answer down, whole or not at all, after those that are there.

        Raises ConfigError for one that does not fit the verdict, OSError when the disk refuses.
        """
        if (why := objection(part.verdict.outcome, said, kind)) is not None:
            raise ConfigError(f"{part.key}: {why}")
        if said == "undo" and not any(answer.by == by for answer in standing(answers_in(self._review / part.key))):
            raise ConfigError(f"{part.key}: {by} has no answer there that could be taken back; see who has with --all")
        review = _review(part, said, by, kind, note)
        folder = self._review / part.key
        make_folder(folder)
        number = len(answers_in(folder)) + 1
        while True:  # somebody else may answer at this moment
            with contextlib.suppress(FileExistsError):
                write_once(folder / f"{number}.json", review.model_dump_json(indent=1).encode() + b"\n")
                return review
            number += 1

    def _keys(self) -> Iterator[str]:
        days = sorted(self._evidence.iterdir()) if self._evidence.is_dir() else []
        for day in days:
            if _DAY.fullmatch(day.name) and day.is_dir():
                names = (path.name for path in sorted(day.glob("*.json")) if not path.name.startswith("."))
                yield from (f"{day.name}/{name.removesuffix('.json')}" for name in names)

    def _read(self, key: str) -> Asked | None:
        """None where the daemon has just removed it, or it is no evidence."""
        stem = self._evidence / key
        picture, heatmap, shadow = (stem.with_name(f"{stem.name}{ending}") for ending in (".png", HEATMAP, SHADOW))
        try:
            verdict = KeptVerdict.model_validate_json(stem.with_name(f"{stem.name}.json").read_bytes())
        except (OSError, ValidationError):
            return None
        answers = tuple(answers_in(self._review / key))
        return Asked(key, verdict, picture, heatmap if heatmap.exists() else None, shadow.exists(), answers)


def _review(part: Asked, said: Said, by: str, kind: str | None, note: str | None) -> Review:
    try:
        return Review(
            part=part.key,
            said=said,
            kind=kind,
            note=note,
            by=by,
            at=datetime.now(UTC),
            verdict=part.verdict,
            picture_sha256=sha256_of(part.picture),
            heatmap_sha256=None if part.heatmap is None else sha256_of(part.heatmap),
        )
    except ValidationError as error:
        raise ConfigError(f"{part.key}: {first_error(error)}") from error
    except FileNotFoundError as error:
        raise MekikiError(f"{part.picture}: gone meanwhile, to make room; raise [evidence] max_bytes") from error


def drawn(part: Asked) -> Image:
    """The picture with what the model saw in it, uint8 (H, W, 3) BGR. Raises MekikiError where it cannot be read."""
    image, verdict = read_image(part.picture), part.verdict
    height_px, width_px = image.shape[:2]
    heatmap = None if part.heatmap is None else _heatmap_in(part.heatmap)
    boxes = _boxes_of(verdict) if heatmap is None and verdict.regions else None
    seen = Prediction(verdict.score or 0.0, heatmap, height_px, width_px, 0.0, 0.0, boxes)
    return image if verdict.threshold is None else overlay(image, seen, verdict.threshold)


def _heatmap_in(path: Path) -> NDArray[np.float32]:
    try:
        return np.asarray(np.load(path, allow_pickle=False), np.float32)
    except (ValueError, EOFError) as error:
        raise MekikiError(f"{path}: no heatmap ({error}); look at the picture beside it") from error


def _boxes_of(verdict: KeptVerdict) -> Boxes:
    """What a detector found, as far as its verdict tells."""
    edges = [(r.x_px, r.y_px, r.x_px + r.width_px, r.y_px + r.height_px) for r in verdict.regions]
    labels = tuple(region.label or "" for region in verdict.regions)
    return Boxes(
        np.array(edges, np.float32), np.array([region.score for region in verdict.regions], np.float32), labels
    )
