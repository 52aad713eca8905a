"""`mekiki-edge listen`, `trigger` and `line`: their arguments. What speaks with a running daemon is in edge/listen.py
and edge/trigger.py."""

import argparse
import contextlib
import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.arguments import seconds
from models.command import DONE, Parser, positive_int, say, sub_parser

if TYPE_CHECKING:
    from models.trigger import LineState, Trigger


def add_clients(subs: Any) -> None:
    """The commands that speak with a running daemon, with their arguments."""
    _add_listen(subs)
    _add_trigger(subs)
    _add_line(subs)


def _add_listen(subs: Any) -> None:
    about = "Print the verdicts of a running daemon, one JSON object per line."
    example = "mekiki-edge listen --connect tcp://127.0.0.1:5555 --count 10 --timeout 30"
    command = sub_parser(subs, "listen", _listen, about, example)
    command.add_argument("--connect", required=True, metavar="ADDRESS", help="the [bus] bind of the daemon")
    command.add_argument("--count", type=positive_int, metavar="N", help="end after N verdicts (default: never)")
    command.add_argument(
        "--timeout", type=seconds, metavar="SECONDS", help="fail when no verdict comes for so long (default: wait)"
    )
    command.add_argument(
        "--heartbeat-timeout", type=seconds, metavar="SECONDS",
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


def _add_trigger(subs: Any) -> None:
    about = 'Say that a part is there, to a camera with trigger = "external", and print which verdict will be its own.'
    example = "mekiki-edge trigger --connect tcp://127.0.0.1:5557 --camera top --part-id A-17"
    command = sub_parser(subs, "trigger", _trigger, about, example)
    command.add_argument("--camera", required=True, metavar="NAME", help="which camera the part is under")
    command.add_argument("--part-id", metavar="ID", help="comes back in the verdict")
    _add_asking(command)


def _add_line(subs: Any) -> None:
    about = (
        "Say whether the line runs: where [activation] hold is set, new versions come into force when it is stopped."
    )
    command = sub_parser(subs, "line", _line, about, "mekiki-edge line stopped --connect tcp://127.0.0.1:5557")
    command.add_argument("line", choices=["running", "stopped"], help="what it does from now on")
    _add_asking(command)


def _add_asking(command: Parser) -> None:
    command.add_argument("--connect", required=True, metavar="ADDRESS", help="the [bus] trigger of the daemon")
    command.add_argument("--timeout", type=seconds, default=5.0, metavar="SECONDS", help="for the answer (5)")
    command.add_argument("--keys", type=Path, metavar="DIR", help="the folder that `keys` made for this client")


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
    say(ask(arguments.connect, message, arguments.timeout, keys).model_dump_json(exclude_none=True))
    return DONE


def _listen(arguments: argparse.Namespace) -> int:
    from edge.client import Source, replay_of
    from edge.listen import Listening, listen

    replay = arguments.replay or replay_of(arguments.connect)
    source = Source(arguments.connect, replay, arguments.keys, late_s=arguments.heartbeat_timeout)
    asked = Listening(source, arguments.count, arguments.timeout, arguments.position, arguments.from_start)
    endless = contextlib.suppress(KeyboardInterrupt) if arguments.count is None else contextlib.nullcontext()
    with endless:  # without a count, Ctrl-C is how it ends
        listen(asked, say, functools.partial(print, file=sys.stderr, flush=True))
    return DONE
