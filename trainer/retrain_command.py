"""`mekiki-train retrain`. What it does is in trainer/retrain/."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from models.command import DONE, sub_parser
from trainer.dataset_command import add_wanted, wanted_of

NOT_BETTER = 3  # the bundle is there; nobody should push it before looking at the report


def add_retrain(subs: Any) -> None:
    """`mekiki-train retrain` with its arguments."""
    example = "mekiki-train retrain --from screws.bundle --add pulled/ --dataset screws.store --out screws2.bundle"
    about = "Fit again with what the boxes' reviews brought, and say whether the new model is better."
    command = sub_parser(subs, "retrain", _retrain, about, example)
    command.add_argument(
        "--from", dest="champion", required=True, type=Path, metavar="BUNDLE", help="the champion, whose recipe is used"
    )
    command.add_argument(
        "--add", type=Path, metavar="PULLED", help="what a pull brought, or sorted pictures (what is in STORE already)"
    )
    command.add_argument(
        "--dataset", dest="store", required=True, type=Path, metavar="STORE", help="as of `dataset`, with a snapshot"
    )
    command.add_argument(
        "--out", required=True, type=Path, metavar="BUNDLE2", help="the challenger; BUNDLE2.report says who won"
    )
    command.add_argument("--weights", type=Path, metavar="FILE", help="those that the champion began with, if a file")
    command.add_argument("--json", action="store_true", help="one JSON object on stdout, at the end")
    add_wanted(command)


def _retrain(arguments: argparse.Namespace) -> int:
    import sys

    from trainer.retrain.retrain import Options, in_words, retrain

    names = ("champion", "store", "out", "weights")
    given = {name: getattr(arguments, name) for name in names}
    options = Options(**given, added=arguments.add, wanted=wanted_of(arguments))
    match = retrain(options, partial(print, flush=True, file=sys.stderr if arguments.json else sys.stdout))
    print(match.model_dump_json(indent=1) if arguments.json else in_words(match, options))
    return DONE if match.decision == "better" else NOT_BETTER
