"""The command `mekiki-edge`."""

import argparse
import contextlib
import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge.review_command import add_review
from models.command import DONE, Parser, positive_int, reason, run_command, sub_parser, top_parser

if TYPE_CHECKING:
    from edge.manage import Place
    from models.trigger import LineState, Trigger

_PROG = "mekiki-edge"
_INSTALL = "model install screws.bundle --config edge.toml"
_say = functools.partial(print, flush=True)


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
        command.add_argument("--config", required=True, type=Path, metavar="FILE", help="settings of this box, TOML")
        if name == "check":
            command.add_argument("--settings-only", action="store_true", help="read the settings; open nothing")
    _add_listen(subs)
    _add_trigger(subs)
    _add_line(subs)
    _add_keys(subs)
    _add_model(subs)
    add_review(subs)
    _add_shadow(subs)
    _add_status(subs)
    _add_qualify(subs)
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
    command.add_argument(
        "--heartbeat-timeout", type=_seconds, metavar="SECONDS",
        help="safe state, exit 3, when a box that was heard is silent for so long (default: 3 of its heartbeats)",
    )  # fmt: skip
    command.add_argument(
        "--replay", metavar="ADDRESS", help="the [bus] replay of the daemon (default: of tcp, the next port)"
    )
    command.add_argument("--keys", type=Path, metavar="DIR", help="the folder that `keys` made for this client")
    command.add_argument(
        "--position", type=Path, metavar="FILE", help="remembers what was printed; a later run goes on from there"
    )
    command.add_argument(
        "--from-start", action="store_true", help="begin with the oldest that the box holds, where no position is known"
    )


def _add_trigger(subs: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    about = 'Say that a part is there, to a camera with trigger = "external", and print which verdict will be its own.'
    example = f"{_PROG} trigger --connect tcp://127.0.0.1:5557 --camera top --part-id A-17"
    command = sub_parser(subs, "trigger", _trigger, about, example)
    command.add_argument("--camera", required=True, metavar="NAME", help="which camera the part is under")
    command.add_argument("--part-id", metavar="ID", help="comes back in the verdict")
    _add_asking(command)


def _add_line(subs: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    about = (
        "Say whether the line runs: where [activation] hold is set, new versions come into force when it is stopped."
    )
    command = sub_parser(subs, "line", _line, about, f"{_PROG} line stopped --connect tcp://127.0.0.1:5557")
    command.add_argument("line", choices=["running", "stopped"], help="what it does from now on")
    _add_asking(command)


def _add_asking(command: Parser) -> None:
    command.add_argument("--connect", required=True, metavar="ADDRESS", help="the [bus] trigger of the daemon")
    command.add_argument("--timeout", type=_seconds, default=5.0, metavar="SECONDS", help="for the answer (5)")
    command.add_argument("--keys", type=Path, metavar="DIR", help="the folder that `keys` made for this client")


def _add_keys(subs: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    about = "Make the keys of this box, and one for each client that may connect to it from another machine."
    example = f"{_PROG} keys --out /etc/mekiki/keys --client plc --client mes"
    command = sub_parser(subs, "keys", _keys, about, example)
    command.add_argument("--out", required=True, type=Path, metavar="DIR", help="the [bus] keys of the daemon")
    command.add_argument("--client", action="append", default=[], metavar="NAME", help="a client to admit; repeatable")


def _add_model(subs: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    about = "Bring versions of a model into force on this box, and take them back."
    model = subs.add_parser("model", help=about, description=about, epilog=f"example:\n  {_PROG} {_INSTALL}")
    actions = model.add_subparsers(required=True, metavar="ACTION")
    for name, run, help_text, example in (
        ("install", _model_install, "Verify a bundle, try it on this device, put it in force on probation.", _INSTALL),
        ("list", _model_list, "Show the versions that lie here.", "model list --config edge.toml"),
        ("activate", _model_activate, "Try a version that lies here, put it in force on probation.",
         "model activate 425586e4147a --config edge.toml"),
        ("rollback", _model_rollback, "Put the version before in force again.", "model rollback --config edge.toml"),
        ("history", _model_history, "Show what became of the versions.", "model history --config edge.toml"),
        ("shadow", _model_shadow, "Let a version judge beside the active one, without acting, or end that.",
         "model shadow newer.bundle --config edge.toml"),
    ):  # fmt: skip
        action = sub_parser(actions, name, run, help_text, f"{_PROG} {example}")
        action.add_argument("--config", required=True, type=Path, metavar="FILE", help="settings of this box, TOML")
        action.add_argument("--camera", metavar="NAME", help="whose store, where there are several")
        if name == "install":
            action.add_argument("bundle", type=Path, metavar="BUNDLE", help="a folder on this box")
            action.add_argument("--keep-active", action="store_true", help="only try it; the active version stays")
        if name == "activate":
            action.add_argument("version", metavar="VERSION", help="the first characters of its digest")
        if name in ("install", "activate"):
            action.add_argument(
                "--older", type=reason, metavar="REASON", help="why an older one follows the active one"
            )
            action.add_argument(
                "--now", action="store_true", help="though the line runs, where [activation] hold would let it wait"
            )
        if name == "shadow":
            which = action.add_mutually_exclusive_group(required=True)
            which.add_argument(
                "what", nargs="?", metavar="BUNDLE", help="a folder on this box, or the first characters of a version"
            )
            which.add_argument("--stop", action="store_true", help="nothing judges beside the active version any more")
        if name == "rollback":
            action.add_argument("--because", type=reason, metavar="REASON", help="kept in the history")


def _add_shadow(subs: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    about = "See how a version does that judges beside the active one."
    example = "shadow report --config edge.toml"
    shadow = subs.add_parser("shadow", help=about, description=about, epilog=f"example:\n  {_PROG} {example}")
    actions = shadow.add_subparsers(required=True, metavar="ACTION")
    about = "Sum up where the two said the same, where not, and what that proves."
    report = sub_parser(actions, "report", _shadow_report, about, f"{_PROG} {example}")
    report.add_argument("--config", required=True, type=Path, metavar="FILE", help="settings of this box, TOML")
    report.add_argument(
        "--candidate", metavar="VERSION", help="the first characters of its digest (the last one that judged)"
    )
    report.add_argument("--json", action="store_true", help="one JSON object a line, one for each active version")


def _add_status(subs: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    about = "Show which version judges here, how it came to that, the last verdicts and the disk."
    command = sub_parser(subs, "status", _status, about, f"{_PROG} status --config edge.toml")
    command.add_argument("--config", required=True, type=Path, metavar="FILE", help="settings of this box, TOML")
    command.add_argument("--camera", metavar="NAME", help="its store only, where there are several")
    command.add_argument("--json", action="store_true", help="for programs: one JSON object")


def _add_qualify(subs: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    about = "Try a bundle on the devices of this box at each of its precisions: right, how quick, and in time."
    command = sub_parser(
        subs, "qualify", _qualify, about, f"{_PROG} qualify screws.bundle --device CPU --budget-ms 100"
    )
    command.add_argument("bundle", type=Path, metavar="BUNDLE", help="a folder on this box")
    command.add_argument(
        "--device", action="append", default=[], metavar="NAME", help="CPU, GPU or NPU; repeatable (all that are here)"
    )
    command.add_argument(
        "--budget-ms", type=_milliseconds, metavar="MS",
        help="for one frame (the shortest deadline_s of the settings, else none)",
    )  # fmt: skip
    command.add_argument(
        "--config", type=Path, metavar="FILE", help="settings of this box, TOML; they say where `state` is"
    )


def _check(arguments: argparse.Namespace) -> int:
    if arguments.settings_only:
        from edge.settings import load_settings

        load_settings(arguments.config)
        _say(f"ok      settings: {arguments.config}")
        return DONE
    from edge.check import check

    return check(arguments.config, _say)


def _run(arguments: argparse.Namespace) -> int:
    from edge.daemon import run_daemon
    from edge.engine import HangError
    from edge.logs import log_to_stderr
    from edge.settings import load_settings

    log_to_stderr()
    try:
        reread = functools.partial(load_settings, arguments.config)
        run_daemon(reread(), reread)
    except HangError as error:  # a thread is stuck in a driver: an orderly exit would wait for it for ever
        print(f"{_PROG} run: {error}", file=sys.stderr, flush=True)
        os._exit(error.exit_code)
    return DONE


def _trigger(arguments: argparse.Namespace) -> int:
    from pydantic import ValidationError

    from models.base import first_error
    from models.errors import ConfigError
    from models.trigger import Trigger

    try:
        trigger = Trigger(camera=arguments.camera, part_id=arguments.part_id)
    except ValidationError as error:
        raise ConfigError(f"--{first_error(error).replace('_', '-')}") from error
    return _ask(arguments, trigger)


def _line(arguments: argparse.Namespace) -> int:
    from models.trigger import LineState

    return _ask(arguments, LineState(line=arguments.line))


def _ask(arguments: argparse.Namespace, message: "Trigger | LineState") -> int:
    from edge.keys import client_keys
    from edge.trigger import ask

    keys = None if arguments.keys is None else client_keys(arguments.keys)
    _say(ask(arguments.connect, message, arguments.timeout, keys).model_dump_json(exclude_none=True))
    return DONE


def _listen(arguments: argparse.Namespace) -> int:
    from edge.client import Source, replay_of
    from edge.listen import Listening, listen

    replay = arguments.replay or replay_of(arguments.connect)
    source = Source(arguments.connect, replay, arguments.keys, late_s=arguments.heartbeat_timeout)
    asked = Listening(source, arguments.count, arguments.timeout, arguments.position, arguments.from_start)
    endless = contextlib.suppress(KeyboardInterrupt) if arguments.count is None else contextlib.nullcontext()
    with endless:  # without a count, Ctrl-C is how it ends
        listen(asked, _say, functools.partial(print, file=sys.stderr, flush=True))
    return DONE


def _keys(arguments: argparse.Namespace) -> int:
    from edge.keys import make_keys

    for folder in make_keys(arguments.out, arguments.client):
        _say(f"{folder}: hand this folder over, then delete it here")
    _say(f"{arguments.out}: set it as [bus] keys; its secrets belong to the daemon's user, mode 600")
    return DONE


def _place(arguments: argparse.Namespace) -> "Place":
    from edge.manage import Place
    from edge.settings import load_settings

    return Place(load_settings(arguments.config), arguments.camera)


def _qualify(arguments: argparse.Namespace) -> int:
    from edge.qualify_command import Asked, qualify_command

    budget_s = None if arguments.budget_ms is None else arguments.budget_ms / 1e3
    return qualify_command(Asked(arguments.bundle, tuple(arguments.device), budget_s, arguments.config), _say)


def _model_install(arguments: argparse.Namespace) -> int:
    _place(arguments).install(
        arguments.bundle, arguments.older, _say, activate=not arguments.keep_active, at_once=arguments.now
    )
    return DONE


def _model_list(arguments: argparse.Namespace) -> int:
    _place(arguments).list(_say)
    return DONE


def _model_activate(arguments: argparse.Namespace) -> int:
    _place(arguments).activate(arguments.version, arguments.older, _say, at_once=arguments.now)
    return DONE


def _model_rollback(arguments: argparse.Namespace) -> int:
    _place(arguments).rollback(arguments.because, _say)
    return DONE


def _model_history(arguments: argparse.Namespace) -> int:
    _place(arguments).history(_say)
    return DONE


def _model_shadow(arguments: argparse.Namespace) -> int:
    place = _place(arguments)
    if arguments.stop:
        place.end_shadow(_say)
    else:
        place.shadow(arguments.what, _say)
    return DONE


def _shadow_report(arguments: argparse.Namespace) -> int:
    from edge.settings import load_settings
    from edge.shadow.records import records_in
    from edge.shadow.report import reports
    from edge.shadow.words import show

    for report in reports(records_in(load_settings(arguments.config).state), arguments.candidate):
        _say(report.model_dump_json()) if arguments.json else show(report, _say)
    return DONE


def _status(arguments: argparse.Namespace) -> int:
    from edge.settings import load_settings
    from edge.status import lines_of, look

    status = look(load_settings(arguments.config), arguments.camera)
    for line in [status.model_dump_json()] if arguments.json else lines_of(status):
        _say(line)
    return DONE


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"{text}: more than 0 and at most 86400 seconds were wanted")
    return value


def _milliseconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 60_000:
        raise argparse.ArgumentTypeError(f"{text}: more than 0 and at most 60000 milliseconds were wanted")
    return value


if __name__ == "__main__":
    sys.exit(main())
