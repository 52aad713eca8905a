"""The parts of one camera, in order: which wait, which may be judged next, which verdict may go out.

Rules without I/O. Touched by the engine only, by one thread at a time.
"""

from collections import deque
from collections.abc import Iterator

from edge.camera_config import CameraConfig
from edge.cameras.frame import Grab
from edge.parts import Judged, Part, last_call_ns


class Line:
    """One camera's parts. A part gets its seq when it is admitted, and its verdict leaves in that order.

    Of a free-running live camera a picture becomes a part when the model takes it: until then a newer
    one may replace it. Every other picture is a part when it comes, every trigger when it is asked.
    """

    def __init__(self, config: CameraConfig, *, live: bool) -> None:
        self.config = config
        self.newest_wins = live and config.trigger == "free"
        self.up, self.finished = True, False
        self._next_seq = 0
        self._open: deque[Part] = deque()  # admitted and not published, in order of seq
        self._waiting: deque[Part] = deque()  # with a picture, for a lane
        self._asked: deque[Part] = deque()  # triggered, without a picture
        self._newest: Grab | None = None

    def trigger(self, now_ns: int, part_id: str | None) -> tuple[Part, bool]:
        """Admits a part, and says whether there is room for its picture, which is then asked of the camera."""
        has_room = len(self._waiting) + len(self._asked) < self.config.queue
        part = self._admit(now_ns, part_id, None)
        if has_room:
            self._asked.append(part)
        return part, has_room

    def picture(self, grab: Grab) -> tuple[Part | None, Grab | None]:
        """Takes a picture. Gives the part that has it now, if any, and the picture that it replaced, if any.

        A picture that no trigger asked for (it was given up meanwhile) replaces itself.
        """
        if self.config.trigger == "external":
            return self._answer(grab)
        if self.newest_wins and grab.fault is None:
            replaced, self._newest = self._newest, grab
            return None, replaced
        self.admit_newest()  # it came before this one
        part = self._admit(grab.captured_ns, None, grab)
        self._waiting.append(part)
        return part, None

    def admit_newest(self) -> Part | None:
        """The newest picture becomes a part."""
        grab, self._newest = self._newest, None
        if grab is None:
            return None
        part = self._admit(grab.captured_ns, None, grab)
        self._waiting.append(part)
        return part

    def take(self) -> Part | None:
        """The next part for a lane."""
        if not self._waiting:
            self.admit_newest()
        return self._waiting.popleft() if self._waiting else None

    def give_up(self, part: Part) -> None:
        """The part has its verdict and needs no lane. A picture it asked for still comes, and must find its asker."""
        if part in self._waiting:
            self._waiting.remove(part)

    def camera_lost(self) -> list[Part]:
        """Triggered parts whose picture will not come."""
        lost = [part for part in self._asked if part.judged is None]
        self._asked.clear()
        return lost

    def undecided(self) -> list[Part]:
        """All parts without a verdict, in order; what is in a lane included."""
        return [part for part in self._open if part.judged is None]

    def undecided_with(self, grab: Grab) -> Part | None:
        """The part that has this picture and no verdict."""
        return next((part for part in self._open if part.grab is grab and part.judged is None), None)

    def last_call_ns(self) -> int | None:
        """The earliest moment at which a part of this camera must get `deadline`; None without a deadline."""
        calls = [call for _, call in self._calls()]
        if self._newest is not None:
            calls.append(last_call_ns(self._newest.captured_ns, self.config.deadline_s))
        return min((call for call in calls if call is not None), default=None)

    def due(self, now_ns: int) -> list[Part]:
        """Parts without a verdict whose last call has come."""
        return [part for part, call in self._calls() if call is not None and now_ns >= call][::-1]

    def _calls(self) -> Iterator[tuple[Part, int | None]]:
        """Parts without a verdict, the last one first. Verdicts leave in order: none may hold up one behind it."""
        earliest: int | None = None
        for part in reversed(self._open):
            call = part.last_call_ns
            earliest = call if earliest is None else min(earliest, call if call is not None else earliest)
            if part.judged is None:
                yield part, earliest

    def ready(self) -> list[Judged]:
        """Verdicts that may go out now: each has its seq's turn."""
        out: list[Judged] = []
        while self._open and self._open[0].judged is not None:
            out.append(self._open.popleft().judged)  # type: ignore[arg-type]  # just asked
        return out

    @property
    def waiting(self) -> int:
        """Pictures that wait for a lane."""
        return len(self._waiting) + (self._newest is not None)

    @property
    def is_over(self) -> bool:
        """Nothing more comes, and all verdicts are out."""
        return self.finished and not self._open and self._newest is None

    def _answer(self, grab: Grab) -> tuple[Part | None, Grab | None]:
        if not self._asked:
            return None, grab
        part = self._asked.popleft()
        if part.judged is not None:
            return None, grab
        part.grab = grab
        self._waiting.append(part)
        return part, None

    def _admit(self, asked_ns: int, part_id: str | None, grab: Grab | None) -> Part:
        part = Part(self.config.name, self._next_seq, asked_ns, part_id, self.config.deadline_s, grab)
        self._next_seq += 1
        self._open.append(part)
        return part
