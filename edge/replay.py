"""Gives verdicts again to who missed them, and the last ones to who comes late. Runs on the `replay` thread.

A client keeps no state here: it asks for what follows the verdict that it has, and asks again. One that
does not read its answers loses them; it never makes this thread wait.
"""

import logging
import sqlite3
import threading

import zmq
from pydantic import BaseModel, ValidationError

from edge.config import BusConfig
from edge.history import History
from edge.journal import Journal, Row
from edge.metrics import Metrics
from edge.sockets import bind
from models.base import first_error
from models.replay import Last, Place, Refused, Replayed, ReplayRequest, Request, Snapshot, SnapshotRequest
from models.verdict import Verdict

_MAX_ROWS = 1000
_MAX_BYTES = 1_000_000  # of one answer
_HIGH_WATER = 8  # answers that wait for one client
_LOOK_MS = 100
_HINT = 'send {"version": 1, "want": "snapshot"} or {"version": 1, "want": "replay", "camera": NAME, "epoch": null}'
_log = logging.getLogger(__name__)


class Replay:
    """The socket and its reader."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        config: BusConfig,
        journal: Journal,
        epoch: str,
        metrics: Metrics,
    ) -> None:
        """Raises MekikiError when the address is taken, ConfigError when it cannot be bound."""
        self._socket = bind(context, zmq.ROUTER, config.replay, config, "replay", sndhwm=_HIGH_WATER)
        self._history, self._epoch, self._metrics = History(journal), epoch, metrics
        self._unread: dict[str, Row] = {}  # last verdicts of cameras that this version cannot read
        self._over = threading.Event()

    def run(self) -> None:
        """Answers until `finish`."""
        while not self._over.is_set():
            if self._socket.poll(_LOOK_MS):
                self._serve(self._socket.recv_multipart())
        self._history.close()

    def finish(self) -> None:
        """Ends `run`."""
        self._over.set()

    def close(self) -> None:
        """Frees the address, after `run` ended."""
        self._socket.close(linger=0)

    def _serve(self, frames: list[bytes]) -> None:
        """One request: the client's name, an empty frame if it is a REQ, and JSON."""
        body = frames[-1]
        answer = (
            [self._refusal("more than one frame; ")] if len(frames) - (b"" in frames[1:2]) != 2 else self._answer(body)
        )
        try:
            self._socket.send_multipart([*frames[:-1][:2], *answer], zmq.NOBLOCK)
        except zmq.ZMQError as error:  # gone, or it does not read
            _log.debug("replay: an answer was dropped: %s", error.strerror)

    def _answer(self, body: bytes) -> list[bytes]:
        try:
            request = Request.validate_json(body)
        except ValidationError as error:
            return [self._refusal(f"{first_error(error)}; ")]
        try:
            if isinstance(request, SnapshotRequest):
                return [_json(self._snapshot())]
            return self._replayed(request)
        except sqlite3.Error as error:
            _log.error("replay: the journal cannot be read: %s", error)
            return [_json(Refused(error=f"the journal of the box cannot be read ({error}); ask again"))]

    def _snapshot(self) -> Snapshot:
        last, oldest = self._history.last(), self._history.oldest()
        told = {name: self._told(row) for name, row in last.items()}
        return Snapshot(
            epoch=self._epoch,
            cameras={name: verdict for name, verdict in told.items() if verdict is not None},
            oldest={name: Place(epoch=row.epoch, seq=row.seq) for name, row in oldest.items()},
        )

    def _told(self, row: Row) -> Last | None:
        """None for a verdict that this version cannot read: it went back from one that knows more."""
        try:
            return Last(epoch=row.epoch, seq=row.seq, verdict=Verdict.model_validate_json(row.text))
        except ValidationError as error:
            if self._unread.get(row.camera) != row:  # once, however often it is asked for
                self._unread[row.camera] = row
                _log.warning("replay: camera %s, epoch %s: this version cannot read seq %s (%s); no snapshot has it",
                             row.camera, row.epoch, row.seq, first_error(error))  # fmt: skip
            return None

    def _replayed(self, request: ReplayRequest) -> list[bytes]:
        at = None if request.epoch is None else (request.epoch, request.after_seq)
        lost = at is not None and at[0] > self._epoch  # of a journal that is no more, and a clock that went back
        page = self._history.after(request.camera, None if lost else at, min(request.limit, _MAX_ROWS), _MAX_BYTES)
        self._metrics.replayed(len(page.rows))
        header = Replayed(
            epoch=self._epoch,
            camera=request.camera,
            count=len(page.rows),
            more=page.more,
            complete=page.complete and not lost,
        )
        return [_json(header), *(row.text.encode() for row in page.rows)]

    def _refusal(self, what: str) -> bytes:
        self._metrics.bad_message("replay")
        return _json(Refused(error=f"no request: {what}{_HINT}"))


def _json(message: BaseModel) -> bytes:
    return message.model_dump_json().encode()
