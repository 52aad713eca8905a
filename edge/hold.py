"""Whether new versions of a model wait for the line to stop. Any thread."""

from typing import Final

from edge.config import ActivationConfig

NEVER: Final = ActivationConfig()


class Hold:
    """Begins with a line that runs, as nobody has said otherwise: what waited before a restart waits on."""

    def __init__(self, config: ActivationConfig = NEVER) -> None:
        self._holds = config.hold == "running"
        self._is_running = True

    def told(self, *, is_running: bool) -> None:
        """What a PLC or a person says of the line."""
        self._is_running = is_running

    @property
    def is_on(self) -> bool:
        """Whether a version that waits must wait on."""
        return self._holds and self._is_running
