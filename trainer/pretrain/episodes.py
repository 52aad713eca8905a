"""An episode: a few good parts of one line to compare with, and one more part, damaged, to be judged.

As PatchCore works later, so it is practised: learning by episodes that look like the use is Vinyals et al., Matching
Networks (arXiv 1606.04080). All crops show the same place, as far as parts of a line lie alike; each is turned, moved,
scaled and lit a little differently, so that this is learned to be no defect.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from trainer.pretrain.lines import DAMAGED, GOOD, SIDE_PX, Lines
from trainer.synth.arrays import F32, blur, f32
from trainer.synth.blemishes import paint_blemish

CROP_PX = 128
CELL_PX = 8
_TURN_DEG, _MOVE_PX, _SCALE = 12.0, 3.0, 0.03  # of the good parts against the judged one; the bank has views that close
_GREY, _NEGATIVE = 0.5, 0.3  # shares
_PAINTED, _MOST_PAINTED = 0.4, 3  # share of the crops with a defect of their own, and the most in those without
_AT_DEFECT = 0.0  # share of the crops that are aimed at one; without aim, more places are seen
_NOWHERE = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
Rng = np.random.Generator


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """What one step of learning looks at."""

    crops: F32  # (GOOD + 1, CROP_PX, CROP_PX, 3), BGR, 0 to 255; the last one is judged
    covered: F32  # (cells, cells): share of each cell of the last one that a defect covers


@dataclass(frozen=True, slots=True)
class _View:
    """From where a crop is taken."""

    middle: tuple[float, float]  # x, y in the picture
    turn_deg: float
    scale: float
    mirrored: bool

    def near(self, rng: Rng) -> _View:
        x, y = self.middle + rng.normal(0, _MOVE_PX, 2)
        turn, scale = (
            self.turn_deg + rng.uniform(-_TURN_DEG, _TURN_DEG),
            self.scale * rng.uniform(1 - _SCALE, 1 + _SCALE),
        )
        return _View((x, y), turn, scale, self.mirrored)

    def of(self, picture: np.ndarray) -> F32:
        matrix = cv2.getRotationMatrix2D(self.middle, self.turn_deg, self.scale)
        matrix[:, 2] = matrix[:, 2] + CROP_PX / 2 - np.array(self.middle)
        crop = cv2.warpAffine(f32(picture), matrix, (CROP_PX, CROP_PX), borderMode=cv2.BORDER_REFLECT_101)
        return f32(np.ascontiguousarray(crop[:, ::-1]) if self.mirrored else crop)


def draw_episode(lines: Lines, rng: Rng) -> Episode:
    """The same state of `rng` gives the same episode."""
    line, number = int(rng.integers(len(lines.pictures))), int(rng.integers(DAMAGED))
    pictures, damage = lines.pictures[line], lines.damage[line, number]
    view = _draw_view(damage, rng)
    good = [view.near(rng).of(pictures[i]) for i in range(GOOD)]
    judged, covered = _painted(view.of(pictures[GOOD + number]), f32(view.of(damage) / 255), lines, rng)
    crops = [_lit(crop, rng) for crop in (*good, judged)]
    cells = cv2.resize(covered, (CROP_PX // CELL_PX,) * 2, interpolation=cv2.INTER_AREA)
    return Episode(_recoloured(np.stack(crops), rng), f32(cells))


def _painted(crop: F32, covered: F32, lines: Lines, rng: Rng) -> tuple[F32, F32]:
    """With more defects, always where it has none of its own."""
    has_own = bool((covered > 0.5).sum() >= CELL_PX)
    count = int(rng.random() < _PAINTED) if has_own else int(rng.integers(1, _MOST_PAINTED + 1))
    for _ in range(count):
        other = lines.pictures[int(rng.integers(len(lines.pictures))), 0]
        grey, foreign = crop.mean(axis=-1), _draw_view(_NOWHERE, rng).of(other).mean(axis=-1)
        after, where, _ = paint_blemish(f32(grey), f32(foreign), rng)
        crop, covered = f32(np.clip(crop + (after - grey)[..., None], 0, 255)), np.maximum(covered, where)
    return crop, covered


def _draw_view(damage: np.ndarray, rng: Rng) -> _View:
    """Any turn and mirror image; mostly a defect, where there is one, is in the crop but anywhere in it."""
    places = np.argwhere(damage)[:, ::-1]
    at_defect = len(places) > 0 and rng.random() < _AT_DEFECT
    near = places[int(rng.integers(len(places)))] if at_defect else rng.uniform(0, SIDE_PX, 2)
    edge = CROP_PX / 2 - 8
    x, y = np.clip(near + rng.uniform(-40, 40, 2), edge, np.array(damage.shape) - edge)
    return _View((float(x), float(y)), rng.uniform(0, 360), rng.uniform(0.85, 1.4), bool(rng.random() < 0.5))


def _lit(crop: F32, rng: Rng) -> F32:
    """Another contrast and brightness, a slope of light, focus and noise: all so slight that a line would show it."""
    axis = np.linspace(-1, 1, CROP_PX, dtype=np.float32)
    across, down = rng.uniform(-0.06, 0.06, 2)
    slope = 1 + across * axis[None, :] + down * axis[:, None]
    middle = crop.mean()
    crop = f32(((crop - middle) * rng.uniform(0.92, 1.08) + middle * rng.uniform(0.94, 1.06)) * slope[..., None])
    if rng.random() < 0.2:
        crop = blur(crop, rng.uniform(0.3, 0.6))
    noise = rng.standard_normal(crop.shape[:2], np.float32) * np.float32(rng.uniform(0, 2.5))
    return f32(np.clip(crop + noise[..., None], 0, 255))


def _recoloured(crops: F32, rng: Rng) -> F32:
    """All alike: some as a grey camera sees them, some as a negative, which doubles the materials."""
    if rng.random() < _GREY:
        crops = f32(crops.mean(axis=-1, keepdims=True).repeat(3, axis=-1))
    return f32(255 - crops) if rng.random() < _NEGATIVE else crops
