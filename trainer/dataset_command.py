"""`mekiki-train dataset`: data sets with versions. What they are made of is told in trainer/versions/."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.command import DONE, Parser, say, sub_parser
from models.errors import ConfigError
from trainer.arguments import share, whole

_PROG = "mekiki-train dataset"
_Run = Callable[[argparse.Namespace], int]


def add_dataset(subs: Any) -> None:
    """`mekiki-train dataset` with its actions."""
    about = "Keep pictures and what was said of them, and freeze data sets to fit from and to measure on."
    add = "add screws/ --store screws.store"
    dataset = subs.add_parser("dataset", help=about, description=about, epilog=f"example:\n  {_PROG} {add}")
    actions = dataset.add_subparsers(required=True, metavar="ACTION")
    one = _action(actions, "add", _add, "Take in sorted pictures, or what a pull brought from the boxes.", add)
    one.add_argument("folder", type=Path, metavar="DIR", help="train/, test/ (MVTec AD) or good/, or <box>/review/")
    _action(actions, "list", _list, "Show the snapshots.", "list --store screws.store")
    one = _action(actions, "show", _show, "Show who said what of the pictures.", "show v1 --store screws.store")
    one.add_argument("what", nargs="?", metavar="SNAPSHOT|IMAGE", help="one of these (all, and what is in conflict)")
    one.add_argument("--json", action="store_true", help="of a snapshot: all of it, as one JSON object")
    one = _action(actions, "diff", _diff, "Show what changed between two snapshots.", "diff v1 v2 --store screws.store")
    one.add_argument("old", metavar="SNAPSHOT", help="the one")
    one.add_argument("new", metavar="SNAPSHOT2", help="and the other")
    _add_settle(actions)
    _add_snapshot(actions)
    _add_checkout(actions)


def _action(actions: Any, name: str, run: _Run, about: str, example: str) -> Parser:
    action = sub_parser(actions, name, run, about, f"{_PROG} {example}")
    action.add_argument("--store", required=True, type=Path, metavar="STORE", help="folder that holds all of it")
    return action


def _add_settle(actions: Any) -> None:
    example = "settle 3f9a good --by sato --store screws.store"
    settle = _action(actions, "settle", _settle, "Say the last word on a picture in conflict.", example)
    settle.add_argument("image", metavar="IMAGE", help="the first characters of its hash")
    settle.add_argument("label", metavar="LABEL", help="good, or the kind of its defect")
    settle.add_argument("--by", required=True, metavar="NAME", help="who says so")
    settle.add_argument("--note", metavar="TEXT", help="why")


def _add_snapshot(actions: Any) -> None:
    about = "Freeze what is in the store now, with a role for each picture that stays for good."
    snapshot = _action(actions, "snapshot", _snapshot, about, "snapshot --store screws.store")
    snapshot.add_argument("--name", metavar="NAME", help="(v1, v2, ...)")
    add_wanted(snapshot)


def add_wanted(parser: Parser) -> None:
    """How a snapshot is made; `retrain` takes the same."""
    parser.add_argument(
        "--test-share",
        type=share,
        default=argparse.SUPPRESS,
        metavar="SHARE",
        help="of the new pictures that no folder calls train or test, by label: tested on, never learned from (0.5)",
    )
    parser.add_argument(
        "--near",
        type=whole,
        default=argparse.SUPPRESS,
        metavar="BITS",
        help="pictures that differ in so many of 255 bits or fewer look alike, and lie on one side (as in the snapshot "
        "before; 10)",
    )
    parser.add_argument(
        "--leave-out",
        default="",
        metavar="NAME,...",
        help="conflicts, leaks: leave such pictures out, where they are else refused",
    )


def _add_checkout(actions: Any) -> None:
    about = "Lay a snapshot out as a folder that is taken wherever --data is."
    example = "checkout v1 --part train --to screws/ --store screws.store"
    checkout = _action(actions, "checkout", _checkout, about, example)
    checkout.add_argument("snapshot", metavar="SNAPSHOT", help="its name")
    checkout.add_argument("--to", required=True, type=Path, metavar="DIR", help="folder to make")
    checkout.add_argument(
        "--part", default="all", choices=["all", "train", "test"], help="train: to fit; test: to evaluate (%(default)s)"
    )


def wanted_of(arguments: argparse.Namespace, **more: Any) -> Any:
    """What `add_wanted` was given. Raises ConfigError for a word that it does not know."""
    from trainer.versions.snapshot import Wanted

    names = frozenset(name for name in arguments.leave_out.split(",") if name)
    if strange := sorted(names - {"conflicts", "leaks"}):
        raise ConfigError(f"--leave-out {strange[0]}: conflicts or leaks were wanted")
    given = {name: getattr(arguments, name) for name in ("near", "test_share") if hasattr(arguments, name)}
    return Wanted(**more | given, leave_out=names)


def _store(arguments: argparse.Namespace) -> Any:
    from trainer.versions.store import DatasetStore

    return DatasetStore(arguments.store)


def _add(arguments: argparse.Namespace) -> int:
    from trainer.versions.adding import add

    print(add(_store(arguments), arguments.folder).in_words())
    return DONE


def _list(arguments: argparse.Namespace) -> int:
    from trainer.versions.snapshot import counts

    snapshots = _store(arguments).snapshots()
    for one in snapshots:
        parent = f", after {one.parent}" if one.parent else ""
        print(f"{one.name:<8}{one.created_at:%Y-%m-%d %H:%M} UTC  {counts(one)}{parent}")
    if not snapshots:
        print(f"no snapshot; `{_PROG} snapshot --store {arguments.store}` makes one")
    return DONE


def _show(arguments: argparse.Namespace) -> int:
    from trainer.versions.snapshot import claim_words, conflict_words, counts, known

    store, what = _store(arguments), arguments.what
    snapshot = next((one for one in store.snapshots() if one.name == what), None)
    if snapshot is not None:
        if arguments.json:
            print(snapshot.model_dump_json(indent=1))
            return DONE
        print(f"{snapshot.name}: {counts(snapshot)}")
        for item in snapshot.items:
            said = "; ".join(claim_words(origin, item.label) for origin in item.said_by)
            print(f"{item.picture[:12]}  {item.role:<5}  {item.label:<14}  {said}")
        return DONE
    everything = known(store)
    if what is not None:
        pixels = store.find(what).pixels
        everything = [one for one in everything if one.picture.pixels == pixels]
    for one in everything:
        print(f"{'CONFLICT ' if one.is_in_conflict else ''}{conflict_words(one)}")
    return DONE


def _diff(arguments: argparse.Namespace) -> int:
    from trainer.versions.snapshot import diff

    store = _store(arguments)
    print(*diff(store.snapshot(arguments.old), store.snapshot(arguments.new)), sep="\n")
    return DONE


def _settle(arguments: argparse.Namespace) -> int:
    from pydantic import ValidationError

    from models.base import first_error
    from trainer.versions.snapshot import claim_words, settle

    try:
        claim = settle(_store(arguments), arguments.image, arguments.label, arguments.by, arguments.note)
    except ValidationError as error:
        raise ConfigError(f"{arguments.label}: {first_error(error)}") from error
    print(f"{claim.picture[:12]}: {claim_words(claim.origin, claim.label)}")
    return DONE


def _snapshot(arguments: argparse.Namespace) -> int:
    from pydantic import TypeAdapter, ValidationError

    from models.base import first_error
    from trainer.versions.snapshot import make_snapshot
    from trainer.versions.types import SnapshotName

    try:
        TypeAdapter(SnapshotName | None).validate_python(arguments.name)
    except ValidationError as error:
        raise ConfigError(f"--name {arguments.name!r:.70}: {first_error(error)}") from error
    make_snapshot(_store(arguments), wanted_of(arguments, name=arguments.name), say)
    return DONE


def _checkout(arguments: argparse.Namespace) -> int:
    from trainer.versions.checkout import checkout

    store, role = _store(arguments), None if arguments.part == "all" else arguments.part
    items = store.snapshot(arguments.snapshot).of(role)
    checkout(store, items, arguments.to)
    print(f"{arguments.to}: {len(items)} pictures of {arguments.snapshot}, {arguments.part}")
    return DONE
