"""From what a file claims to a picture whose boxes lie inside it: the checks that all formats share."""

from __future__ import annotations

import math
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from models.images import read_image
from trainer.annotations.problems import Problems, RecordError
from trainer.annotations.types import Picture

OVER_EDGE_PX = 2.0  # labelling tools round; more than that is another image's box
_ROUNDING_PX = 0.01
LTRB = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Claim:
    """One box as a file gives it."""

    where: str  # file, and line or id
    label: str
    ltrb: LTRB  # px, or shares of the image's sides


@dataclass(frozen=True, slots=True)
class Draft:
    """One picture as a file gives it."""

    image: Path  # relative to the root
    where: str
    claims: list[Claim] = field(default_factory=list)
    held_out: bool = False
    stated_px: tuple[float, float] | None = None  # (width, height) in the file; None or zeros: not stated
    is_relative: bool = False  # the claims are shares of width and height


def picture_of(draft: Draft, problems: Problems) -> Picture | None:
    """The picture with its checked boxes. What is wrong goes to `problems`; None without a readable image."""
    with problems.at(draft.where):
        height, width = size_of(problems.root / draft.image)
        _check_size(draft, height, width)
        scale = (width, height, width, height) if draft.is_relative else (1, 1, 1, 1)
        kept: dict[tuple[str, LTRB], LTRB] = {}
        for claim in draft.claims:
            with problems.at(claim.where):
                ltrb = tuple(value * by for value, by in zip(claim.ltrb, scale, strict=True))
                box = _checked(ltrb, height, width, claim.where, problems)
                if (claim.label, box) in kept:
                    raise RecordError(f"the box {_text(box)} of {claim.label!r:.60} is there twice")
                kept[claim.label, box] = box
        boxes = np.array(list(kept.values()), np.float32).reshape(-1, 4)
        labels = tuple(label for label, _ in kept)
        return Picture(problems.root / draft.image, height, width, boxes, labels, draft.held_out)
    return None


def size_of(path: Path) -> tuple[int, int]:
    """(height, width) in px of the stored pixels, from the header where that can be had.

    Raises DatasetError when the file is no image.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # nothing is decompressed here
            with Image.open(path) as opened:
                return opened.height, opened.width
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError):
        height, width, _ = read_image(
            path
        ).shape  # a kind that Pillow does not know, or its own words for what is wrong
        return height, width


def _check_size(draft: Draft, height: int, width: int) -> None:
    if draft.stated_px is None or draft.stated_px in ((width, height), (0, 0)):
        return
    stated = "{:g} x {:g} px".format(*draft.stated_px)
    turned = draft.stated_px == (height, width)
    fix = "the tool turned it by its EXIF tag: save it upright and label it again" if turned else "was it resized?"
    raise RecordError(f"the file says {stated}, the image {draft.image} has {width} x {height} px; {fix}")


def _checked(ltrb: tuple[float, ...], height: int, width: int, where: str, problems: Problems) -> LTRB:
    if not all(map(math.isfinite, ltrb)):
        raise RecordError(f"the box {_text(ltrb)} is not finite")
    left, top, right, bottom = ltrb
    if right <= left or bottom <= top:
        raise RecordError(f"the box {_text(ltrb)} is empty or inverted; wanted left < right and top < bottom")
    over = max(-left, -top, right - width, bottom - height)
    if over > OVER_EDGE_PX:
        raise RecordError(f"the box {_text(ltrb)} reaches {over:.4g} px outside the image of {width} x {height} px")
    if over > _ROUNDING_PX:
        problems.note(f"a box reached up to {OVER_EDGE_PX:g} px over the edge and was cut there", where)
    bounds = np.array([[0, 0, 0, 0], [width, height, width, height]])
    cut = np.clip(ltrb, bounds[0], bounds[1]).astype(np.float32)
    if cut[2] <= cut[0] or cut[3] <= cut[1]:
        raise RecordError(f"the box {_text(ltrb)} is empty inside the image of {width} x {height} px")
    return float(cut[0]), float(cut[1]), float(cut[2]), float(cut[3])


def _text(ltrb: tuple[float, ...]) -> str:
    return f"[{', '.join(f'{value:.6g}' for value in ltrb)}]"
