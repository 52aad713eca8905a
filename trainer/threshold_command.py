"""`mekiki-train threshold`: what each threshold would cost, and a new bundle with another one."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from models.command import DONE, sub_parser
from models.errors import ConfigError
from trainer.arguments import margin, score, share

if TYPE_CHECKING:
    from models.threshold import Asked

_EXAMPLE = """mekiki-train threshold screws.bundle --data unseen/
  mekiki-train threshold screws.bundle --data unseen/ --policy recall --recall 0.9 --out careful.bundle
  mekiki-train threshold screws.bundle --data unseen/ --policy fixed --at 4.1 --review-from 3.6 --out two.bundle"""
# Policy -> the options that it must have, and those that it may have. A review band has its own.
_POLICIES: dict[str, tuple[set[str], set[str]]] = {
    "recall_1": (set(), {"margin"}),
    "recall": ({"recall"}, {"recall", "confidence"}),
    "false_rejects": ({"false_rejects"}, {"false_rejects", "confidence"}),
    "fixed": ({"at"}, {"at"}),
}
_REVIEW = ("review_from", "review_false_rejects")


def add_threshold(subs: object) -> None:
    """`mekiki-train threshold`."""
    about = "Show what each threshold would cost, and make a new bundle with another one."
    command = sub_parser(subs, "threshold", _threshold, about, _EXAMPLE)
    command.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder that `fit` wrote; it stays as it is")
    command.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder with good parts and defects")
    command.add_argument("--defects", default="", metavar="NAME,...", help="only these kinds of defect (all)")
    command.add_argument("--plot", type=Path, metavar="FILE", help="picture of the curve to write: .png, .svg or .pdf")
    command.add_argument("--json", action="store_true", help="one JSON object on stdout")
    command.add_argument(
        "--policy", choices=list(_POLICIES), help="how a new threshold is put; without --out it is only shown"
    )
    command.add_argument(
        "--out", type=Path, metavar="BUNDLE2", help="folder to make: the bundle with the new threshold"
    )
    _add_policies(command.add_argument_group("for --policy"))
    review = command.add_argument_group("a review band: from there up to ng a part is `unknown`, and a person looks")
    either = review.add_mutually_exclusive_group()
    either.add_argument("--review-from", type=score, metavar="T2", help="below the threshold")
    either.add_argument(
        "--review-false-rejects", type=share, metavar="F2", help="at most this share of good parts is not `ok`"
    )


def _add_policies(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--margin", type=margin, metavar="M", help="recall_1: at least so far below the lowest defect, as a share (0.1)"
    )
    group.add_argument("--recall", type=share, metavar="R", help="recall: the highest threshold that proves it")
    group.add_argument(
        "--false-rejects", type=share, metavar="F", help="false_rejects: the lowest threshold that proves at most that"
    )
    group.add_argument("--confidence", type=share, metavar="C", help="with which it is proven, one-sided (0.95)")
    group.add_argument("--at", type=score, metavar="T", help="fixed: a number of your own")


def _threshold(arguments: argparse.Namespace) -> int:
    from trainer.rethreshold import Options, rethreshold

    found = rethreshold(
        Options(
            bundle=arguments.bundle,
            data=arguments.data,
            defects=tuple(name for name in arguments.defects.split(",") if name),
            policy=arguments.policy,
            asked=_asked(arguments),
            out=arguments.out,
            plot=arguments.plot,
        )
    )
    print(json.dumps(found.as_json(), indent=2) if arguments.json else found.in_words())
    return DONE


def _asked(arguments: argparse.Namespace) -> "Asked":
    """What was asked, complete and without contradiction; nothing without a policy. Raises ConfigError."""
    from models.threshold import Asked

    given = {name: getattr(arguments, name) for name in Asked.model_fields if getattr(arguments, name) is not None}
    if arguments.policy is None:
        if strange := sorted(given) or (["out"] if arguments.out is not None else []):
            raise ConfigError(f"{_flag(strange[0])}: needs a --policy ({', '.join(_POLICIES)}); add one or remove it")
        return Asked()
    must, may = _POLICIES[arguments.policy]
    if missing := sorted(must - given.keys()):
        raise ConfigError(f"--policy {arguments.policy}: needs {_flag(missing[0])}; add it")
    allowed = {*may, *_REVIEW, *(["confidence"] if "review_false_rejects" in given else [])}
    if strange := sorted(given.keys() - allowed):
        raise ConfigError(f"{_flag(strange[0])}: does not belong to --policy {arguments.policy}; remove it")
    return Asked(**given)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
