"""Whether a client may trust its line: verdicts and heartbeats come, and in time. On the client's thread."""

import time
from collections.abc import Callable

from models.heartbeat import Heartbeat

_INTERVALS = 3  # heartbeats that may be missing
_UNHEARD_S = 3.0  # until the first heartbeat tells the interval
_UNHEARD = "nothing heard yet"


class SafeState:
    """Why a gateway must be in its safe state, as it is until the first heartbeat. `tell` hears of each change."""

    def __init__(self, late_s: float | None, verdict_late_s: float | None, tell: Callable[[str | None], None]) -> None:
        """`late_s` without verdict and heartbeat, three intervals when None, or `verdict_late_s` without verdict, which
        when None is never too long."""
        self._late_s, self._verdict_late_s, self._tell = late_s, verdict_late_s, tell
        self.beat: Heartbeat | None = None  # the last one
        self.why: str | None = _UNHEARD  # None while verdicts flow
        self.heard_s = self._verdict_s = time.monotonic()

    @property
    def silent_s(self) -> float:
        """Seconds since a verdict or a heartbeat came."""
        return time.monotonic() - self.heard_s

    @property
    def late_s(self) -> float:
        """Seconds of silence that are the safe state."""
        if self._late_s is not None:
            return self._late_s
        return _UNHEARD_S if self.beat is None else self.beat.interval_s * _INTERVALS

    def verdict_came(self) -> None:
        """One was heard, its turn or not."""
        self.heard_s = self._verdict_s = time.monotonic()

    def beat_came(self, beat: Heartbeat) -> None:
        """One was heard. `note_heard` follows when what it says has been taken."""
        self.beat, self.heard_s = beat, time.monotonic()

    def note_heard(self) -> None:
        """What came is taken: verdicts flow, unless the box has said goodbye."""
        if self.beat is not None and self.beat.ending:
            self._note("mekiki-edge stopped in order")
        elif self.beat is not None and not self._is_verdict_late():
            self._note(None)

    def note_silence(self) -> None:
        """Nothing is there to be read."""
        if self.beat is None:
            return  # nothing heard yet is unsafe already
        if self.silent_s > self.late_s and not self.beat.ending:
            self._note(f"no verdict and no heartbeat for {self.late_s:g} s")
        elif self._is_verdict_late():
            self._note(f"no verdict for {self._verdict_late_s:g} s")

    def _is_verdict_late(self) -> bool:
        limit_s = self._verdict_late_s
        return limit_s is not None and time.monotonic() - self._verdict_s > limit_s

    def _note(self, why: str | None) -> None:
        if why != self.why and (why is None or self.why in {None, _UNHEARD}):
            self.why = why
            self._tell(why)
