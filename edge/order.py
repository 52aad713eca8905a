"""One camera's verdicts at a subscriber: each once, in order, and every hole filled or reported. Rules without I/O."""

from collections.abc import Iterable
from dataclasses import dataclass

MAX_HELD = 10_000  # verdicts that came before their turn; more are fetched again
Key = tuple[str, int]  # epoch and seq; later ones sort after earlier ones
NOTHING: Key = ("", -1)  # before the first verdict ever


@dataclass(frozen=True, slots=True)
class Arrived:
    """A verdict whose turn it is."""

    camera: str
    epoch: str
    seq: int
    text: str  # the JSON, as it was published


@dataclass(frozen=True, slots=True)
class Gap:
    """Verdicts that cannot be had any more, `first` to `last` inclusive. Treat each of those parts as `unknown`."""

    camera: str
    epoch: str
    first: int
    last: int | None  # None: nobody knows how many there were

    def __str__(self) -> str:
        many = f"seq {self.first} to {self.last}" if self.last is not None else f"seq {self.first} and what followed"
        return f"camera {self.camera}, epoch {self.epoch or 'unknown'}: {many} cannot be had any more"


Event = Arrived | Gap


class Order:
    """What the subscriber has of one camera, what it holds until its turn, and how far the box has come."""

    def __init__(self, camera: str, at: Key) -> None:
        self.camera, self.at = camera, at
        self._held: dict[Key, str] = {}
        self._ends: dict[str, int] = {}  # epoch -> the highest seq that is known to be published
        self._asked = at

    @property
    def is_behind(self) -> bool:
        """Whether the box has published what this has not: time to `ask`."""
        return self._newest > self.at

    def live(self, key: Key, text: str) -> list[Event]:
        """A verdict from the bus. One that is had already gives nothing; one before its turn is held."""
        if key <= self.at:
            return []
        self._published(key)
        if len(self._held) < MAX_HELD:
            self._held[key] = text
        return self._in_turn()

    def announced(self, key: Key) -> list[Event]:
        """A heartbeat says how far the box has come."""
        if key[0] >= self.at[0]:
            self._published(key)
            return []
        # Its history was lost and its clock went back: what is published now would look old for ever.
        lost = Gap(self.camera, self.at[0], self.at[1] + 1, None)
        self.at, self._ends = (key[0], -1), {key[0]: key[1]}
        self._held = {held: text for held, text in self._held.items() if held[0] == key[0]}
        return [lost]

    def ask(self) -> Key:
        """The place to replay from. Whatever the box had published by now is in the answer, or gone."""
        self._asked = self._newest
        return self.at

    def replayed(self, rows: Iterable[tuple[Key, str]], *, complete: bool, more: bool) -> list[Event]:
        """An answer to what `ask` said: verdicts in order, whether some before them are gone, whether some follow."""
        events: list[Event] = []
        for key, text in rows:
            if key > self.at:
                events += self._held_up_to((key[0], key[1] - 1), complete=complete)
                events += self._passed(key, text, complete=complete)
                complete = True
        if not more:
            events += self._settled(complete=complete)
        return events + self._in_turn()

    def give_up(self) -> list[Event]:
        """There is no answer: goes on with what came over the bus."""
        self._asked = self._newest
        return self._settled(complete=False) + self._in_turn()

    @property
    def _newest(self) -> Key:
        return max(self._ends.items(), default=self.at)

    def _published(self, key: Key) -> None:
        self._ends[key[0]] = max(key[1], self._ends.get(key[0], -1))

    def _in_turn(self) -> list[Event]:
        events: list[Event] = []
        while (key := (self.at[0], self.at[1] + 1)) in self._held:
            events += self._passed(key, self._held[key], complete=True)
        return events

    def _settled(self, *, complete: bool) -> list[Event]:
        """What was published when it was asked for, and is still missing, is lost."""
        events = self._held_up_to(self._asked, complete=complete)
        if self._asked > self.at:
            events += self._hole((self._asked[0], self._asked[1] + 1), complete=complete)
            self._move(self._asked)
        return events

    def _held_up_to(self, end: Key, *, complete: bool) -> list[Event]:
        """Those that came over the bus and that the box holds no more: rare, so the search may take its time."""
        if end <= self.at:
            return []
        events: list[Event] = []
        for key in sorted(key for key in self._held if key <= end):
            events += self._passed(key, self._held[key], complete=complete)
        return events

    def _passed(self, key: Key, text: str, *, complete: bool) -> list[Event]:
        hole = self._hole(key, complete=complete)
        self._move(key)
        return [*hole, Arrived(self.camera, *key, text)]

    def _move(self, key: Key) -> None:
        self.at = key
        self._held.pop(key, None)
        if len(self._ends) > 1:
            self._ends = {epoch: seq for epoch, seq in self._ends.items() if epoch >= key[0]}

    def _hole(self, key: Key, *, complete: bool) -> list[Event]:
        """What lies between the last verdict and this one. A new epoch begins with seq 0."""
        epoch, after = self.at
        if key[0] == epoch:
            return [Gap(self.camera, epoch, after + 1, key[1] - 1)] if key[1] > after + 1 else []
        holes: list[Event] = []
        end = self._ends.get(epoch, -1)
        if epoch and (end > after or not complete):
            holes.append(Gap(self.camera, epoch, after + 1, end if end > after and complete else None))
        if key[1] > 0:
            holes.append(Gap(self.camera, key[0], 0, key[1] - 1))
        return holes
