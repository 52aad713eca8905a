"""`mekiki-deploy status`, `rollback` and `pull` for boxes: one that fails stops no other."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from deploy.faults import in_words
from deploy.playbook import Boxes, Play, Said
from deploy.rollout import status_of
from deploy.table import age, lines_of, size
from models.errors import ConfigError, MekikiError
from models.status import BoxStatus, StoreStatus

Say = Callable[[str], None]


@dataclass(slots=True)
class Answers:
    """What the boxes said, by name, in the order of the inventory."""

    statuses: dict[str, BoxStatus] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  # in words

    def refuse_failed(self) -> None:
        """Raises MekikiError where a box did not do as it was told."""
        if self.failed:
            names = ", ".join(self.failed)
            raise MekikiError(f"{len(self.failed)} of the boxes failed: {names}; mend these, then run this again")


def ask(boxes: Boxes) -> Answers:
    """What each box says of itself."""
    play, found = Play("status", boxes, {}), Answers()
    for said in play:
        _take(found, said)
    found.statuses = {box: found.statuses[box] for box in play.boxes if box in found.statuses}
    return found


def _take(found: Answers, said: Said) -> None:
    if said.how in ("failed", "unreachable"):
        found.failed[said.box] = in_words(said)
    elif said.task == "ask" and said.how == "ok":
        if (status := status_of(said)) is None:
            found.failed[said.box] = "says what this workstation does not understand; upgrade the older of the two"
        else:
            found.statuses[said.box] = status


def show_status(boxes: Boxes, say: Say) -> None:
    """A row for each store of each box. Raises MekikiError when a box did not answer, after the table."""
    found = ask(boxes)
    rows = [row for box, status in found.statuses.items() for row in _rows(box, status)]
    rows += [[box, "NO ANSWER", "", "", "", words] for box, words in found.failed.items()]
    for line in lines_of(("BOX", "STATE", "VERSION", "LAST VERDICT", "FREE", ""), rows):
        say(line)
    found.refuse_failed()


def _rows(box: str, status: BoxStatus) -> Iterator[list[str]]:
    if not status.stores:
        yield [box, "no store", "", _last(status, None), size(status.free_bytes), "its settings name no store"]
    for store in status.stores:
        name = box if len(status.stores) == 1 else f"{box} {store.cameras[0]}"
        yield [
            name,
            store.standing,
            (store.active or "")[:12],
            _last(status, store),
            size(status.free_bytes),
            "; ".join(_notes(store)),
        ]


def _notes(store: StoreStatus) -> Iterator[str]:
    if store.waiting is not None:
        yield f"{store.waiting[:12]} waits until the line stops"
    if store.shadow is not None:
        yield f"{store.shadow[:12]} in shadow"
    if store.why is not None:
        yield store.why


def _last(status: BoxStatus, store: StoreStatus | None) -> str:
    """The newest of its cameras."""
    names = status.cameras if store is None else store.cameras
    verdicts = [verdict for name in names if (verdict := status.cameras.get(name)) is not None]
    if not verdicts:
        return "none"
    last = max(verdicts, key=lambda verdict: verdict.captured_at_ns)
    began = re.sub(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d).*", r"\1-\2-\3 \4:\5", last.epoch)
    return f"{last.outcome}, {age(_seconds(status.at, last.captured_at_ns))} (epoch {began})"


def _seconds(now: datetime, captured_at_ns: int) -> float:
    return now.timestamp() - captured_at_ns / 1e9


def roll_back(boxes: Boxes, version: str | None, because: str | None, say: Say) -> None:
    """Goes back where `version` is in force, and leaves the other boxes alone: a second time does no harm.

    Without it: the version that all boxes have in force, but those that went back already. Raises ConfigError where
    that is not one.
    """
    asked = ask(boxes)
    if version is None and asked.statuses and all(_went_back(status) for status in asked.statuses.values()):
        say("nothing to do: all went back already, as `mekiki-deploy status` shows; name a VERSION with --from")
        asked.refuse_failed()
        return
    leave = _version_to_leave(asked, version)
    play = Play("rollback", boxes, {"mekiki_from": leave, "mekiki_because": because or ""})
    found, rows = Answers(), dict[str, list[str]]()
    for said in play:
        _take(found, said)
        if said.task == "rollback" and said.how in ("ok", "skipped"):
            words = "rolled back" if said.how == "ok" else "left alone"
            rows[said.box] = [said.box, words, _active(found, said)]
    rows |= {box: [box, "FAILED", words] for box, words in found.failed.items()}
    for line in lines_of(("BOX", "WHAT", "IN FORCE"), [rows[box] for box in play.boxes if box in rows]):
        say(line)
    found.refuse_failed()


def _went_back(status: BoxStatus) -> bool:
    return bool(status.stores) and all(store.standing == "rolled back" for store in status.stores)


def _active(found: Answers, said: Said) -> str:
    if said.how == "ok":
        return said.stdout.strip().removeprefix("active ")
    stores = found.statuses[said.box].stores if said.box in found.statuses else ()
    return ", ".join((store.active or "none")[:12] for store in stores)


def _version_to_leave(found: Answers, version: str | None) -> str:
    stores = [store for status in found.statuses.values() for store in status.stores if store.active]
    known = {store.active for store in stores if store.active and store.active.startswith(version or "")}
    if version is None:
        known = {store.active for store in stores if store.active and store.standing != "rolled back"}
    if len(known) == 1:
        return known.pop()
    if not found.statuses:
        found.refuse_failed()
    have = ", ".join(f"{box} {(one.active or 'none')[:12]}" for box, s in found.statuses.items() for one in s.stores)
    what = "no box has it in force" if not known else "boxes have several versions in force"
    raise ConfigError(f"{what} ({have}); say which to leave with --from VERSION")


def pull(boxes: Boxes, to: Path, say: Say) -> None:
    """Brings what is new of evidence and reviews into a folder for each box. Raises MekikiError when one failed."""
    play, found = Play("pull", boxes, {"mekiki_pulled": str(to.absolute())}), Answers()
    brought: dict[str, tuple[int, int]] = {}
    for said in play:
        _take(found, said)
        if said.task in ("pictures", "records") and said.how == "ok":
            files, count = brought.get(said.box, (0, 0))
            now = _number(said, "Number of regular files transferred"), _number(said, "Total transferred file size")
            brought[said.box] = files + now[0], count + now[1]
            if said.task == "records":
                say(f"{said.box}  {brought[said.box][0]} new files, {size(brought[said.box][1])}")
    rows = [
        [box, "FAILED", found.failed[box]]
        if box in found.failed
        else [box, f"{brought.get(box, (0, 0))[0]} new files", str(to / box)]
        for box in play.boxes
    ]
    say("")
    for line in lines_of(("BOX", "BROUGHT", "WHERE"), rows):
        say(line)
    found.refuse_failed()


def _number(said: Said, name: str) -> int:
    found = re.search(rf"^{name}: ([\d,]+)", said.stdout, re.MULTILINE)
    return int(found[1].replace(",", "")) if found else 0
