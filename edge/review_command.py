"""`mekiki-edge review`: its arguments. What it shows is in edge/review_tool.py, what it writes in edge/review.py."""

import argparse
from pathlib import Path
from typing import Any, get_args

from edge.arguments import add_config
from models.command import DONE, say, sub_parser
from models.errors import ConfigError
from models.review import Said


def add_review(subs: Any) -> None:
    """`mekiki-edge review` with its arguments."""
    about = "Look at the parts that wait for a person, and say whether their verdicts were right."
    example = "mekiki-edge review --config edge.toml --by sato"
    command = sub_parser(subs, "review", _review, about, example)
    command.add_argument(
        "part", nargs="?", metavar="PART", help="only this one, by its name or part id; shown, or --say"
    )
    add_config(command)
    command.add_argument("--by", metavar="NAME", help="who answers")
    command.add_argument("--say", choices=get_args(Said), help="the answer, without asking; undo takes one's last back")
    command.add_argument("--kind", metavar="NAME", help="with --say: which kind of defect it is")
    command.add_argument("--note", metavar="TEXT", help="with --say: in words")
    command.add_argument("--list", action="store_true", help="only list the parts")
    command.add_argument("--json", action="store_true", help="with --list: one JSON object a line")
    command.add_argument("--all", action="store_true", help="not only those that wait: all parts that are kept")
    command.add_argument(
        "--overlay", type=Path, metavar="FILE", help="with PART: a PNG of what the model saw, to write"
    )
    command.add_argument("--viewer", metavar="COMMAND", help="shows each overlay, such as `feh` or `xdg-open`")


def _review(arguments: argparse.Namespace) -> int:
    from edge import review_tool as tool
    from edge.review import Reviews
    from edge.settings import load_settings

    _refuse_lonely(arguments)
    reviews = Reviews(load_settings(arguments.config).state)
    if arguments.part is not None:
        part = reviews.find(arguments.part)
        if arguments.say is not None:
            reviews.say(part, arguments.say, arguments.by, arguments.kind, arguments.note)
        tool.show(reviews.find(part.key), say, arguments.overlay)
        return DONE
    parts = reviews.parts(everything=arguments.all)
    if arguments.list or not parts:
        tool.list_parts(parts, say, as_json=arguments.json)
        return DONE
    terminal = tool.Terminal(say, tool.key_of_terminal, tool.line_of_terminal)
    tool.Session(reviews, arguments.by, terminal, arguments.viewer).run(parts)
    return DONE


def _refuse_lonely(arguments: argparse.Namespace) -> None:
    """Raises ConfigError for an option that another one must go with."""
    if arguments.say is not None and arguments.part is None:
        raise ConfigError("--say: of which part? give its name; --list shows them")
    if arguments.overlay is not None and arguments.part is None:
        raise ConfigError("--overlay: of which part? give its name; --list shows them")
    if arguments.say is None and (arguments.kind is not None or arguments.note is not None):
        raise ConfigError("--kind and --note go with --say; add it")
    answers = arguments.say is not None or (arguments.part is None and not arguments.list)
    if answers and arguments.by is None:
        raise ConfigError("--by: who answers? give a name, it is kept with the answer")
