"""The command `mekiki-edge`. Those of its sub-commands that have many arguments are in files named after them."""

import argparse
import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.arguments import add_config, milliseconds
from edge.client_commands import add_clients
from edge.model_command import add_model
from edge.review_command import add_review
from models.command import DONE, Parser, run_command, say, sub_parser, top_parser

_PROG = "mekiki-edge"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0 done, 1 failed, 2 wrong usage or configuration, 3 safe state."""
    return run_command(_parser(), argv)


def _parser() -> Parser:
    parser = top_parser(_PROG, "Judge every part that the cameras of this box see.", f"{_PROG} run --config edge.toml")
    subs = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, about in (
        ("check", _check, "Try everything that a start needs, and judge nothing."),
        ("run", _run, "Judge frames until stopped, or until all cameras have finished."),
    ):
        command = sub_parser(subs, name, run, about, f"{_PROG} {name} --config edge.toml")
        add_config(command)
        if name == "check":
            command.add_argument("--settings-only", action="store_true", help="read the settings; open nothing")
    add_clients(subs)
    _add_keys(subs)
    add_model(subs)
    add_review(subs)
    _add_shadow(subs)
    _add_status(subs)
    _add_qualify(subs)
    return parser


def _add_keys(subs: Any) -> None:
    about = "Make the keys of this box, and one for each client that may connect to it from another machine."
    example = f"{_PROG} keys --out /etc/mekiki/keys --client plc --client mes"
    command = sub_parser(subs, "keys", _keys, about, example)
    command.add_argument("--out", required=True, type=Path, metavar="DIR", help="the [bus] keys of the daemon")
    command.add_argument("--client", action="append", default=[], metavar="NAME", help="a client to admit; repeatable")


def _add_shadow(subs: Any) -> None:
    about = "See how a version does that judges beside the active one."
    example = "shadow report --config edge.toml"
    shadow = subs.add_parser("shadow", help=about, description=about, epilog=f"example:\n  {_PROG} {example}")
    actions = shadow.add_subparsers(required=True, metavar="ACTION")
    about = "Sum up where the two said the same, where not, and what that proves."
    report = sub_parser(actions, "report", _shadow_report, about, f"{_PROG} {example}")
    add_config(report)
    report.add_argument(
        "--candidate", metavar="VERSION", help="the first characters of its digest (the last one that judged)"
    )
    report.add_argument("--json", action="store_true", help="one JSON object a line, one for each active version")


def _add_status(subs: Any) -> None:
    about = "Show which version judges here, how it came to that, the last verdicts and the disk."
    command = sub_parser(subs, "status", _status, about, f"{_PROG} status --config edge.toml")
    add_config(command)
    command.add_argument("--camera", metavar="NAME", help="its store only, where there are several")
    command.add_argument("--json", action="store_true", help="for programs: one JSON object")


def _add_qualify(subs: Any) -> None:
    about = "Try a bundle on the devices of this box at each of its precisions: right, how quick, and in time."
    command = sub_parser(
        subs, "qualify", _qualify, about, f"{_PROG} qualify screws.bundle --device CPU --budget-ms 100"
    )
    command.add_argument("bundle", type=Path, metavar="BUNDLE", help="a folder on this box")
    command.add_argument(
        "--device", action="append", default=[], metavar="NAME", help="CPU, GPU or NPU; repeatable (all that are here)"
    )
    command.add_argument(
        "--budget-ms", type=milliseconds, metavar="MS",
        help="for one frame (the shortest deadline_s of the settings, else none)",
    )  # fmt: skip
    command.add_argument(
        "--config", type=Path, metavar="FILE", help="settings of this box, TOML; they say where `state` is"
    )


def _check(arguments: argparse.Namespace) -> int:
    if arguments.settings_only:
        from edge.settings import load_settings

        load_settings(arguments.config)
        say(f"ok      settings: {arguments.config}")
        return DONE
    from edge.check import check

    return check(arguments.config, say)


def _run(arguments: argparse.Namespace) -> int:
    from edge.daemon import run_daemon
    from edge.logs import log_to_stderr
    from edge.settings import load_settings
    from edge.worker import HangError

    log_to_stderr()
    try:
        reread = functools.partial(load_settings, arguments.config)
        run_daemon(reread(), reread)
    except HangError as error:  # a thread is stuck in a driver: an orderly exit would wait for it for ever
        print(f"{_PROG} run: {error}", file=sys.stderr, flush=True)
        os._exit(error.exit_code)
    return DONE


def _keys(arguments: argparse.Namespace) -> int:
    from edge.keys import make_keys

    for folder in make_keys(arguments.out, arguments.client):
        say(f"{folder}: hand this folder over, then delete it here")
    say(f"{arguments.out}: set it as [bus] keys; its secrets belong to the daemon's user, mode 600")
    return DONE


def _qualify(arguments: argparse.Namespace) -> int:
    from edge.qualify_command import Asked, qualify_command

    budget_s = None if arguments.budget_ms is None else arguments.budget_ms / 1e3
    return qualify_command(Asked(arguments.bundle, tuple(arguments.device), budget_s, arguments.config), say)


def _shadow_report(arguments: argparse.Namespace) -> int:
    from edge.settings import load_settings
    from edge.shadow.records import records_in
    from edge.shadow.report import reports
    from edge.shadow.words import show

    for report in reports(records_in(load_settings(arguments.config).state), arguments.candidate):
        say(report.model_dump_json()) if arguments.json else show(report, say)
    return DONE


def _status(arguments: argparse.Namespace) -> int:
    from edge.settings import load_settings
    from edge.status import lines_of, look

    status = look(load_settings(arguments.config), arguments.camera)
    for line in [status.model_dump_json()] if arguments.json else lines_of(status):
        say(line)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
