"""Which version is in force, how it came to be, and what was tried and taken back. No file and no clock in here.

    received -> verified -> staged -> qualified -> active on probation -> committed
                                                                       \\-> rolled back, with a reason

What is received is not in the store yet; what is staged lies there, whole; what is qualified judged right and in time
on this device. Where the line holds versions back, a qualified one waits until the line stops. A version on probation
is in force, and the one before it, which proved itself, waits to come back. A version in shadow judges beside the
active one, and acts on nothing. All of it is one record, so that whatever is cut off leaves the state before a change
or the one after it.
"""

from datetime import datetime
from typing import Literal, Self

from pydantic import AwareDatetime, Field

from models.base import Frozen, Sha256
from models.errors import BundleError

MAX_EVENTS = 200  # the oldest go first
Step = Literal[
    "staged", "qualified", "refused", "waiting", "activated", "committed", "rolled_back", "shadowed", "shadow_ended"
]
_NO_STARTS = {"starts": 0, "boot": None}


class Event(Frozen):
    """One step of one version."""

    at: AwareDatetime
    step: Step
    version: Sha256
    why: str | None = None


class Waiting(Frozen):
    """A version that comes into force when the line stops."""

    version: Sha256
    because: str | None = None  # why, though it is older than the active one


class State(Frozen):
    """The record of a store. Every method gives the one after a change, or raises BundleError."""

    active: Sha256 | None = None
    previous: Sha256 | None = None  # comes back at a rollback; while the active one is on probation: a proven one
    because: str | None = None  # why the active version was put in force though it is older than the one before
    on_probation: bool = False  # whether the active version has yet to prove itself
    starts: int = Field(default=0, ge=0)  # of the daemon, since it is on probation, that did not end in order
    boot: str | None = None  # of the machine, in which the last of these began
    waiting: Waiting | None = None
    shadow: Sha256 | None = None  # judges beside the active version
    failed: dict[Sha256, str] = Field(default_factory=dict)  # on probation here, and why: not tried again
    history: tuple[Event, ...] = ()

    @property
    def since(self) -> datetime | None:
        """When the active version was put in force; None where the history does not go back so far."""
        found = [event.at for event in self.history if (event.step, event.version) == ("activated", self.active)]
        return found[-1] if found else None

    def noted(self, step: Step, version: str, now: datetime, why: str | None = None) -> Self:
        """With one more event."""
        events = (*self.history, Event(at=now, step=step, version=version, why=why))
        return self.model_copy(update={"history": events[-MAX_EVENTS:]})

    def refuse_failed(self, version: str) -> None:
        """A version that failed is not retried: it would fail again, on a line that runs."""
        if why := self.failed.get(version):
            raise BundleError(
                f"version {version[:12]}: was rolled back here ({why}); push a bundle that was made anew, not this one"
            )

    def activated(self, version: str, now: datetime, because: str | None = None, *, on_probation: bool = False) -> Self:
        """The version is in force; on probation only where there is one to go back to."""
        self.refuse_failed(version)
        if version == self.active:
            return self.model_copy(update={"waiting": None})
        proven = self.previous if self.on_probation else self.active
        if version == proven:  # back from a probation by hand
            proven = None
        update = {
            "active": version,
            "previous": proven,
            "because": because,
            "on_probation": on_probation and proven is not None,
            "waiting": None,  # whatever waited: this was decided later
            "shadow": self._shadow_beside(version),
            **_NO_STARTS,
        }
        return self.model_copy(update=update).noted("activated", version, now, because)

    def held(self, version: str, now: datetime, because: str | None = None) -> Self:
        """The version waits for the line to stop; one that waited gives way."""
        self.refuse_failed(version)
        if version == self.active:
            return self.model_copy(update={"waiting": None})
        update = {"waiting": Waiting(version=version, because=because)}
        return self.model_copy(update=update).noted("waiting", version, now, "until the line stops")

    def refused(self, version: str, now: datetime, why: str) -> Self:
        """A version may not come into force. If it waited for that, it waits no more."""
        waits = self.waiting is not None and self.waiting.version == version
        return self.model_copy(update={"waiting": None if waits else self.waiting}).noted("refused", version, now, why)

    def shadowed(self, version: str, now: datetime) -> Self:
        """The version judges beside the active one; one that did so before gives way."""
        if version == self.active:
            raise BundleError(f"version {version[:12]}: is the active one; a shadow judges beside it: name another")
        if version == self.shadow:
            return self
        return self.model_copy(update={"shadow": version}).noted("shadowed", version, now)

    def unshadowed(self, now: datetime, why: str | None = None) -> Self:
        """No version judges beside the active one any more."""
        if self.shadow is None:
            return self
        return self.model_copy(update={"shadow": None}).noted("shadow_ended", self.shadow, now, why)

    def failed_starts(self, boot: str) -> int:
        """How many starts did not end in order, as far as that is this version's doing: what ended with the machine
        itself, as by a power cut, is not."""
        return self.starts if self.boot in (None, boot) else max(0, self.starts - 1)

    def started(self, boot: str) -> Self:
        """The daemon starts once more with a version on probation."""
        return self.model_copy(update={"starts": self.failed_starts(boot) + 1, "boot": boot})

    def ended(self) -> Self:
        """That start ended in order, and counts for nothing."""
        return self.model_copy(update={"starts": max(0, self.starts - 1), "boot": None})

    def committed(self, now: datetime, why: str) -> Self:
        """The active version has proved itself."""
        if self.active is None or not self.on_probation:
            return self
        update = {"on_probation": False, **_NO_STARTS}
        return self.model_copy(update=update).noted("committed", self.active, now, why)

    def given_up(self, now: datetime, why: str, *, is_final: bool = True) -> Self:
        """The version on probation has failed: the one before it is in force, and this one is not tried again, unless
        what failed may pass (`is_final`)."""
        if self.active is None or not self.on_probation:
            return self
        update = {
            "active": self.previous,
            "previous": None,
            "because": None,
            "shadow": self._shadow_beside(self.previous),
            "on_probation": False,
            "failed": {**self.failed, self.active: why} if is_final else self.failed,
            **_NO_STARTS,
        }
        return self.model_copy(update=update).noted("rolled_back", self.active, now, why)

    def rolled_back(self, now: datetime, why: str | None = None) -> Self:
        """A person goes back to the version before. A second time undoes the first."""
        if self.previous is None or self.active is None:
            raise BundleError("no version before the active one; push another bundle")
        update = {
            "active": self.previous,
            "previous": self.active,
            "because": None,
            "shadow": self._shadow_beside(self.previous),
            "on_probation": False,
            "waiting": None,
            **_NO_STARTS,
        }
        return self.model_copy(update=update).noted("rolled_back", self.active, now, why)

    def _shadow_beside(self, active: str | None) -> str | None:
        """The version in shadow, unless it is to be in force."""
        return None if self.shadow == active else self.shadow
