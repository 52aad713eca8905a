"""The command `mekiki-edge`."""

import argparse
import contextlib
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from models.command import DONE, Parser, positive_int, run_command, sub_parser, top_parser

_PROG = "mekiki-edge"
_say = functools.partial(print, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0 done, 1 failed, 2 wrong usage or configuration."""
    return run_command(_parser(), argv)


def _parser() -> Parser:
    parser = top_parser(_PROG, "Judge every part that the cameras of this box see.", f"{_PROG} run --config edge.toml")
    subs = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, about in (
        ("check", _check, "Try everything that a start needs, and judge nothing."),
        ("run", _run, "Judge frames until stopped, or until all cameras have finished."),
    ):
        command = sub_parser(subs, name, run, about, f"{_PROG} {name} --config edge.toml")
        command.add_argument("--config", required=True, type=Path, metavar="FILE", help="settings of this box, TOML")
    _add_listen(subs)
    return parser


def _add_listen(subs: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    about = "Print the verdicts of a running daemon, one JSON object per line."
    example = f"{_PROG} listen --connect tcp://127.0.0.1:5555 --count 10 --timeout 30"
    command = sub_parser(subs, "listen", _listen, about, example)
    command.add_argument("--connect", required=True, metavar="ADDRESS", help="the [bus] bind of the daemon")
    command.add_argument("--count", type=positive_int, metavar="N", help="end after N verdicts (default: never)")
    command.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="fail when no verdict comes for so long (default: wait)"
    )


def _check(arguments: argparse.Namespace) -> int:
    from edge.check import check

    return check(arguments.config, _say)


def _run(arguments: argparse.Namespace) -> int:
    import logging

    from edge.daemon import run_daemon
    from edge.settings import load_settings

    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(threadName)s: %(message)s"
    )
    run_daemon(load_settings(arguments.config))
    return DONE


def _listen(arguments: argparse.Namespace) -> int:
    from edge.listen import listen

    endless = contextlib.suppress(KeyboardInterrupt) if arguments.count is None else contextlib.nullcontext()
    with endless:  # without a count, Ctrl-C is how it ends
        listen(arguments.connect, arguments.count, arguments.timeout, _say)
    return DONE


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"{text}: more than 0 and at most 86400 seconds were wanted")
    return value


if __name__ == "__main__":
    sys.exit(main())
