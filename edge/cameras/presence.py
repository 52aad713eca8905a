"""Says which frames show a part: one per part that passes. Runs in the camera's own process; no input or output.

A part is a piece of foreground that is followed from frame to frame. Its frame is the one in which it
is whole and nearest to the centre; it is delivered as soon as the part moves away from there, when it
leaves, or once it has stood still for STILL_S. What follows from that:

- a part is in view in two frames or more, and moves by less than JUMP frame widths between two of them;
- two parts that touch each other, or nearly so, are one;
- what stands still for ABSORB_S becomes part of the empty scene, and is logged; if it goes on later, its
  new place is a part again;
- what stands there from the start is held to be the scene: where it was shows up as one part when it leaves;
- while the scene is learned (30 frames) and while it is less than half or more than twice as bright as
  learned, no part is seen; after RELEARN_S of that it is learned anew, and that is logged.
"""

import itertools
import logging
import math
from dataclasses import dataclass, field
from typing import Final

from edge.cameras.scene import Blob, Scene
from models.prediction import Image

ON_AREA: Final = 0.005  # of the frame: smaller things start no part
OFF_AREA: Final = 0.0025  # and what was one is gone below this
JUMP: Final = 0.35  # frame widths between two frames
STILL_S: Final = 0.5
ABSORB_S: Final = 60.0
RELEARN_S: Final = 2.0
MAX_PARTS: Final = 6  # in view at a time
_CONFIRM, _GONE = 2, 2  # frames in which it is seen, or not
_AWAY = 0.02  # frame widths: the centroid of a part that stands still trembles by less
_CENTRAL = 0.15  # frame widths: so near to the centre it may stand though the frame cuts it
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """What to do with a frame: first keep it for these parts, then deliver the kept frames of those."""

    keep: tuple[int, ...] = ()
    deliver: tuple[int, ...] = ()


@dataclass(slots=True)
class _Part:
    number: int
    blob: Blob
    since_ns: int  # when it began to stand where it is
    anchor: tuple[float, float]
    speed: tuple[float, float]  # frame shares per frame
    seen: int = 1
    missing: int = 0
    best: float = field(default=math.inf)
    delivered: bool = False

    @property
    def confirmed(self) -> bool:
        return self.seen >= _CONFIRM

    @property
    def next_place(self) -> tuple[float, float]:
        steps = self.missing + 1
        return self.blob.x + steps * self.speed[0], self.blob.y + steps * self.speed[1]


class Gate:
    """Fed with every frame of one camera, in order."""

    def __init__(self) -> None:
        self.absorbed = 0  # things that became part of the scene
        self._scene = Scene()
        self._parts: list[_Part] = []
        self._numbers = itertools.count()
        self._usual = (0.0, 0.0)  # how parts move here
        self._strange_ns: int | None = None

    @property
    def open_parts(self) -> frozenset[int]:
        """Parts in view that were not delivered: their kept frames are still needed."""
        return frozenset(part.number for part in self._parts if not part.delivered)

    def see(self, image: Image, at_ns: int) -> Step:
        """`image`: uint8 (H, W, 3) BGR, captured at `at_ns` (monotonic)."""
        blobs = self._scene.look(image, OFF_AREA)
        if self._is_strange(at_ns):
            blobs = ()
        self._match(list(blobs), at_ns)
        keep = tuple(part.number for part in self._parts if self._is_best(part))
        deliver = tuple(part.number for part in self._parts if self._is_due(part, at_ns))
        for part in self._parts:
            part.delivered |= part.number in deliver
        self._absorb_what_stays(image, at_ns)
        self._parts = [part for part in self._parts if not _is_gone(part)]
        return Step(keep, deliver)

    def _match(self, blobs: list[Blob], at_ns: int) -> None:
        """Nearest first: each piece continues one part or begins one."""
        pairs = sorted(
            (distance, part.number, i)
            for part in self._parts
            for i, blob in enumerate(blobs)
            if (distance := math.dist(part.next_place, (blob.x, blob.y))) < JUMP
        )
        parts = {part.number: part for part in self._parts}
        taken: set[int] = set()
        for _, number, i in pairs:
            if number in parts and i not in taken:
                self._go_on(parts.pop(number), blobs[i], at_ns)
                taken.add(i)
        for part in parts.values():
            part.missing += 1
        for i, blob in enumerate(blobs):
            if i not in taken and blob.area >= ON_AREA and len(self._parts) < MAX_PARTS:
                place = (blob.x, blob.y)
                self._parts.append(_Part(next(self._numbers), blob, at_ns, place, self._usual))

    def _go_on(self, part: _Part, blob: Blob, at_ns: int) -> None:
        steps = part.missing + 1
        part.speed = ((blob.x - part.blob.x) / steps, (blob.y - part.blob.y) / steps)
        part.blob, part.missing, part.seen = blob, 0, part.seen + 1
        if math.dist(part.anchor, (blob.x, blob.y)) > _AWAY:
            part.anchor, part.since_ns = (blob.x, blob.y), at_ns

    def _is_best(self, part: _Part) -> bool:
        if part.delivered or part.missing:
            return False
        cost = _cost(part.blob)
        if cost < part.best:
            part.best = cost
            return True
        return False

    def _is_due(self, part: _Part, at_ns: int) -> bool:
        if part.delivered or not part.confirmed:
            return False
        if not part.missing and _cost(part.blob) > part.best + _AWAY:
            self._usual = part.speed
            return True
        still = at_ns - part.since_ns >= STILL_S * 1e9
        may_stand = not part.blob.cut or _off_centre(part.blob) < _CENTRAL
        return (still and may_stand) or _is_gone(part) or at_ns - part.since_ns >= ABSORB_S * 1e9

    def _absorb_what_stays(self, image: Image, at_ns: int) -> None:
        for part in self._parts:
            if not part.missing and at_ns - part.since_ns >= ABSORB_S * 1e9:
                self._scene.absorb(image, part.blob)
                self.absorbed += 1
                part.missing = _GONE
                x, y, width, height = part.blob.box
                _log.warning(
                    "presence: something stands at %d, %d (%dx%d of a picture 160 wide) for %g s; it is scene now",
                    x, y, width, height, ABSORB_S,
                )  # fmt: skip

    def _is_strange(self, at_ns: int) -> bool:
        """Whether the light has changed so much that nothing can be told."""
        if self._scene.familiar:
            self._strange_ns = None
            return False
        self._strange_ns = self._strange_ns or at_ns
        if at_ns - self._strange_ns >= RELEARN_S * 1e9:
            _log.warning("presence: the light has changed for %g s; the empty scene is learned anew", RELEARN_S)
            self._scene.forget()
        return True


def _off_centre(blob: Blob) -> float:
    return math.dist((blob.x, blob.y), (0.5, 0.5))


def _cost(blob: Blob) -> float:
    """Any whole view is better than any cut one."""
    return _off_centre(blob) + blob.cut


def _is_gone(part: _Part) -> bool:
    return part.missing >= _GONE or (part.missing > 0 and not part.confirmed)
