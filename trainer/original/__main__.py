"""`make study DATA=...`: runs the studies one after another, and after each writes what is known by then."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from models.command import DONE, Parser, positive_int, run_command
from models.errors import ConfigError, MekikiError
from models.files import make_folder
from trainer.arguments import seed
from trainer.original.page import PAGE, TABLE, write_page
from trainer.original.parts import Asked, Part, parts_of
from trainer.original.published import Model
from trainer.study.types import Study

_WANTED = "train/good/, test/good/, test/scratch_neck/ and ground_truth/scratch_neck/ in it, as MVTec AD's screws have"
_ABOUT = """The original experiment made again on your pictures, its published table beside ours; then the same on all
test pictures, under the combined conditions, and with models that had not learned under them.
Each model is fitted eight times: on two cores PatchCore takes some 2 minutes a fit, RTMDet some 20.
Stopped, the same command goes on."""
_EXAMPLE = """make study DATA=path/to/mvtec/screw
  make study DATA=path/to/mvtec/screw ARGS="--only patchcore --lang ja"
  make study DATA=path/to/mvtec/screw ARGS=--quick"""


def main(argv: Sequence[str] | None = None) -> int:
    """As a process would."""
    return run_command(build_parser(), argv)


def build_parser() -> Parser:
    """Its arguments."""
    parser = Parser(prog="study", description=_ABOUT, epilog=f"example:\n  {_EXAMPLE}")
    parser.add_argument("--data", default="", metavar="DIR", help=f"folder with {_WANTED}")
    parser.add_argument("--out", default=Path("out/study"), type=Path, metavar="DIR2", help="(%(default)s)")
    parser.add_argument("--defects", default="scratch_neck", metavar="NAME", help="which kind (%(default)s)")
    parser.add_argument("--only", choices=get_args(Model), help="one of the two models")
    parser.add_argument("--quick", action="store_true", help="small pictures, short trainings: to see what comes out")
    for model in get_args(Model):
        parser.add_argument(
            f"--{model}",
            type=Path,
            metavar="FILE",
            help="candidates to take its place, as for mekiki-train compare (mekiki's own)",
        )
    parser.add_argument(
        "--splits", type=positive_int, default=1, metavar="N", help="times that learned and tested are drawn (1)"
    )
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="same seed, same figures (%(default)s)")
    parser.add_argument("--jobs", type=positive_int, metavar="N", help="fits at a time (1: a fit uses all cores)")
    parser.add_argument("--lang", default="en", choices=["en", "ja"], help="of pages and tables (%(default)s)")
    parser.set_defaults(run=_run)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    given = {name: value for name, value in vars(arguments).items() if name != "run"}
    if not arguments.data:
        raise ConfigError(f"no data were given: make study DATA=path/to/mvtec/screw, a folder with {_WANTED}")
    asked = Asked(**given | {"data": Path(arguments.data)})
    parts = parts_of(asked)
    _check(parts, asked)
    make_folder(asked.out)
    studies, table = {}, ""
    for part in parts:
        studies[part.model, part.tests] = _study(part, asked)
        table = write_page(studies, asked.out, asked.lang, quick=asked.quick)
    print(f"\n{table}\ntable: {asked.out / TABLE}\npage: {asked.out / PAGE}")
    return DONE


def _check(parts: Sequence[Part], asked: Asked) -> None:
    """Raises ConfigError, DatasetError now and not after hours."""
    from trainer.cli import build_parser as trainer_parser
    from trainer.compare_command import options_of
    from trainer.study.plan import plan_study, refuse_strange

    for part in parts:
        options = options_of(trainer_parser().parse_args(part.arguments(asked)))
        refuse_strange(options)
        plan_study(options)


def _study(part: Part, asked: Asked) -> Study:
    """Raises MekikiError where it did not come to its end; what went wrong has been said then."""
    from trainer.cli import main as trainer

    arguments = part.arguments(asked)
    print(f"\n$ mekiki-train {shlex.join(arguments)}", flush=True)
    if trainer(arguments) != DONE:
        raise MekikiError(f"{part.name} was not finished; the same command goes on with it")
    return Study.model_validate_json((asked.out / part.name / "study.json").read_bytes())


if __name__ == "__main__":
    sys.exit(main())
