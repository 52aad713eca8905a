"""The record of a store on the disk, twice: `state.json`, and `state.copy.json` beside it.

What failed here, and what was newer, must not be forgotten because a disk lost a block. So a file that is damaged or
gone is read from the other one, and the next change writes both. Where neither is whole nothing is changed: nobody
knows any more what may come into force. The copy is written first: where that fails, nothing has changed.
"""

from pathlib import Path

from pydantic import ValidationError

from models.base import first_error
from models.errors import BundleError
from models.files import write_whole
from models.state import State


class Record:
    """Both files of one store. Who writes holds the store's lock; readers need none."""

    def __init__(self, root: Path) -> None:
        self.path, self._copy = root / "state.json", root / "state.copy.json"

    def read(self) -> State:
        """An empty one where there is none yet. Raises BundleError when no file of the two is whole."""
        return self._read()[0]

    def damage(self) -> str | None:
        """What is wrong with a file in whose place the other one serves. Raises BundleError as `read` does."""
        return self._read()[1]

    def write(self, state: State) -> None:
        """Readers see the state before or this one."""
        text = state.model_dump_json(indent=2, exclude_defaults=True).encode() + b"\n"
        write_whole(self._copy, text)
        write_whole(self.path, text)

    @property
    def stamp(self) -> int:
        """Changes whenever the record is replaced: it is always a new file."""
        try:
            status = self.path.stat()
        except OSError:
            return 0
        return hash((status.st_ino, status.st_mtime_ns, status.st_size))

    def _read(self) -> tuple[State, str | None]:
        state, wrong = _parsed(self.path)
        if state is not None:
            return state, None
        copy, copy_wrong = _parsed(self._copy)
        if copy is not None:
            return copy, f"{wrong or f'{self.path}: gone'}; {self._copy.name} serves, the next change writes both"
        if wrong is None and copy_wrong is None:
            return State(), None
        raise BundleError(
            f"{wrong or copy_wrong}; what judges goes on, and no other version is taken: put the file back from a "
            f"backup, or delete {self.path.name} and {self._copy.name} and `mekiki-edge model activate` the version "
            "that you want, which forgets what failed here"
        )


def _parsed(path: Path) -> tuple[State | None, str | None]:
    """The state, or what is wrong with the file; neither where there is none."""
    try:
        return State.model_validate_json(path.read_bytes()), None
    except FileNotFoundError:
        return None, None
    except ValidationError as error:
        return None, f"{path}: {first_error(error)}"
