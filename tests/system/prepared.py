"""What every machine of a run begins with, made once: Debian's root folder and our installer, side by side."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.edge.box import ROOT
from tests.system.debian import bounded, make_root, refuse_here

_LIMIT_S = 240
_ROOM_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class Prepared:
    """Not to be changed: machines boot copies."""

    root: Path
    installer: Path
    root_s: float  # what each took
    installer_s: float

    def copy(self, to: Path) -> Path:
        """A root folder of one's own."""
        subprocess.run(["cp", "-a", "--reflink=auto", str(self.root), str(to)], check=True, timeout=_LIMIT_S)
        return to


def prepare(folder: Path) -> Prepared:
    """DEBIAN_ROOT may name a root that was made before. Raises LackingError where this machine cannot do it in time."""
    refuse_here(folder, _ROOM_BYTES)
    ready = os.environ.get("DEBIAN_ROOT")
    root, installer = folder / "debian", folder / "mekiki.run"
    with ThreadPoolExecutor(2) as side_by_side:
        making = side_by_side.submit(_seconds, lambda: None if ready else make_root(root, limit_s=_LIMIT_S))
        packing = side_by_side.submit(_seconds, lambda: _make_installer(installer))
    return Prepared(Path(ready) if ready else root, installer, making.result(), packing.result())


def _make_installer(out: Path) -> None:
    command = [sys.executable, "-m", "deploy.cli", "installer", "--out", str(out)]
    code, lines = bounded(["env", "-C", str(ROOT), *command], _LIMIT_S, "the installer")
    assert code == 0, "\n".join(lines)


def _seconds(step: Callable[[], object]) -> float:
    began_s = time.monotonic()
    step()
    return time.monotonic() - began_s
