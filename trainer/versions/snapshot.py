"""`mekiki-train dataset snapshot`, `diff` and `settle`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from models.errors import DatasetError
from trainer.study.sheet import NEAR
from trainer.versions.labels import Labelled, labelled
from trainer.versions.roles import Leak, assign
from trainer.versions.store import DatasetStore
from trainer.versions.types import Claim, FromFolder, FromPerson, FromReview, Item, Origin, Role, Snapshot

Say = Callable[[str], None]
TEST_SHARE = 0.5
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How to make a snapshot."""

    name: str | None = None  # None: v1, v2, ...
    near: int | None = None  # None: that of the snapshot before, or trainer/study/sheet.py's
    test_share: float = TEST_SHARE  # of the pictures for which nothing says what they are for
    leave_out: frozenset[str] = frozenset()  # of "conflicts", "leaks": what is left out instead of refused


def known(store: DatasetStore) -> list[Labelled]:
    """Every picture of which something is known, with all that was said of it."""
    claims = store.claims()
    return labelled(claims, {sha256: store.picture(sha256) for sha256 in {claim.picture for claim in claims}})


def make_snapshot(store: DatasetStore, wanted: Wanted, say: Say) -> Snapshot:
    """Of all that is in the store now. Raises DatasetError for labels in conflict and for leaks between learning and
    testing, unless they are left out; then no snapshot is made.
    """
    earlier = store.snapshots()
    items = _without_conflicts(known(store), wanted, say)
    before: dict[str, Role] = {item.pixels: item.role for snapshot in earlier for item in snapshot.items}
    usual = earlier[-1].near if earlier else NEAR
    near = usual if wanted.near is None else wanted.near
    roles = assign(items, before, near, wanted.test_share)
    left_out = _refused_leaks(roles.leaks, wanted, say)
    taken = [item for item in items if item.picture.pixels not in left_out]
    if not taken:
        raise DatasetError(f"{store.root}: nothing is left for a snapshot; add images, or settle what was left out")
    parts = tuple(_item(one, roles.of[one.picture.pixels]) for one in taken)
    if wanted.name is None and earlier and earlier[-1].items == parts:
        say(f"nothing has changed since snapshot {earlier[-1].name}: {counts(earlier[-1])}")
        return earlier[-1]
    snapshot = Snapshot(
        name=wanted.name or _next_name(earlier),
        created_at=datetime.now(UTC),
        parent=earlier[-1].name if earlier else None,
        near=near,
        items=parts,
    )
    store.write(snapshot)
    say(f"snapshot {snapshot.name}: {counts(snapshot)}")
    return snapshot


def settle(store: DatasetStore, start: str, label: str, by: str, note: str | None = None) -> Claim:
    """A person's last word on a picture, by the first characters of its hash. Raises ConfigError for an unknown one."""
    picture = store.find(start)
    claim = Claim(picture=picture.sha256, label=label, origin=FromPerson(by=by, at=datetime.now(UTC), note=note))
    store.claim(claim)
    return claim


def counts(snapshot: Snapshot) -> str:
    """How many pictures of each role and label."""
    parts = []
    sides: tuple[tuple[Role, str], ...] = (("train", "to learn from"), ("test", "to test on, for good"))
    for role, words in sides:
        found = snapshot.of(role)
        labels = sorted({item.label for item in found}, key=lambda label: (label != "good", label))
        told = ", ".join(f"{sum(item.label == label for item in found)} {label}" for label in labels) or "nothing"
        parts.append(f"{told} {words}")
    return "; ".join(parts)


def diff(old: Snapshot, new: Snapshot) -> list[str]:
    """A line for each picture that came, went or changed, and a summary first."""
    left, right = ({item.pixels: item for item in snapshot.items} for snapshot in (old, new))
    lines = [f"+ {_line(right[key])}" for key in sorted(right.keys() - left.keys())]
    lines += [f"- {_line(left[key])}" for key in sorted(left.keys() - right.keys())]
    changed = [key for key in sorted(left.keys() & right.keys()) if left[key].label != right[key].label]
    lines += [f"~ {_line(right[key])}, was {left[key].label}" for key in changed]
    came, went = len(right.keys() - left.keys()), len(left.keys() - right.keys())
    return [f"{old.name} -> {new.name}: {came} came, {went} went, {len(changed)} have another label", *lines]


def claim_words(origin: Origin, label: str | None) -> str:
    """Who said what, in a few words."""
    match origin:
        case FromFolder():
            return f"{label} by {origin.folder}/{origin.path}"
        case FromReview():
            return (
                f"{label or 'nothing'} by {origin.by} ({origin.said} of {origin.outcome}, box {origin.box}, bundle "
                f"{(origin.bundle or 'none')[:12]}, {origin.at:%Y-%m-%d %H:%M} UTC)"
            )
        case FromPerson():
            return f"{label} by {origin.by}, who settled it {origin.at:%Y-%m-%d %H:%M} UTC"


def conflict_words(one: Labelled) -> str:
    """What is said of a picture in conflict."""
    said = "; ".join(claim_words(claim.origin, claim.label) for claim in one.claims)
    return f"{one.picture.sha256[:12]}: {said}"


def _without_conflicts(items: Sequence[Labelled], wanted: Wanted, say: Say) -> list[Labelled]:
    torn = [item for item in items if item.is_in_conflict]
    if torn and "conflicts" not in wanted.leave_out:
        shown = " | ".join(conflict_words(item) for item in torn[:_SHOWN])
        raise DatasetError(
            f"labels in conflict on {len(torn)} picture(s): {shown}; look at them, then `dataset settle IMAGE LABEL "
            "--by NAME`, or --leave-out conflicts"
        )
    for item in torn:
        say(f"left out, in conflict: {conflict_words(item)}")
    return [item for item in items if not item.is_in_conflict]


def _refused_leaks(leaks: Sequence[Leak], wanted: Wanted, say: Say) -> set[str]:
    if leaks and "leaks" not in wanted.leave_out:
        shown = " | ".join(_leak_words(leak) for leak in leaks[:_SHOWN])
        raise DatasetError(
            f"{len(leaks)} picture(s) to learn from look like one to test on: {shown}; take one of each away, or "
            "--leave-out leaks, or, where different parts look that much alike, a smaller --near"
        )
    for leak in leaks:
        say(f"left out, a leak: {_leak_words(leak)}")
    return {leak.newer.picture.pixels for leak in leaks}


def _leak_words(leak: Leak) -> str:
    sides = [one.claims[0] for one in (leak.train, leak.test)]
    return " = ".join(f"{claim.picture[:12]} {claim_words(claim.origin, claim.label)}" for claim in sides)


def _item(one: Labelled, role: Role) -> Item:
    return Item(
        picture=one.picture.sha256,
        suffix=one.picture.suffix,
        pixels=one.picture.pixels,
        label=one.labels[0],
        role=role,
        mask=one.mask,
        said_by=tuple(claim.origin for claim in one.claims),
    )


def _line(item: Item) -> str:
    origin = item.said_by[-1]
    return f"{item.picture[:12]} {item.role:<5} {claim_words(origin, item.label)}"


def _next_name(earlier: Sequence[Snapshot]) -> str:
    names = {snapshot.name for snapshot in earlier}
    return next(name for number in range(1, len(names) + 2) if (name := f"v{number}") not in names)
