"""What a start does while its cameras open: OpenVINO is loaded, models are compiled and checked. Thread `device`.

But for a version on probation: that is compiled when the start is counted, and it is counted when cameras are open.
"""

import contextlib
import threading
from collections.abc import Mapping
from pathlib import Path

from edge.config import Settings
from edge.model import Checked
from edge.startup import check_model
from models.bundle import Bundle
from models.device import find_device
from models.errors import BundleError, MekikiError
from models.store import Store


class Early:
    """A context that begins in the background, and ends when that is done."""

    def __init__(self, settings: Settings, bundles: Mapping[Path, Bundle]) -> None:
        self.checked: dict[Path, Checked] = {}  # by where its bundle lies; whole after the context
        self._settings, self._bundles = settings, bundles
        self._thread = threading.Thread(target=self._work, name="device", daemon=True)

    def __enter__(self) -> "Early":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _work(self) -> None:
        """What fails is tried again where it is missed, and told there."""
        with contextlib.suppress(MekikiError):
            find_device(self._settings.device)
        for path, bundle in self._bundles.items():
            if not _is_on_probation(path):
                with contextlib.suppress(MekikiError, RuntimeError, OSError, MemoryError):
                    self.checked[path] = check_model(self._settings, path, bundle)


def _is_on_probation(path: Path) -> bool:
    """What is no store never is; of one whose record is damaged nobody knows."""
    try:
        return Store(path).state().on_probation
    except BundleError:
        return True
