"""`mekiki-edge model`: its arguments. What brings versions into force, and takes them back, is in edge/manage.py."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.arguments import add_config
from models.command import DONE, Parser, reason, say, sub_parser

if TYPE_CHECKING:
    from edge.manage import Place


def add_model(subs: Any) -> None:
    """`mekiki-edge model` with its actions and their arguments."""
    about, example = "Bring versions of a model into force on this box, and take them back.", _example("install")
    model = subs.add_parser("model", help=about, description=about, epilog=f"example:\n  {example}")
    actions = model.add_subparsers(required=True, metavar="ACTION")
    _add_install(actions)
    _add_action(actions, "list", _list, "Show the versions that lie here.")
    _add_activate(actions)
    rollback = _add_action(actions, "rollback", _rollback, "Put the version before in force again.")
    rollback.add_argument("--because", type=reason, metavar="REASON", help="kept in the history")
    _add_action(actions, "history", _history, "Show what became of the versions.")
    _add_shadow(actions)


def _example(action: str) -> str:
    of = {"install": " screws.bundle", "activate": " 425586e4147a", "shadow": " newer.bundle"}
    return f"mekiki-edge model {action}{of.get(action, '')} --config edge.toml"


def _add_action(actions: Any, name: str, run: Callable[[argparse.Namespace], int], about: str) -> Parser:
    action = sub_parser(actions, name, run, about, _example(name))
    add_config(action)
    action.add_argument("--camera", metavar="NAME", help="whose store, where there are several")
    return action


def _add_install(actions: Any) -> None:
    about = "Verify a bundle, try it on this device, put it in force on probation."
    action = _add_action(actions, "install", _install, about)
    action.add_argument("bundle", type=Path, metavar="BUNDLE", help="a folder on this box")
    action.add_argument("--keep-active", action="store_true", help="only try it; the active version stays")
    _add_how(action)


def _add_activate(actions: Any) -> None:
    about = "Try a version that lies here, put it in force on probation."
    action = _add_action(actions, "activate", _activate, about)
    action.add_argument("version", metavar="VERSION", help="the first characters of its digest")
    _add_how(action)


def _add_how(action: Parser) -> None:
    action.add_argument("--older", type=reason, metavar="REASON", help="why an older one follows the active one")
    action.add_argument(
        "--now", action="store_true", help="though the line runs, where [activation] hold would let it wait"
    )


def _add_shadow(actions: Any) -> None:
    about = "Let a version judge beside the active one, without acting, or end that."
    which = _add_action(actions, "shadow", _shadow, about).add_mutually_exclusive_group(required=True)
    which.add_argument(
        "what", nargs="?", metavar="BUNDLE", help="a folder on this box, or the first characters of a version"
    )
    which.add_argument("--stop", action="store_true", help="nothing judges beside the active version any more")


def _place(arguments: argparse.Namespace) -> "Place":
    from edge.manage import Place
    from edge.settings import load_settings

    return Place(load_settings(arguments.config), arguments.camera)


def _install(arguments: argparse.Namespace) -> int:
    _place(arguments).install(
        arguments.bundle, arguments.older, say, activate=not arguments.keep_active, at_once=arguments.now
    )
    return DONE


def _list(arguments: argparse.Namespace) -> int:
    _place(arguments).list(say)
    return DONE


def _activate(arguments: argparse.Namespace) -> int:
    _place(arguments).activate(arguments.version, arguments.older, say, at_once=arguments.now)
    return DONE


def _rollback(arguments: argparse.Namespace) -> int:
    _place(arguments).rollback(arguments.because, say)
    return DONE


def _history(arguments: argparse.Namespace) -> int:
    _place(arguments).history(say)
    return DONE


def _shadow(arguments: argparse.Namespace) -> int:
    place = _place(arguments)
    if arguments.stop:
        place.end_shadow(say)
    else:
        place.shadow(arguments.what, say)
    return DONE
