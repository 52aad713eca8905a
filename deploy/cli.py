"""`mekiki-deploy`: signs bundles, puts them into a store, shows what is in force, goes back."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from models.command import DONE, Parser, product, reason, run_command, sub_parser, top_parser

if TYPE_CHECKING:
    from models.bundle import Bundle
    from models.store import Store

STORE = "/var/lib/mekiki/store"
TRUST = Path("/etc/mekiki/trust")
_YEARS = 2  # that a new key is trusted for


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `mekiki-deploy` and returns its exit code."""
    return run_command(build_parser(), argv)


def build_parser() -> Parser:
    """All sub-commands, each with its help and an example."""
    parser = top_parser("mekiki-deploy", "Brings bundles to boxes.", f"mekiki-deploy push screws.bundle --to {STORE}")
    subs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_keys(subs)
    _add_sign(subs)
    _add_push(subs)
    _add_installer(subs)
    status = sub_parser(
        subs,
        "status",
        _status,
        "Show the versions of a store, who signed them, and which is in force.",
        f"mekiki-deploy status --to {STORE}",
    )
    rollback = sub_parser(
        subs, "rollback", _rollback, "Put the previous version in force again.", f"mekiki-deploy rollback --to {STORE}"
    )
    for command in (status, rollback):
        _add_place(command)
    return parser


def _add_keys(subs: "argparse._SubParsersAction[Parser]") -> None:
    about = "Make a key to sign bundles with, and the file by which boxes trust it."
    example = "mekiki-deploy keys --out keys --name line-2026 --until 2027-12-31"
    keys = sub_parser(subs, "keys", _keys, about, example)
    keys.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the secret goes here, its file to DIR/trust"
    )
    keys.add_argument("--name", required=True, metavar="NAME", help="of the key; each new one wants another")
    keys.add_argument("--until", type=_day, metavar="DAY", help=f"last day of its trust, UTC (in {_YEARS} years)")
    keys.add_argument(
        "--compatible", type=product, action="append", default=[], metavar="PRODUCT",
        help="it may sign bundles for this product only; repeatable (any)",
    )  # fmt: skip


def _add_sign(subs: "argparse._SubParsersAction[Parser]") -> None:
    about = "Sign a bundle: every file of it, by OpenSSF Model Signing. A signature that it had is replaced."
    sign = sub_parser(subs, "sign", _sign, about, "mekiki-deploy sign screws.bundle --key keys/line-2026.key")
    sign.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder that `mekiki-train fit` wrote")
    sign.add_argument("--key", type=Path, required=True, metavar="FILE", help="secret that `mekiki-deploy keys` made")


def _add_push(subs: "argparse._SubParsersAction[Parser]") -> None:
    about = "Verify a bundle, copy it into the store of this machine and put it in force."
    push = sub_parser(subs, "push", _push, about, f"mekiki-deploy push screws.bundle --to {STORE}")
    push.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder that `mekiki-train fit` wrote")
    push.add_argument("--keep-active", action="store_true", help="only store it; leave the active version in force")
    push.add_argument(
        "--older", type=reason, metavar="REASON", help="why a bundle older than the active one shall follow it"
    )
    _add_place(push)


def _add_installer(subs: "argparse._SubParsersAction[Parser]") -> None:
    about = "Make one file that installs, upgrades and removes mekiki on a box without a network."
    command = sub_parser(subs, "installer", _installer, about, "mekiki-deploy installer --out mekiki.run")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="to write; on the box: sudo sh FILE")


def _add_place(command: Parser) -> None:
    command.add_argument("--to", type=Path, required=True, metavar="STORE", help="the store, a folder")
    command.add_argument(
        "--trust", type=Path, metavar="DIR", help=f"whose bundles are taken: a folder of keys ({TRUST}, if it is there)"
    )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: a day was wanted, such as 2027-12-31") from None


def _keys(arguments: argparse.Namespace) -> int:
    from deploy.keys import make_key

    today = datetime.now(UTC).date()
    until = arguments.until or today.replace(year=today.year + _YEARS, day=min(today.day, 28))
    pair = make_key(arguments.out, arguments.name, until, arguments.compatible)
    print(f"{pair.secret}: keep it secret; it signs bundles")
    print(f"{pair.public}: copy it to {TRUST} of every box; trusted until {until}")
    return DONE


def _sign(arguments: argparse.Namespace) -> int:
    from deploy.sign import sign_bundle

    bundle, fingerprint = sign_bundle(arguments.bundle, arguments.key)
    print(f"signed {bundle.digest[:12]} with {arguments.key.stem} (key {fingerprint[:12]})")
    return DONE


def _installer(arguments: argparse.Namespace) -> int:
    from deploy.installer.gather import make_installer, words_of

    print("\n".join(words_of(make_installer(arguments.out))))
    return DONE


def _store(arguments: argparse.Namespace) -> "Store":
    """The store, with the keys that this machine trusts."""
    from models.gate import Gate
    from models.store import Store

    return Store(arguments.to, Gate(arguments.trust or (TRUST if TRUST.exists() else None)))


def _done(store: "Store") -> int:
    """Nothing passes unsigned in silence."""
    if store.gate.trust is None:
        print(
            "mekiki-deploy: warning: nobody's signature was asked for, as this machine has no trusted keys; make some "
            f"with `mekiki-deploy keys` and put them into {TRUST}, or name their folder with --trust",
            file=sys.stderr,
        )
    return DONE


def _push(arguments: argparse.Namespace) -> int:
    from models.bundle import open_bundle

    store = _store(arguments)
    if not arguments.keep_active:
        store.admit(open_bundle(arguments.bundle), arguments.older)  # before anything is copied
    bundle = store.add(arguments.bundle)
    if not arguments.keep_active:
        store.activate(bundle.digest, arguments.older)
    print(f"{'stored' if arguments.keep_active else 'active'} {bundle.digest[:12]} in {store.root}{_by(store, bundle)}")
    return _done(store)


def _by(store: "Store", bundle: "Bundle") -> str:
    key = store.gate.verify(bundle)
    return "" if key is None else f", signed by {key.name}"


def _status(arguments: argparse.Namespace) -> int:
    from models.errors import BundleError, UntrustedError

    store = _store(arguments)
    state, damaged = store.state(), None
    digests = {*store.versions(), *filter(None, (state.active, state.previous))}
    if not digests:
        raise BundleError(f"{store.root}: no versions; `mekiki-deploy push BUNDLE --to {store.root}` first")
    for digest in sorted(digests):
        role = {state.previous: "previous", state.active: "active"}.get(digest, "stored")
        try:
            about = _about(store, store.open(digest))
        except BundleError as error:
            about, damaged = "UNTRUSTED" if isinstance(error, UntrustedError) else "DAMAGED", error
        print(f"{digest[:12]}  {role:<8}  {about}")
    if state.because is not None:
        print(f"older than the version before it: {state.because}")
    if damaged:
        raise damaged
    return _done(store)


def _about(store: "Store", bundle: "Bundle") -> str:
    manifest = bundle.manifest
    product = "" if manifest.compatible is None else f" for {manifest.compatible}"
    made = f"{manifest.created_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"{manifest.family}/{manifest.model}{product}  {made}{_by(store, bundle)}"


def _rollback(arguments: argparse.Namespace) -> int:
    store = _store(arguments)
    bundle = store.rollback()
    print(f"active {bundle.digest[:12]} in {store.root}{_by(store, bundle)}")
    return _done(store)


if __name__ == "__main__":
    raise SystemExit(main())
