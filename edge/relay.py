"""Between the captures, which are opened first, and the engine, which is made when their frame sizes are known."""

from collections.abc import Iterable

from edge.cameras.frame import Grab
from edge.capture import Capture
from edge.engine import Engine


class Relay:
    """Both directions. Nothing passes before `connect`: captures run only after it."""

    def connect(self, engine: Engine, captures: Iterable[Capture]) -> None:
        """Before any capture thread starts."""
        self._engine = engine
        self._captures = {capture.config.name: capture for capture in captures}

    def arrived(self, camera: str, grab: Grab) -> None:
        """From a capture."""
        self._engine.arrived(camera, grab)

    def lost(self, camera: str, detail: str) -> None:
        """From a capture."""
        self._engine.lost(camera, detail)

    def measured(self, camera: str, grab: Grab) -> None:
        """From a capture."""
        self._engine.measured(camera, grab)

    def restored(self, camera: str) -> None:
        """From a capture."""
        self._engine.restored(camera)

    def finished(self, camera: str) -> None:
        """From a capture."""
        self._engine.finished(camera)

    def want(self, camera: str) -> None:
        """From the engine."""
        self._captures[camera].want()

    def wanted_from(self, camera: str, at_ns: int) -> None:
        """From the engine."""
        self._captures[camera].wanted_from(at_ns)
