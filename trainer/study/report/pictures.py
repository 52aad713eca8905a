"""Pictures of what went wrong, embedded: missed defects first, then good parts rejected, then the rest."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

import cv2

from models.errors import DatasetError
from models.images import read_image
from models.scoring import judge
from trainer.study.report.found import Found
from trainer.study.types import Cell, ScoredPart

Group = Literal["missed", "false_reject", "rest"]
GROUPS: Final[tuple[Group, ...]] = ("missed", "false_reject", "rest")
N_OPEN: Final = 15  # of a group; the others are folded
MOST_PICTURES: Final = 240  # of a whole report: a file that still goes by mail
_SIDE_PX: Final = 400
_QUALITY: Final = 82


@dataclass(frozen=True, slots=True)
class Shown:
    """One part as one bundle saw it."""

    cell: Cell
    part: ScoredPart
    group: Group
    outcome: str  # of the verdict
    path: str | None  # of its picture, from study.json

    @property
    def is_good(self) -> bool:
        """What it truly is."""
        return self.part.label == "good"


@dataclass(frozen=True, slots=True)
class Gallery:
    """One group of parts: those with a picture, and how many there are besides."""

    group: Group
    pictures: tuple[tuple[Shown, str], ...]  # with its data URI, "" where the file could not be read
    n_parts: int  # verdicts of this kind in the whole study, with and without a picture
    n_left_out: int  # pictures that are there and would make the file too large
    unseen: tuple[Shown, ...]  # that went wrong and have no picture


def galleries(found: Found, folder: Path) -> list[Gallery]:
    """All three groups, in their order. `folder` is where study.json and its pictures lie."""
    shown = [_shown(cell, part) for cell in found.told for part in cell.parts]
    groups = [sorted((one for one in shown if one.group == group), key=partial(_order, found)) for group in GROUPS]
    rooms = shared_out([sum(one.path is not None for one in group) for group in groups])
    return [_gallery(name, group, room, folder) for name, group, room in zip(GROUPS, groups, rooms, strict=True)]


def shared_out(counts: Sequence[int]) -> list[int]:
    """How many pictures each group may show: the first as many as go, the others at least what is not folded."""
    rooms: list[int] = []
    for index, count in enumerate(counts):
        kept = sum(min(N_OPEN, later) for later in counts[index + 1 :])
        rooms.append(min(count, MOST_PICTURES - sum(rooms) - kept))
    return rooms


def _gallery(group: Group, some: Sequence[Shown], room: int, folder: Path) -> Gallery:
    drawn = [one for one in some if one.path is not None]
    pictures = tuple((one, embedded(folder, one.path or "")) for one in drawn[:room])
    unseen = () if group == "rest" else tuple(one for one in some if one.path is None)
    return Gallery(group, pictures, len(some), len(drawn) - len(pictures), unseen)


def embedded(folder: Path, name: str) -> str:
    """The picture as a data URI, at most 400 px a side; "" for what cannot be read or does not lie in `folder`."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        return ""
    try:
        picture = read_image(path)
    except DatasetError:  # a report without one picture is still worth having
        return ""
    scale = min(1.0, _SIDE_PX / max(picture.shape[:2]))
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
    packed = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(packed).decode("ascii")


def _shown(cell: Cell, part: ScoredPart) -> Shown:
    outcome = judge(part.score, cell.threshold.ng_at_or_above, cell.threshold.review_at_or_above)[0]
    return Shown(cell, part, _group(part, outcome), outcome, cell.pictures.get(part.sha256))


def _group(part: ScoredPart, outcome: str) -> Group:
    if part.label != "good":
        return "missed" if outcome == "ok" else "rest"
    return "false_reject" if outcome == "ng" else "rest"


def _order(found: Found, one: Shown) -> tuple[object, ...]:
    """The recommended candidate first, then as they are ranked; the original pictures first; the worst first."""
    ranked = [verdict.candidate for verdict in found.study.recommendation.ranking]
    rank = ranked.index(one.cell.candidate) if one.cell.candidate in ranked else len(ranked)
    worst = -one.part.score if one.is_good else one.part.score
    condition = found.conditions.index(one.cell.condition)
    return rank, condition, one.cell.protocol != found.reference, worst, one.cell.split, one.part.sha256


def by_place(found: Found, unseen: Sequence[Shown]) -> list[tuple[Cell, list[str]]]:
    """For each cell the names of its parts, in the order of `unseen`."""
    names: dict[int, tuple[Cell, list[str]]] = {}
    for one in unseen:
        names.setdefault(id(one.cell), (one.cell, []))[1].append(
            f"{found.image_name(one.part.sha256)} ({one.part.score:.4g})"
        )
    return list(names.values())
