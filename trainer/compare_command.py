"""`mekiki-train compare`: which model, how sure, and what happens when the line changes."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from models.command import DONE, positive_int, say, sub_parser
from models.errors import ConfigError
from trainer.arguments import seconds, seed, strength

if TYPE_CHECKING:
    from trainer.conditions import Condition
    from trainer.study.plan import Options
    from trainer.study.types import Protocol

_EXAMPLE = """mekiki-train compare --data screws/ --candidates all --out screws.study --limit 20
  mekiki-train compare --data screws/ --candidates 3.toml --out screws.study --conditions noise,jpeg:0.8 --jobs 4"""
_PROTOCOLS: tuple["Protocol", ...] = ("matched", "frozen")
# What does not change what is found.
_NOT_ASKED = ("run", "data", "out", "work", "jobs", "ray")


def add_compare(subs: object) -> None:
    """`mekiki-train compare`."""
    about = "Compare models on your pictures, as they are and as a line may show them; say which to take."
    command = sub_parser(subs, "compare", _compare, about, _EXAMPLE)
    command.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder with good parts and defects")
    command.add_argument(
        "--candidates",
        required=True,
        metavar="FILE|all",
        help="TOML file of [[candidate]] name, family, options = {image_size = 448, ...}, or all that the data allow",
    )
    command.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="DIR2",
        help="study.json, report.html, pictures; a stopped one goes on",
    )
    _add_splits(command.add_argument_group("which pictures"))
    _add_conditions(command.add_argument_group("how they are disturbed"))
    command.add_argument(
        "--policy", default="auto", choices=["auto", "recall_1", "normal_quantile"], help="how thresholds are put"
    )
    command.add_argument(
        "--cycle-time",
        dest="cycle_time_s",
        type=seconds,
        metavar="S",
        help="seconds for each part, which 99 of 100 must keep",
    )
    command.add_argument("--seed", type=seed, default=0, metavar="N", help="same seed, same study (%(default)s)")
    command.add_argument("--jobs", type=positive_int, metavar="N", help="fits at a time (1: a fit uses all cores)")
    command.add_argument(
        "--ray", metavar="ADDRESS", help="spread fits over this Ray cluster, or `local`; needs the extra `ray`"
    )
    command.add_argument(
        "--work", type=Path, metavar="DIR3", help="where fits are kept (DIR2/work); studies that share it share them"
    )
    command.add_argument("--lang", default="en", choices=["en", "ja"], help="of the report (%(default)s)")


def _add_splits(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--defects", default="", metavar="NAME,...", help="only these kinds of defect (all)")
    group.add_argument("--limit", type=positive_int, metavar="N", help="good images to learn from")
    group.add_argument(
        "--learn-defects",
        type=positive_int,
        metavar="N",
        help="of each kind, to learn from (80%% of them if a candidate learns from defects, else none)",
    )
    group.add_argument("--test-good", type=positive_int, metavar="N", help="good images to test on, at most (all)")
    group.add_argument("--test-defects", type=positive_int, metavar="N", help="of each kind, to test on, at most (all)")
    group.add_argument(
        "--splits", type=positive_int, metavar="N", help="times that learned and tested are drawn (1 or 3)"
    )


def _add_conditions(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--conditions",
        default="eight",
        metavar="eight|all|NAME,...",
        help="as `mekiki-train conditions` shows them (%(default)s)",
    )
    group.add_argument("--strength", type=strength, metavar="S", help="0 to 1, of eight and all (0.5)")
    group.add_argument(
        "--protocols",
        default=",".join(_PROTOCOLS),
        metavar="NAME,...",
        help="matched: learned under each condition; frozen: learned without, then tested under it (%(default)s)",
    )


def _compare(arguments: argparse.Namespace) -> int:
    from trainer.study.compare import STUDY, compare
    from trainer.study.words import in_words

    study, report = compare(options_of(arguments), say)
    print(f"\n{in_words(study)}\nstudy: {arguments.out / STUDY}\nreport: {report}")
    return DONE


def options_of(arguments: argparse.Namespace) -> "Options":
    """What was typed. Raises ConfigError for what cannot be meant."""
    from trainer.study.plan import Options

    given = {name: value for name, value in vars(arguments).items() if name not in ("run", "strength")}
    given["conditions"] = _conditions(arguments)
    given["protocols"] = _protocols(arguments.protocols)
    given["defects"] = tuple(name for name in arguments.defects.split(",") if name)
    return Options(**given, asked=_asked(arguments))


def _conditions(arguments: argparse.Namespace) -> tuple["Condition", ...]:
    from trainer.conditions import USUAL, all_conditions, eight, parse_conditions

    strength = USUAL if arguments.strength is None else arguments.strength
    match arguments.conditions:
        case "eight":
            return eight(strength)
        case "all":
            return all_conditions(strength)
        case names if arguments.strength is None:
            return parse_conditions(names)
        case _:
            raise ConfigError("--strength: belongs to --conditions eight or all; with names write position:0.8")


def _protocols(text: str) -> tuple["Protocol", ...]:
    names = [name.strip() for name in text.split(",")]
    if strange := [name for name in names if name not in _PROTOCOLS]:
        raise ConfigError(f"--protocols: {strange[0]!r:.40} is none; wanted {' or '.join(_PROTOCOLS)}, or both")
    return tuple(name for name in _PROTOCOLS if name in names)


def _asked(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The arguments that decide what is found, as they are typed, but for those at their usual value."""
    found = []
    for name, value in vars(arguments).items():
        if name not in _NOT_ASKED and value not in (None, "", _DEFAULTS.get(name)):
            typed = Path(value).name if name == "candidates" else str(value)
            found += [f"--{name.removesuffix('_s').replace('_', '-')}", typed]
    return tuple(found)


_DEFAULTS = {"conditions": "eight", "protocols": ",".join(_PROTOCOLS), "policy": "auto", "seed": 0, "lang": "en"}
