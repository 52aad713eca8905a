"""The way of a verdict out of the box: journal, then bus, then whoever keeps its picture. Runs on the `publish` thread.

Heartbeats come from the same thread, so that a box whose verdicts are stuck has no heartbeat either.
"""

import queue
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from edge.bus import Bus
from edge.journal import Journal, Row
from edge.metrics import Metrics
from edge.parts import Judged
from edge.watchdog import Beat
from models.heartbeat import Heartbeat
from models.verdict import Verdict

_BATCH = 64  # verdicts of one transaction
_LOOK_S = 0.05  # how long a newcomer on the bus waits while nothing else happens
_MOST_AFTER = 256  # published ones may wait for `after`: a flood must not keep slots and memory for ever


class _Waiting(NamedTuple):
    judged: Judged
    is_late: bool  # its verdict is out


@dataclass(slots=True, eq=False)
class Publisher:
    """Verdicts in, in the order in which `put` was called. To publish goes before what comes `after`."""

    bus: Bus
    journal: Journal
    metrics: Metrics
    beat: Callable[[Mapping[str, int]], Heartbeat]  # from the last published seq of each camera
    after: Callable[[Judged], None]  # takes what was published
    heartbeat_s: float
    # Without a bound of its own: a verdict has a slot of a camera, or a place in a line's queue, until
    # `after` gave it back, and both are counted. To refuse one here would make a hole in `seq`.
    _waiting: "queue.SimpleQueue[_Waiting | None]" = field(init=False, default_factory=queue.SimpleQueue)
    _published: deque[Judged] = field(init=False, default_factory=deque)  # and not handed to `after` yet
    _seqs: dict[str, int] = field(init=False, default_factory=dict)
    _next_beat_s: float = field(init=False, default=0.0)
    rounds: Beat = field(init=False, default_factory=Beat)

    def put(self, judged: Judged) -> None:
        """Takes a verdict. Any thread; it never waits."""
        self._waiting.put(_Waiting(judged, is_late=False))

    def put_late(self, judged: Judged) -> None:
        """Takes a frame whose verdict is out already: it goes to `after`, in its turn. Any thread; it never waits."""
        self._waiting.put(_Waiting(judged, is_late=True))

    def finish(self) -> None:
        """No verdict follows. `run` publishes what waits, sends a last heartbeat that says so, and returns."""
        self._waiting.put(None)

    def run(self) -> None:
        """Until `finish`."""
        over = False
        while not over:
            self.rounds()
            self.bus.serve_newcomers(self._heartbeat)  # first: the first heartbeat comes before the first verdict
            if time.monotonic() >= self._next_beat_s:
                self._next_beat_s = time.monotonic() + self.heartbeat_s
                self.bus.beat(self._heartbeat())
                self.journal.write(())  # what waits for the disk is tried though no verdict comes
            batch, over = self._take()
            if batch:
                self._publish(batch)
            self._hand_on(0 if batch else 1)
        self._publish_rest()
        self.bus.beat(self._heartbeat(ending=True))
        self._publish_rest()
        self._hand_on(len(self._published))

    def _take(self) -> tuple[list[_Waiting], bool]:
        """What waits, and whether the end was among it."""
        batch: list[_Waiting] = []
        left_s = 0.0 if self._published else self._next_beat_s - time.monotonic()
        try:
            item = self._waiting.get(timeout=min(max(left_s, 0.0), _LOOK_S))
            while item is not None:
                batch.append(item)
                if len(batch) == _BATCH:
                    return batch, False
                item = self._waiting.get_nowait()
        except queue.Empty:
            return batch, False
        return batch, True

    def _publish(self, batch: list[_Waiting]) -> None:
        if verdicts := [item.judged.verdict for item in batch if not item.is_late]:
            self._send(verdicts)
        self._published += [item.judged for item in batch]

    def _send(self, verdicts: list[Verdict]) -> None:
        started_s = time.perf_counter()
        texts = [verdict.model_dump_json() for verdict in verdicts]
        self.journal.write(
            [
                Row(verdict.epoch, verdict.camera, verdict.seq, text)
                for verdict, text in zip(verdicts, texts, strict=True)
            ]
        )
        written_s = time.perf_counter()
        for verdict, text in zip(verdicts, texts, strict=True):
            self.bus.publish(verdict.camera, text.encode())
            self._seqs[verdict.camera] = verdict.seq
        sent_s = time.perf_counter()
        for verdict in verdicts:
            self.metrics.published(written_s - started_s, sent_s - written_s)
            self.metrics.verdict(verdict)

    def _hand_on(self, count: int) -> None:
        """So many go to `after`, the oldest first, and all that are too many to wait."""
        for _ in range(min(max(count, len(self._published) - _MOST_AFTER), len(self._published))):
            self.after(self._published.popleft())

    def _publish_rest(self) -> None:
        """What came behind the end: a lane gave a frame back, or a late thread had one more part."""
        while not self._waiting.empty():
            if (item := self._waiting.get_nowait()) is not None:
                self._publish([item])

    def _heartbeat(self, *, ending: bool = False) -> bytes:
        self.metrics.heartbeat()
        return self.beat(self._seqs).model_copy(update={"ending": ending}).model_dump_json().encode()
