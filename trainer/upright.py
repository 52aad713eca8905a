"""Learns from good images how a part looks upright: the edges that all of them share, and which pixels are the part.

One image lends the first template; all are laid over it, and what they share is the next (congealing: E.
Learned-Miller, Data driven image models through continuous joint alignment, PAMI 28, 2006). What differs, as a changing
background, fades. Nothing but the images themselves is asked: no drawing, no person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.manifest import USUAL_SHARE, Augmentation, Pose
from models.prediction import Image
from models.upright import SIDE, UPRIGHT, Field, Mask, Place, Search, Upright, edges_of
from trainer.congealing import congealed, shared
from trainer.outline import outline_of

_FAR = 3.0  # times the usual distance from the median: two standard deviations where sizes are normal
_LONG = 12  # a longer frame has too few cells across for edges
_SAME_SIZE = 0.06  # what a finer look reaches
_SIZE_ROOM, _TURN_ROOM_DEG = 1.05, 10.0
_CIRCLE_FROM_DEG = 90.0
_LEAST = 0.6  # of the lowest match among the images learned from
_MATCHING = 0.15  # what an image must reach: noise reaches a tenth
_LIKE = 0.85  # of its match with itself, turned: then nobody can say which way round it lies
_APART_DEG = 30.0
_LEAST_SHARE, _SHARE_ROOM = 0.9, 0.02  # of a part in its frame
_JITTER_DEG = 1.5  # what is left of turns after the part was found


@dataclass(frozen=True, slots=True)
class Learned:
    """How parts are laid upright."""

    template: Field  # (h, w)
    mask: Mask  # (H, W)
    pose: Pose  # what the manifest says of it
    turns_deg: tuple[float, ...]  # ways round in which it looks the same, 0 among them

    def upright(self) -> Upright:
        """As the edge does it."""
        return Upright(self.search(), self.mask, self.pose.least_match, self.pose.least_share)

    def search(self) -> Search:
        """Over the sizes and turns that were seen."""
        return Search(self.template, self.pose.sizes, self.pose.turns_deg)

    def plan(self, n_images: int, brightness: float) -> Augmentation:
        """Views of each upright image: little is left to be varied."""
        jitter = (0.0, _JITTER_DEG, -_JITTER_DEG) if n_images <= 160 else (0.0,)
        angles = tuple((turn + by) % 360 for turn in self.turns_deg for by in jitter)
        return Augmentation(angles_deg=angles, shift=0.01, brightness=brightness)


def learn_upright(images: Sequence[Image]) -> Learned | str:
    """From images of good parts, or why the parts cannot be laid upright."""
    fields = [edges_of(image) for image in images]
    if len({field.shape for field in fields}) > 1:
        return "the images are of several shapes"
    height, width = images[0].shape[:2]
    if max(height, width) > _LONG * min(height, width):
        return f"the images, {width}x{height} px, are more than {_LONG} times as long as wide"
    template, places = congealed(fields)
    if (lowest := min(place.match for place in places)) < _MATCHING:
        return f"an image shares too little with the others (match {lowest:.2f}, {_MATCHING} was wanted)"
    cell_px = max(images[0].shape[:2]) / SIDE
    if (outline := outline_of(images, places, template.shape)) is None:
        return "no outline of a part that all images share"
    upright = [place.moved(outline.middle / cell_px, outline.turn_rad) for place in places]
    found = _finish(fields, upright, outline.mask, cell_px)
    return found if isinstance(found, str) else _with_share(found, images)


def _range_of(places: Sequence[Place]) -> tuple[float, float]:
    """One size where all are nearly the same: a finer look reaches the rest. An odd one was found wrong."""
    sizes = np.array([place.size for place in places])
    usual = float(np.median(sizes))
    apart = np.abs(sizes - usual)
    kept = sizes[apart <= max(_FAR * float(np.median(apart)), _SAME_SIZE * usual)]
    low, high = float(kept.min()), float(kept.max())
    if high / usual < 1 + _SAME_SIZE and usual / low < 1 + _SAME_SIZE:
        return usual, usual
    return low / _SIZE_ROOM, high * _SIZE_ROOM


def _finish(fields: Sequence[Field], places: Sequence[Place], mask: Mask, cell_px: float) -> Learned | str:
    """The upright template, looked for once more as the edge will."""
    shape = (max(4, round(mask.shape[0] / cell_px)), max(4, round(mask.shape[1] / cell_px)))
    template = shared(fields, places, shape)
    sizes, turns_deg = _range_of(places), _turns_of(places)
    search = Search(template, sizes, turns_deg)
    lowest = min(search.find(field).match for field in fields)
    if lowest < _MATCHING:
        return f"upright, an image shares too little with the others (match {lowest:.2f}, {_MATCHING} was wanted)"
    pose = Pose(file=UPRIGHT, sizes=sizes, turns_deg=turns_deg, least_match=round(_LEAST * lowest, 4))
    return Learned(template, mask, pose, _alike(template))


def _with_share(found: Learned, images: Sequence[Image]) -> Learned | str:
    """Parts may hang over the edge as far as they do in good images, and no farther."""
    upright = found.upright()
    least = min(upright.share(upright.view(image), image) for image in images)
    if least < _LEAST_SHARE:
        return f"of a part {least:.0%} lie in its image, {_LEAST_SHARE:.0%} were wanted"
    pose = found.pose.model_copy(update={"least_share": round(min(USUAL_SHARE, least - _SHARE_ROOM), 3)})
    return replace(found, pose=pose)


def _turns_of(places: Sequence[Place]) -> tuple[float, float]:
    """In which parts lay, with room; the whole circle where that is most of it."""
    turns = np.array([place.turn_rad for place in places])
    usual = float(np.angle(np.exp(1j * turns).sum()))
    apart = np.rad2deg(np.abs(np.angle(np.exp(1j * (turns - usual)))))
    reach = float(apart.max()) + _TURN_ROOM_DEG
    if reach >= _CIRCLE_FROM_DEG:
        return -180.0, 180.0
    return round(float(np.rad2deg(usual)) - reach, 1), round(float(np.rad2deg(usual)) + reach, 1)


def _alike(template: Field) -> tuple[float, ...]:
    """The turns in which a part looks as it does upright: nobody can say then which way round it will be laid."""
    side = 2 * (max(template.shape) // 2) + 2
    field = np.zeros((side, side), np.complex64)
    top, left = (side - template.shape[0]) // 2, (side - template.shape[1]) // 2
    field[top : top + template.shape[0], left : left + template.shape[1]] = template
    own = Search(template, turns_deg=(0.0, 0.0)).find(field).match
    likeness = {
        turn: Search(template, turns_deg=(turn, turn)).find(field).match / own
        for turn in np.arange(_APART_DEG, 360 - _APART_DEG + 1, _APART_DEG / 2).tolist()
    }
    alike = [turn for turn, share in likeness.items() if share >= _LIKE]
    if len(alike) > len(likeness) / 2:
        return tuple(float(turn) for turn in range(0, 360, 30))
    peaks = [turn for turn in alike if likeness[turn] >= max(likeness.get(turn + by, 0) for by in (-15.0, 15.0))]
    return (0.0, *peaks)
