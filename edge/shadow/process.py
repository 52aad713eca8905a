"""The daemon's side of a candidate's process: starts it, asks it, finds out that it died, ends it. Thread `shadow`."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from multiprocessing import Pipe

from edge.cameras.ring import Ring
from edge.child import death_of, spawn
from edge.shadow.drawing import Pictures, packed
from edge.shadow.messages import (
    SLOTS,
    Asked,
    Draw,
    Drawn,
    Failed,
    Message,
    Ready,
    Said,
    Setup,
    put,
    receive,
    send,
    taken,
)
from models.errors import CameraError, ModelError
from models.health import Health
from models.prediction import Image, Prediction
from models.verdict import Verdict

_DEATH_S = 0.5


class ShadowProcess:
    """One process and its memory, from construction to `close`. Every method but that raises ModelError when the
    candidate cannot go on: close it then."""

    def __init__(self, setup: Setup) -> None:
        """Starts it."""
        self._link, theirs = Pipe()
        try:
            self._ring, memory = Ring.create(SLOTS)
            try:
                self._popen = spawn("edge.shadow.child", memory, theirs.fileno())
            finally:
                os.close(memory)
        except (OSError, CameraError) as error:
            self._link.close()
            raise ModelError(f"its process cannot be started ({error}); free memory and processes") from error
        finally:
            theirs.close()
        try:
            with self._alive():
                send(self._link, setup)
        except ModelError:  # nobody has us yet who could
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._popen.pid

    def ready(self, limit_s: float) -> Ready | None:
        """None when it has not got so far in that time."""
        said = self._said(limit_s)
        if said is None or isinstance(said, Ready):
            return said
        raise ModelError(
            said.detail if isinstance(said, Failed) else f"its process sent {said.kind!r} before it was ready"
        )

    def ask(self, verdict: Verdict, image: Image, health: Health | None) -> None:
        """The answer comes by `answer`; not before it the next question."""
        height_px, width_px = image.shape[:2]
        with self._alive():
            self._ring.image(0, height_px, width_px)[:] = image
            send(self._link, Asked(verdict=verdict, height_px=height_px, width_px=width_px, health=health))

    def answer(self, limit_s: float) -> Verdict | None:
        """What the candidate says of it. None when it has not come in that time."""
        said = self._said(limit_s)
        if said is None or isinstance(said, Said):
            return None if said is None else said.verdict
        raise ModelError(f"its process sent {said.kind!r}, an answer was wanted")

    def draw(self, found: Prediction | None) -> None:
        """Of the frame that it was asked for last, with what the active model found. They come by `pictures`."""
        with self._alive():
            send(self._link, Draw(found_bytes=put(self._ring, packed(found))))

    def pictures(self, limit_s: float) -> Pictures | None:
        """None when they have not come in that time."""
        said = self._said(limit_s)
        if said is None:
            return None
        if not isinstance(said, Drawn):
            raise ModelError(f"its process sent {said.kind!r}, pictures were wanted")
        frame, active = said.frame_bytes, said.frame_bytes + said.active_bytes
        with self._alive():
            content = taken(self._ring, active + said.candidate_bytes)
        return Pictures(content[:frame], content[frame:active], content[active:])

    def close(self) -> None:
        """Ends it at once: nothing of it is needed."""
        self._link.close()
        self._popen.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(_DEATH_S)

    def _said(self, limit_s: float) -> Message | None:
        with self._alive():
            return receive(self._link) if self._link.poll(limit_s) else None

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError) as error:
            raise ModelError(f"its process died ({death_of(self._popen, _DEATH_S)}); see the log above") from error
        except ValueError as error:
            raise ModelError("its process sent what is no message of ours") from error
