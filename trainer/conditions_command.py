"""`mekiki-train conditions`: sheets of what each condition does to one's own pictures."""

import argparse
from pathlib import Path

from models.command import DONE, sub_parser
from trainer.arguments import seed


def add_conditions(subs: object) -> None:
    """`mekiki-train conditions`."""
    example = "mekiki-train conditions --data screws/ --out screws.conditions --conditions position+brightness,jpeg:0.8"
    conditions = sub_parser(
        subs, "conditions", _conditions, "Show what shift, light, background and lines do to your pictures.", example
    )
    conditions.add_argument(
        "--data", required=True, type=Path, metavar="DIR", help="folder with good parts, and defects if there are"
    )
    conditions.add_argument("--out", required=True, type=Path, metavar="DIR2", help="folder to make, for the sheets")
    conditions.add_argument(
        "--conditions",
        metavar="NAME,...",
        help="only these: kinds joined by +, each with a strength of 0 to 1 if not 0.5, as in jpeg:0.8 (all)",
    )
    conditions.add_argument("--seed", type=seed, default=0, metavar="N", help="same seed, same sheets (%(default)s)")


def _conditions(arguments: argparse.Namespace) -> int:
    from trainer.annotations.draw import check_out
    from trainer.conditions import all_conditions, parse_conditions
    from trainer.conditions.sheets import draw_sheets
    from trainer.conditions.shown import choose

    names = arguments.conditions
    wanted = all_conditions() if names is None else parse_conditions(names)
    check_out(arguments.out, arguments.data)
    shown = choose(arguments.data)
    draw_sheets(shown, wanted, arguments.out, arguments.seed)
    print(f"conditions: {len(wanted)}, each on {len(shown)} pictures")
    print(f"drawn: {arguments.out}")
    return DONE
