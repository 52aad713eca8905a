"""`mekiki-deploy push` to boxes: canaries first, then batches, and a stop at the first box that fails.

The playbook holds the order and the steps; here each step becomes a line, each box a row, and a failure words. No
record of a roll-out is kept: each box is asked, and one that has the version already is left alone.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from deploy.faults import in_words
from deploy.playbook import Boxes, Play, Said
from deploy.table import lines_of, size
from models.bundle import MANIFEST, Bundle
from models.errors import MekikiError
from models.status import BoxStatus, StoreStatus

Say = Callable[[str], None]
_UNTOUCHED = "untouched"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a bundle goes out."""

    canary: int  # boxes that get it first
    batch: int  # boxes at a time, after them
    wait_s: float  # for the probation of each canary; 0: none
    shadow: bool = False
    older: str | None = None

    def variables(self, bundle: Bundle) -> dict[str, object]:
        """As the playbook names them."""
        return {
            "mekiki_bundle": str(bundle.path.absolute()),
            "mekiki_canary": self.canary,
            "mekiki_batch": self.batch,
            "mekiki_wait_s": self.wait_s,
            "mekiki_shadow": self.shadow,
            "mekiki_older": self.older or "",
        }


@dataclass(slots=True)
class _Row:
    state: str = _UNTOUCHED
    version: str | None = None
    about: str = ""
    failed: bool = False


class Rollout:
    """One push, as it happens."""

    def __init__(self, bundle: Bundle, plan: Plan, say: Say) -> None:
        self._bundle, self._plan, self._say = bundle, plan, say
        self._bytes = bundle.bytes + (bundle.path / MANIFEST).stat().st_size
        self._rows: dict[str, _Row] = {}
        self._waits: set[str] = set()

    def run(self, boxes: Boxes) -> None:
        """Raises MekikiError when a box failed, after the table that shows all of them."""
        play = Play("push", boxes, self._plan.variables(self._bundle), forks=max(self._plan.canary, self._plan.batch))
        for said in play:
            for box in play.boxes:
                self._rows.setdefault(box, _Row())
            self._take(said)
        self._show()
        self._refuse()

    def _take(self, said: Said) -> None:
        row = self._rows.setdefault(said.box, _Row())
        if said.how in ("failed", "unreachable"):
            self._fail(row, said)
        elif said.how == "again":
            self._again(said)
        elif said.how == "ok":
            self._done(row, said)

    def _done(self, row: _Row, said: Said) -> None:
        match said.task:
            case "ask":
                self._asked(row, said)
            case "send":
                self._sent(said)
            case "install":
                self._installed(row, said)
            case "shadow":
                row.state = "in shadow"
                self._line(said.box, _last_line(said.stdout))
            case "wait":
                self._waited(row, said)

    def _asked(self, row: _Row, said: Said) -> None:
        status = status_of(said)
        store = status.stores[0] if status and len(status.stores) == 1 else None
        if store is None:
            return
        version, row.version = self._bundle.digest, store.active
        there = "in shadow" if self._plan.shadow else "waiting"
        roles = {store.shadow if self._plan.shadow else store.waiting: there, store.active: store.standing}
        if version in roles and store.standing != "damaged":
            row.state, row.about = roles[version], "had it already"
            self._line(said.box, f"has {version[:12]} already: {row.state}")
        else:
            self._line(said.box, f"{_now(store)}; {version[:12]} goes there, {size(self._bytes)}")

    def _sent(self, said: Said) -> None:
        found = re.search(r"Literal data: ([\d,]+)", said.stdout)
        sent = int(found[1].replace(",", "")) if found else self._bytes
        rest = "" if sent >= self._bytes else f" of {size(self._bytes)}; the rest was there"
        self._line(said.box, f"sent {size(sent)}{rest}")

    def _installed(self, row: _Row, said: Said) -> None:
        words = _last_line(said.stdout)
        if words.startswith("waiting"):  # until the line stops
            row.state = "waiting"
        else:
            row.state = "on probation" if "on probation" in words else "active"
            row.version = self._bundle.digest
        self._line(said.box, words)

    def _waited(self, row: _Row, said: Said) -> None:
        status = status_of(said)
        if status is None:
            return
        store = status.stores[0]
        row.version = store.active
        row.state = store.standing
        if store.active == self._bundle.digest and said.box in self._waits:
            row.about = store.why or ""
            self._line(said.box, f"{store.standing}: {store.why}" if store.why else store.standing)

    def _again(self, said: Said) -> None:
        if said.task == "send":
            self._line(said.box, "was cut off; goes on from there")
        elif said.box not in self._waits:
            self._waits.add(said.box)
            self._line(said.box, f"proves it on its line, for {self._plan.wait_s:.0f} s at most")

    def _fail(self, row: _Row, said: Said) -> None:
        row.failed = True
        row.about = in_words(said)
        if said.how == "unreachable":
            row.state = "unreachable"
        elif said.task == "prove":
            row.state = "rolled back"
        elif said.task != "wait" or said.rc != 0:
            row.state = "failed"
        else:  # it stands as it stood
            row.about = f"not proved within {self._plan.wait_s:.0f} s; see that its line runs, then push again to go on"
        self._line(said.box, f"{row.state.upper()}: {row.about}")

    def _line(self, box: str, words: str) -> None:
        width = max(len(name) for name in self._rows)
        self._say(f"{box:<{width}}  {words}")

    def _show(self) -> None:
        rows = [[box, row.state, (row.version or "")[:12], row.about] for box, row in self._rows.items()]
        self._say("")
        for line in lines_of(("BOX", "STATE", "VERSION", ""), rows):
            self._say(line)

    def _refuse(self) -> None:
        failed = [box for box, row in self._rows.items() if row.failed]
        untouched = sum(row.state == _UNTOUCHED for row in self._rows.values())
        if failed or untouched:
            what = f"stopped with {untouched} of {len(self._rows)} boxes untouched"
            raise MekikiError(
                f"{', '.join(failed) or 'Ansible'}: failed, and the roll-out {what}; "
                "mend it or leave it out (--group 'all:!NAME'), then push again to go on"
            )


def status_of(said: Said) -> BoxStatus | None:
    """What a box said of itself; None where that is no status."""
    try:
        return BoxStatus.model_validate_json(said.stdout)
    except ValidationError:
        return None


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["done"])[-1]


def _now(store: StoreStatus) -> str:
    return "nothing in force" if store.active is None else f"{store.active[:12]} {store.standing}"


def verified(path: Path, trust: Path | None) -> Bundle:
    """The bundle, whole, and signed by whom this workstation trusts where it is told whom. Raises BundleError."""
    from models.bundle import open_bundle
    from models.gate import Gate

    bundle = open_bundle(path)
    Gate(trust).take_in(bundle)
    return bundle
