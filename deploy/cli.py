"""`mekiki-deploy`: puts bundles into a store, shows what is in force, goes back."""

import argparse
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

from models.command import DONE, Parser, run_command, sub_parser, top_parser

if TYPE_CHECKING:
    from models.manifest import Manifest

STORE = "/var/lib/mekiki/store"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `mekiki-deploy` and returns its exit code."""
    return run_command(build_parser(), argv)


def build_parser() -> Parser:
    """All sub-commands, each with its help and an example."""
    parser = top_parser("mekiki-deploy", "Brings bundles to boxes.", f"mekiki-deploy push screws.bundle --to {STORE}")
    subs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    push = sub_parser(
        subs,
        "push",
        _push,
        "Verify a bundle, copy it into the store of this machine and put it in force.",
        f"mekiki-deploy push screws.bundle --to {STORE}",
    )
    push.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder that `mekiki-train fit` wrote")
    push.add_argument("--keep-active", action="store_true", help="only store it; leave the active version in force")
    status = sub_parser(
        subs,
        "status",
        _status,
        "Show the versions of a store and which is in force.",
        f"mekiki-deploy status --to {STORE}",
    )
    rollback = sub_parser(
        subs, "rollback", _rollback, "Put the previous version in force again.", f"mekiki-deploy rollback --to {STORE}"
    )
    for command in (push, status, rollback):
        command.add_argument("--to", type=Path, required=True, metavar="STORE", help="the store, a folder")
    return parser


def _push(arguments: argparse.Namespace) -> int:
    from models.store import Store

    store = Store(arguments.to)
    bundle = store.add(arguments.bundle)
    if arguments.keep_active:
        print(f"stored {bundle.digest[:12]} in {store.root}")
        return DONE
    store.activate(bundle.digest)
    print(f"active {bundle.digest[:12]} in {store.root}")
    return DONE


def _status(arguments: argparse.Namespace) -> int:
    from models.errors import BundleError
    from models.store import Store

    store = Store(arguments.to)
    state, damaged = store.state(), None
    digests = {*store.versions(), *filter(None, (state.active, state.previous))}
    if not digests:
        raise BundleError(f"{store.root}: no versions; `mekiki-deploy push BUNDLE --to {store.root}` first")
    for digest in sorted(digests):
        role = {state.previous: "previous", state.active: "active"}.get(digest, "stored")
        try:
            about = _about(store.open(digest).manifest)
        except BundleError as error:
            about, damaged = "DAMAGED", error
        print(f"{digest[:12]}  {role:<8}  {about}")
    if damaged:
        raise damaged
    return DONE


def _about(manifest: "Manifest") -> str:
    return f"{manifest.family}/{manifest.model}  {manifest.created_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _rollback(arguments: argparse.Namespace) -> int:
    from models.store import Store

    bundle = Store(arguments.to).rollback()
    print(f"active {bundle.digest[:12]} in {arguments.to}")
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
