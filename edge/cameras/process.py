"""The daemon's side of a camera's process: starts it, hears it, finds out that it died or hangs, ends it.

The capture thread and, for `open`, the main thread; `close` and `wake` from any.
"""

import contextlib
import os
import socket
import subprocess
import threading
import time

from edge.camera_config import CameraConfig
from edge.cameras.messages import Ended, Link, Lost, Measured, Message, Opened, Picture, Setup, Wake
from edge.cameras.ring import Field, Ring
from edge.child import death_of, spawn
from models.errors import CameraError

_END_S = 0.4  # for a camera to be let go before its process is killed
_KILL_S = 0.4  # a process in the middle of a driver call cannot even be killed; it is left behind then
Said = Opened | Picture | Measured | Ended


class CameraProcess:
    """One process and its memory, from construction to `close`.

    It dies with the thread that made this object: make it on one that lives as long as the camera is needed.
    """

    def __init__(self, config: CameraConfig, slots: int, skip: int = 0, frozen: str | None = None) -> None:
        """Starts it. Raises CameraError when the system refuses."""
        self._config, self.frozen = config, frozen
        self._opened, self._closing = False, threading.Lock()
        try:
            with contextlib.ExitStack() as handed_over, contextlib.ExitStack() as half_done:
                self.ring, memory = Ring.create(slots)
                handed_over.callback(os.close, memory)
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                handed_over.callback(theirs.close)
                self._link = Link(ours)
                half_done.callback(self._link.close)
                self._popen = spawn("edge.cameras.child", memory, theirs.fileno())
                half_done.pop_all()
        except OSError as error:
            raise self._error(f"its process cannot be started ({error.strerror}); free memory and processes") from error
        self._started_ns = time.monotonic_ns()
        try:
            self._link.send(Setup(config=config, skip=skip, frozen=frozen))
        except EOFError as error:
            self.close(grace_s=0)
            raise self._error(self._death()) from error

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._popen.pid

    def receive(self, limit_s: float) -> Said | None:
        """What it said next, None when nothing came in time.

        Raises CameraError when it failed, died, hangs or talks nonsense: end it.
        """
        try:
            message: Message | None = self._link.receive(limit_s)
        except EOFError:
            raise self._error(self._death()) from None
        except CameraError as error:
            raise self._error(str(error)) from error
        if isinstance(message, Lost):
            self.frozen = message.frozen
            raise CameraError(message.detail)
        if message is None:
            self._refuse_hang()
        elif isinstance(message, Opened):
            self._opened = True
        elif isinstance(message, Setup | Wake):
            raise self._error(f"its process sent {message.kind!r}, which is ours to send")
        return message

    def wake(self) -> None:
        """It looks at the counters."""
        self._link.wake()

    def close(self, grace_s: float = _END_S) -> None:
        """Ends it, by force when it does not end in time. May be called twice."""
        with self._closing:
            self._link.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(grace_s)
            self._popen.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(_KILL_S)

    def _refuse_hang(self) -> None:
        limit_s = self._config.read_timeout_s if self._opened else self._config.open_timeout_s
        silent_s = (time.monotonic_ns() - max(self._started_ns, self.ring[Field.BEAT_NS])) / 1e9
        if silent_s > limit_s:
            what = "reading" if self._opened else "opening"
            raise self._error(
                f"hangs in {what} for {silent_s:.1f} s, {limit_s:g} s were allowed; "
                f"check the cable and the network, or set {'read' if self._opened else 'open'}_timeout_s"
            )

    def _death(self) -> str:
        return f"its process died ({death_of(self._popen, _KILL_S)}); check the driver and the log above"

    def _error(self, what: str) -> CameraError:
        return CameraError(f"camera {self._config.name}: {what}")
