"""One camera, its shared memory and its link to the daemon: the steps that every way of reading is made of.

Runs in the camera's own process.
"""

import dataclasses
import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.cameras import Camera
from edge.cameras.messages import Link, Measured, Opened, Picture, Setup, clip
from edge.cameras.ring import Field, Ring, same_picture
from models.errors import CameraError, DatasetError
from models.measure import measure
from models.prediction import Image

_IDLE_S: Final = 0.02  # between two looks at the counters when no wake came
_STEP_ASIDE_S: Final = 0.0005
_SMOOTH: Final = 0.1
_SECOND_LOOKS: Final = 5


@dataclass(frozen=True, slots=True)
class Stamp:
    """One grabbed picture, not decoded."""

    captured_ns: int  # time.monotonic_ns()
    captured_at_ns: int  # time.time_ns()
    waited_ns: int  # how long the grab took: next to nothing when the picture had waited for us
    source: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """One decoded picture in its slot, or why there is none."""

    stamp: Stamp
    slot: int
    image: Image | None
    fault: str | None
    repeats: int


class Reader:
    """Reads one camera. Every step shows the daemon that this process is at work."""

    def __init__(self, setup: Setup, camera: Camera, ring: Ring, link: Link) -> None:
        self.config, self.live, self.frozen = setup.config, camera.live, setup.frozen
        self.period_ns, self.decode_ns = 0.0, 0.0  # between two pictures, and for one
        self._camera, self.ring, self._link, self._skip = camera, ring, link, setup.skip
        self._held: set[int] = set()  # slots that are in work here
        self._last: Taken | None = None  # the last one that was decoded; nobody writes to its slot
        self._changed_ns = 0  # when the pictures last differed
        self._grabbed_ns = 0

    def open(self) -> None:
        """Opens the camera and says so. Raises CameraError."""
        self.beat()
        self._camera.open(self.beat)
        self._camera.skip(self._skip)
        self.ring[Field.STARTED] = self.ring[Field.DONE] = self._skip
        if self.frozen is not None:
            self._refuse_frozen()
        size_px = self._camera.frame_size_px()
        self.beat()
        self._link.send(Opened(size_px=size_px))

    def close(self) -> None:
        """Lets the camera go."""
        self._camera.close()

    def beat(self) -> None:
        """This process is at work."""
        self.ring[Field.BEAT_NS] = time.monotonic_ns()

    def idle(self, limit_s: float = _IDLE_S) -> None:
        """Waits for a wake, but not long. Raises EOFError when the daemon is gone."""
        self.beat()
        self._link.receive(min(limit_s, _IDLE_S))
        while self._link.receive(0) is not None:
            pass
        self.beat()

    @property
    def ended(self) -> bool:
        """Whether the camera is known to have no picture left."""
        return self._camera.ended

    def grab(self) -> Stamp | None:
        """The next picture, None at the end of a finite camera. Raises CameraError when it is lost,
        EOFError when the daemon is gone."""
        self.idle(0)
        self.ring[Field.STARTED] += 1
        before_ns = time.monotonic_ns()
        if not self._camera.grab():
            self.ring[Field.STARTED] -= 1
            return None
        now_ns, now_at_ns = time.monotonic_ns(), time.time_ns()
        if self._grabbed_ns:
            self.period_ns = _smoothed(self.period_ns, now_ns - self._grabbed_ns)
        self._grabbed_ns = now_ns
        captured_ns = self._camera.stamp_ns or now_ns
        self.beat()
        return Stamp(captured_ns, now_at_ns - (now_ns - captured_ns), now_ns - before_ns, self._camera.source)

    def wait_until_judged(self) -> None:
        """Until the daemon runs. A live camera is grabbed meanwhile, so that no buffer fills with old pictures."""
        while not self.ring[Field.RUNNING]:
            if not self.live:
                self.ring[Field.WAITING] = 1
                self.idle()
            elif self.grab() is not None:
                self.leave()
        self.ring[Field.WAITING] = 0

    def leave(self) -> None:
        """The grabbed picture is not decoded."""
        self.ring[Field.UNDECODED] += 1
        self.done()

    def done(self) -> None:
        """The grabbed picture was sent, or left out."""
        self.ring[Field.DONE] += 1

    def slot(self) -> int | None:
        """A free slot, never that of the picture before: the next one is compared with it."""
        last = self._last.slot if self._last else -1
        first = last + 1 if self.live else self._camera.home
        order = ((first + i) % self.ring.slots for i in range(self.ring.slots))
        free = (slot for slot in order if slot != last and slot not in self._held and self.ring.is_free(slot))
        return next(free, None)

    def wait_for_slot(self) -> int:
        """Waits until the daemon gives one back. Raises EOFError when the daemon is gone."""
        while (slot := self.slot()) is None:
            self.ring[Field.WAITING] = 1
            if (slot := self.slot()) is not None:  # given back before the daemon could see that we wait
                break
            self.idle()
        self.ring[Field.WAITING] = 0
        return slot

    def decode(self, stamp: Stamp, slot: int) -> Taken:
        """Decodes the grabbed picture into a slot, and holds that. Raises CameraError when a live camera
        has given one and the same picture for too long."""
        before_ns = time.monotonic_ns()
        try:
            image = self._camera.retrieve(lambda height_px, width_px: self.ring.image(slot, height_px, width_px))
        except DatasetError as error:
            return Taken(stamp, slot, None, str(error), 0)
        self.decode_ns = _smoothed(self.decode_ns, time.monotonic_ns() - before_ns)
        taken = Taken(stamp, slot, image, None, self._repeats(image) if self.live else 0)
        self._held.add(slot)
        if self.live:
            self._last = taken
            self._watch_for_standstill(taken)
        self.beat()
        return taken

    def send(self, taken: Taken, *, is_all: bool = True) -> None:
        """Gives a picture to the daemon, and counts the grabbed one as done when that `is_all` there is to send of it.

        It is done before it is measured: a process that dies there has left no second part.
        """
        self._held.discard(taken.slot)
        stamp, image = taken.stamp, taken.image
        height_px, width_px = (0, 0) if image is None else image.shape[:2]
        is_measured = image is not None and self.config.health
        self.ring.lend(taken.slot)
        self._link.send(
            Picture(
                slot=taken.slot,
                captured_ns=stamp.captured_ns,
                captured_at_ns=stamp.captured_at_ns,
                ready_ns=time.monotonic_ns(),
                height_px=height_px,
                width_px=width_px,
                repeats=taken.repeats,
                source=stamp.source,
                fault=None if taken.fault is None else ("bad_frame", clip(taken.fault)),
                is_measured=is_measured,
            )
        )
        if is_all:
            self.done()
        if image is not None and is_measured:
            if self.ring.lent == 1:  # the daemon has waited for this one: give it the core that we woke it on
                time.sleep(_STEP_ASIDE_S)
            self._link.send(Measured(measure(image)))  # nobody but us may write to the slot
        self.beat()

    def hold(self, slots: Iterable[int]) -> None:
        """Only these stay in work here."""
        self._held = set(slots)

    def copied(self, taken: Taken) -> Taken:
        """The same picture in a slot of its own."""
        slot = self.wait_for_slot()
        if taken.image is not None:
            np.copyto(image := self.ring.image(slot, *taken.image.shape[:2]), taken.image)
            return dataclasses.replace(taken, slot=slot, image=image)
        return dataclasses.replace(taken, slot=slot)

    def _repeats(self, image: Image) -> int:
        last = self._last
        if last is None or last.image is None or not same_picture(last.image, image):
            self._changed_ns = time.monotonic_ns()
            return 0
        return last.repeats + 1

    def _watch_for_standstill(self, taken: Taken) -> None:
        for_s = (time.monotonic_ns() - self._changed_ns) / 1e9
        most = self.config.max_repeats
        if taken.image is not None and 0 < most <= taken.repeats and for_s > self.config.read_timeout_s:
            self.frozen = _digest(taken.image)
            raise CameraError(f"camera {self.config.name}: gave the same picture for {for_s:.1f} s; {_STANDSTILL}")

    def _refuse_frozen(self) -> None:
        """The picture at which a camera stood still would pass as new in a new process."""
        for _ in range(_SECOND_LOOKS):  # the first one may lie in a buffer of the camera
            self.beat()
            if not self._camera.grab():
                return
            try:
                image = self._camera.retrieve(lambda height_px, width_px: self.ring.image(0, height_px, width_px))
            except DatasetError:
                continue
            if _digest(image) != self.frozen:
                self.frozen = None
                return
        raise CameraError(f"camera {self.config.name}: still gives the same picture; {_STANDSTILL}")


_STANDSTILL = "check the camera, or set `max_repeats = 0` where its pictures really repeat to the last bit"


def _digest(image: Image) -> str:
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def _smoothed(old: float, new: float) -> float:
    return old + _SMOOTH * (new - old) if old else new
