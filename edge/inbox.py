"""Frames on their way from the capture threads to the `inspect` thread."""

import threading
from collections import deque
from collections.abc import Iterable

from edge.cameras.frame import Frame, Grab

CAPACITY = 4  # grabs waiting per finite camera; what is waiting at a stop is still judged
_FAULTS = 64  # grabs waiting per live camera, all but a few of them faults


class Inbox:
    """One bounded queue per camera, served in turn, so that no camera starves another.

    `seq` is given when a frame is taken for judgement: a grab that was replaced before leaves no hole.
    """

    def __init__(self, cameras: Iterable[str]) -> None:
        self._waiting = {name: deque[Grab]() for name in cameras}
        self._seq = dict.fromkeys(self._waiting, 0)
        self._turn = deque(self._waiting)
        self._delivering = set(self._waiting)
        self._abandoned = False
        self._changed = threading.Condition()

    def put(self, camera: str, grab: Grab) -> bool:
        """Waits until there is room. False when nobody will ever take it."""
        waiting = self._waiting[camera]
        with self._changed:
            self._changed.wait_for(lambda: self._abandoned or len(waiting) < CAPACITY)
            if not self._abandoned:
                waiting.append(grab)
                self._changed.notify_all()
            return not self._abandoned

    def offer(self, camera: str, grab: Grab) -> int:
        """Never waits: the newest picture replaces one that still waits. Returns how many it replaced.

        A fault is not replaced by the picture after it: a person must see it.
        """
        waiting = self._waiting[camera]
        with self._changed:
            replaced = 0
            if waiting and grab.fault is None and waiting[-1].fault is None:
                waiting.pop()
                replaced = 1
            elif len(waiting) >= _FAULTS:
                waiting.popleft()
                replaced = 1
            waiting.append(grab)
            self._changed.notify_all()
            return replaced

    def finish(self, camera: str) -> None:
        """No more comes from this camera; what waits is still taken."""
        with self._changed:
            self._delivering.discard(camera)
            self._changed.notify_all()

    def abandon(self) -> None:
        """Nobody takes any more: `put` stops waiting."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def take(self) -> Frame | None:
        """The next frame, cameras in turn. None when all cameras have finished and nothing waits."""
        with self._changed:
            self._changed.wait_for(lambda: not self._delivering or any(self._waiting.values()))
            for _ in range(len(self._turn)):
                camera = self._turn[0]
                self._turn.rotate(-1)
                if self._waiting[camera]:
                    return self._admit(camera)
            return None

    def _admit(self, camera: str) -> Frame:
        frame = Frame(camera, self._seq[camera], self._waiting[camera].popleft())
        self._seq[camera] += 1
        self._changed.notify_all()
        return frame
