"""`mekiki-deploy`: signs bundles, brings them to boxes or into a store, shows what is in force, goes back."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from models.command import DONE, Parser, positive_int, product, reason, run_command, say, sub_parser, top_parser
from models.errors import ConfigError

if TYPE_CHECKING:
    from deploy.playbook import Boxes
    from models.store import Store

TRUST = Path("/etc/mekiki/trust")
_YEARS = 2  # that a new key is trusted for
_CANARY, _BATCH, _WAIT_S = 1, 5, 1800
_INVENTORIES = (".yml", ".yaml", ".ini")
# What only boxes understand, and what it is when nobody gave it.
_OF_BOXES = {"group": None, "canary": _CANARY, "batch": _BATCH, "wait": _WAIT_S, "shadow": False, "leave": None}
_SPELT = {"leave": "from"}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `mekiki-deploy` and returns its exit code."""
    return run_command(build_parser(), argv)


def build_parser() -> Parser:
    """All sub-commands, each with its help and an example."""
    parser = top_parser("mekiki-deploy", "Brings bundles to boxes.", "mekiki-deploy push screws.bundle --to line.yml")
    subs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_keys(subs)
    _add_sign(subs)
    _add_push(subs)
    _add_installer(subs)
    _add_status(subs)
    _add_rollback(subs)
    _add_pull(subs)
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
    about = "Verify a bundle and put it in force: on boxes, canaries first, or in a store of this machine."
    push = sub_parser(subs, "push", _push, about, "mekiki-deploy push screws.bundle --to line.yml --group line3")
    push.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder that `mekiki-train fit` wrote")
    _add_place(push)
    _add_group(push)
    push.add_argument(
        "--canary", type=_count, default=_CANARY, metavar="N",
        help=f"boxes that get it first, and prove it on their line ({_CANARY})",
    )  # fmt: skip
    push.add_argument(
        "--batch", type=positive_int, default=_BATCH, metavar="N", help=f"boxes at a time after them ({_BATCH})"
    )
    push.add_argument(
        "--wait", type=_count, default=_WAIT_S, metavar="SECONDS",
        help=f"at most, for a canary's probation to end ({_WAIT_S})",
    )  # fmt: skip
    push.add_argument(
        "--no-wait", dest="wait", action="store_const", const=0, help="go on while the canaries are on probation"
    )
    push.add_argument("--shadow", action="store_true", help="let it judge beside the active version, without acting")
    push.add_argument("--keep-active", action="store_true", help="only store it; leave the active version in force")
    push.add_argument(
        "--older", type=reason, metavar="REASON", help="why a bundle older than the active one shall follow it"
    )
    _add_trust(push)


def _add_status(subs: "argparse._SubParsersAction[Parser]") -> None:
    about = "Show what is in force on boxes and how it came to be, or the versions of a store and who signed them."
    status = sub_parser(subs, "status", _status, about, "mekiki-deploy status --to line.yml")
    _add_place(status)
    _add_group(status)
    _add_trust(status)


def _add_rollback(subs: "argparse._SubParsersAction[Parser]") -> None:
    about = "Put the previous version in force again, on the boxes that have the one to leave, or in a store."
    example = "mekiki-deploy rollback --to line.yml --from be025f529acd --because 'rejects good parts'"
    rollback = sub_parser(subs, "rollback", _rollback, about, example)
    _add_place(rollback)
    _add_group(rollback)
    rollback.add_argument(
        "--from", dest="leave", metavar="VERSION", help="the one to leave on boxes (the one that all of them have)"
    )
    rollback.add_argument("--because", type=reason, metavar="REASON", help="kept in the history")
    _add_trust(rollback)


def _add_pull(subs: "argparse._SubParsersAction[Parser]") -> None:
    about = "Bring what is new of evidence and reviews from boxes here. Nothing is deleted there."
    pull = sub_parser(subs, "pull", _pull, about, "mekiki-deploy pull --from line.yml --to pulled")
    pull.add_argument("--from", dest="place", type=Path, required=True, metavar="INVENTORY", help="of the boxes")
    pull.add_argument("--to", type=Path, required=True, metavar="DIR", help="each box has a folder of its name there")
    _add_group(pull)


def _add_installer(subs: "argparse._SubParsersAction[Parser]") -> None:
    about = "Make one file that installs, upgrades and removes mekiki on a box without a network."
    command = sub_parser(subs, "installer", _installer, about, "mekiki-deploy installer --out mekiki.run")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="to write; on the box: sudo sh FILE")


def _add_place(command: Parser) -> None:
    command.add_argument(
        "--to", dest="place", type=Path, required=True, metavar="PLACE",
        help="an inventory of boxes, a file, or a store of this machine, a folder",
    )  # fmt: skip


def _add_group(command: Parser) -> None:
    command.add_argument("--group", metavar="NAME", help="only these of the inventory: line3, or 'all:!line3-b'")


def _add_trust(command: Parser) -> None:
    command.add_argument(
        "--trust", type=Path, metavar="DIR", help=f"whose bundles are taken: a folder of keys ({TRUST}, if it is there)"
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text}: a whole number of 0 or more was wanted")
    return int(text)


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


def _push(arguments: argparse.Namespace) -> int:
    if arguments.place.is_file():
        from deploy.rollout import Plan, Rollout, verified

        _refuse_of_a_store(arguments)
        plan = Plan(arguments.canary, arguments.batch, arguments.wait, arguments.shadow, arguments.older)
        Rollout(verified(arguments.bundle, _trust(arguments)), plan, say).run(_boxes(arguments))
        return DONE
    from deploy.local import push

    _refuse_of_boxes(arguments)
    push(_store(arguments), arguments.bundle, arguments.older, say, activate=not arguments.keep_active)
    return _done(arguments)


def _status(arguments: argparse.Namespace) -> int:
    if arguments.place.is_file():
        from deploy.fleet import show_status

        _refuse_of_a_store(arguments)
        show_status(_boxes(arguments), say)
        return DONE
    from deploy.local import show_status as show_store

    _refuse_of_boxes(arguments)
    show_store(_store(arguments), say)
    return _done(arguments)


def _rollback(arguments: argparse.Namespace) -> int:
    if arguments.place.is_file():
        from deploy.fleet import roll_back

        _refuse_of_a_store(arguments)
        roll_back(_boxes(arguments), arguments.leave, arguments.because, say)
        return DONE
    from deploy.local import roll_back as roll_back_store

    _refuse_of_boxes(arguments)
    roll_back_store(_store(arguments), arguments.because, say)
    return _done(arguments)


def _pull(arguments: argparse.Namespace) -> int:
    from deploy.fleet import pull

    if not arguments.place.is_file():
        raise ConfigError(f"{arguments.place}: no such inventory; write one (deploy/README.md)")
    pull(_boxes(arguments), arguments.to, say)
    return DONE


def _boxes(arguments: argparse.Namespace) -> "Boxes":
    from deploy.playbook import Boxes

    return Boxes(arguments.place, arguments.group)


def _refuse_of_boxes(arguments: argparse.Namespace) -> None:
    """Options that mean nothing to a store of this machine, and the name of an inventory that is not there."""
    if arguments.place.suffix in _INVENTORIES and not arguments.place.exists():
        raise ConfigError(f"{arguments.place}: no such inventory; write one (deploy/README.md), or give a store")
    given = vars(arguments)
    for option, absent in _OF_BOXES.items():
        if given.get(option, absent) != absent:
            raise ConfigError(
                f"--{_SPELT.get(option, option)}: is for boxes of an inventory, {arguments.place} is a store"
            )


def _refuse_of_a_store(arguments: argparse.Namespace) -> None:
    """Options that mean nothing to boxes."""
    if arguments.run is not _push and arguments.trust is not None:
        raise ConfigError("--trust: each box goes by its own trusted keys; leave it out")
    if arguments.run is _push and arguments.keep_active:
        raise ConfigError("--keep-active: for a store of this machine; on boxes, try a bundle with --shadow")


def _trust(arguments: argparse.Namespace) -> Path | None:
    return arguments.trust or (TRUST if TRUST.exists() else None)


def _store(arguments: argparse.Namespace) -> "Store":
    """The store, with the keys that this machine trusts."""
    from models.gate import Gate
    from models.store import Store

    return Store(arguments.place, Gate(_trust(arguments)))


def _done(arguments: argparse.Namespace) -> int:
    """Nothing passes unsigned in silence."""
    if _trust(arguments) is None:
        print(
            "mekiki-deploy: warning: nobody's signature was asked for, as this machine has no trusted keys; make some "
            f"with `mekiki-deploy keys` and put them into {TRUST}, or name their folder with --trust",
            file=sys.stderr,
        )
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
