"""Pictures of made-up manufactured parts, good and damaged, for pre-training without a photograph.

A design is a line: its shape, material, light and camera. A shot is one part on that line. Shapes and
textures are meant to vary more than to be real, which Baradad et al., Learning to See by Looking at
Noise (arXiv 2106.05963), found to matter more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import cv2
import numpy as np

from trainer.synth.arrays import F32, Bools, Image, Mask, blur, f32
from trainer.synth.parts.backdrops import draw_dust, draw_ground
from trainer.synth.parts.damage import KINDS, THIN, damaged, draw_extent, draw_place
from trainer.synth.parts.lighting import Scene, expose, photograph
from trainer.synth.parts.lines import Line, draw_line, draw_pose, lay_part

__all__ = ["KINDS", "Damage", "Photo", "render_part"]

VISIBLE, TOUCHED = 6.5, 4.5  # grey levels: mean over a defect's mask, and from where a pixel belongs to it
PLAIN_VISIBLE, PLAIN_TOUCHED = 11.0, 5.0  # where damage is to be plain
TRIES = 6  # to make one defect visible


@dataclass(frozen=True, slots=True)
class Damage:
    """One defect of a part."""

    kind: str  # of KINDS
    mask: Mask  # uint8 (size_px, size_px), 0 or 255: where the picture visibly changed


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture of one part."""

    image: Image  # uint8 (size_px, size_px, 3), BGR
    damages: tuple[Damage, ...]


@dataclass(frozen=True, slots=True)
class _Station:
    """A part under the lens, and what it takes to photograph it again."""

    line: Line
    scene: Scene
    ground: F32
    level: float
    levels: F32  # the picture of `scene`, before the sensor's noise

    def again(self, scene: Scene) -> _Station:
        light, material = self.line.light, self.line.material
        levels = photograph(scene, self.ground, light, material, self.level)
        return replace(self, scene=scene, levels=levels)


def render_part(
    design: int,
    shot: int,
    *,
    size_px: int = 256,
    damages: int = 0,
    turn_deg: float | None = None,
    plain: bool = False,
) -> Photo:
    """Photographs the part `shot` of the line `design`; the same arguments give the same bytes.

    `turn_deg` is how the part lies, clockwise; None draws it. `damages` is how many defects to put on
    the part; there are fewer where some would not be seen. With `plain`, none is tiny or faint. Seeds are 0 or more.
    """
    line = draw_line(design)
    # Apart, so that a defect changes nothing else in the picture.
    pose, slack, grain, card, dust, sensor, hurt = np.random.SeedSequence([design, shot]).spawn(7)
    matrix, level = draw_pose(line, size_px, turn_deg, np.random.default_rng(pose))
    scene = lay_part(line, size_px, matrix, slack, grain)
    specks = draw_dust(line.backdrop, size_px, np.random.default_rng(dust))[..., None]
    ground = f32(draw_ground(line.backdrop, size_px, np.random.default_rng(card)) * specks)
    scene = replace(scene, albedo=f32(scene.albedo * specks), bare=f32(scene.bare * specks))
    station = _Station(line, scene, ground, level, scene.cover).again(scene)
    found: list[Damage] = []
    for child in hurt.spawn(damages):
        station, damage = _with_damage(station, [done.mask for done in found], np.random.default_rng(child), plain)
        found += [damage] if damage else []
    return Photo(expose(station.levels, line.light, np.random.default_rng(sensor)), tuple(found))


def _with_damage(
    station: _Station, taken: list[Mask], rng: np.random.Generator, plain: bool
) -> tuple[_Station, Damage | None]:
    size = station.scene.cover.shape[0]
    free = _free(taken, size)
    kind = str(rng.choice(KINDS))
    for attempt in range(TRIES):
        if attempt == TRIES // 2:
            kind = str(rng.choice(KINDS))
        extent = draw_extent(kind, station.line.fills * size, rng, plain)
        at = draw_place(kind, station.scene, free, extent, rng)
        if at is None:
            continue
        force = float(rng.uniform(0.35, 1.2)) * (1 + 0.4 * attempt)
        scene, where = damaged(kind, station.scene, at, extent=extent, force=force, rng=rng)
        after = station.again(scene)
        mask = _changed(station, after, where, 0.0 if kind in THIN else 0.1 * extent, plain)
        if mask is not None and not (mask.astype(bool) & ~free).any():
            return after, Damage(kind, mask)
    return station, None


def _free(taken: list[Mask], size: int) -> Bools:
    """Where no defect is yet, nor close by."""
    free = np.ones((size, size), np.uint8)
    for mask in taken:
        free &= mask == 0
    reach = 2 * (size // 24) + 1
    return cv2.erode(free, np.ones((reach, reach), np.uint8)) > 0


def _changed(before: _Station, after: _Station, where: F32, soft: float, plain: bool) -> Mask | None:
    """The pixels of a defect that changed visibly, without the pinholes; None if they are few or faint."""
    visible, touched = (PLAIN_VISIBLE, PLAIN_TOUCHED) if plain else (VISIBLE, TOUCHED)
    unit = where.shape[0] / 256
    change = f32(np.abs(after.levels - before.levels).mean(axis=2))
    reach = 2 * round(1.5 * unit) + 1
    oval = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    near = cv2.dilate(f32(where), oval) > 0.1
    on_part = before.scene.cover > 0.3
    seen = (blur(change, max(soft, 0.8 * unit)) > touched) & near & on_part
    mask = cast(Mask, cv2.morphologyEx(seen.astype(np.uint8) * np.uint8(255), cv2.MORPH_CLOSE, oval))
    if (mask > 0).sum() < 12 * unit * unit or change[mask > 0].mean() < visible:
        return None
    return mask
