"""What the three commands share: arguments with examples, one line for an error, the exit code."""

import argparse
import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from models import __version__
from models.errors import MekikiError

DONE, FAILED, WRONG_USAGE = 0, 1, 2
say = functools.partial(print, flush=True)  # a line for whoever asked, or reads through a pipe: at once


class Parser(argparse.ArgumentParser):
    """argparse, with the example of each command kept as it was typed, and no abbreviations."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs |= {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """One line instead of argparse's whole usage."""
        self.exit(WRONG_USAGE, f"{self.prog}: {' '.join(message.split())}; see {self.prog} --help\n")


def top_parser(prog: str, description: str, example: str) -> Parser:
    """The parser of one of our commands. Add sub-commands with `sub_parser`."""
    parser = Parser(prog=prog, description=description, epilog=f"example:\n  {example}")
    parser.add_argument("--version", action="version", version=f"mekiki {__version__}")
    return parser


def sub_parser(subs: Any, name: str, run: Callable[[argparse.Namespace], int], about: str, example: str) -> Parser:
    """Adds a sub-command whose arguments end in `run(arguments) -> exit code`."""
    parser: Parser = subs.add_parser(name, help=about, description=about, epilog=f"example:\n  {example}")
    parser.set_defaults(run=run)
    return parser


def run_command(parser: Parser, argv: Sequence[str] | None) -> int:
    """Parses, runs, and turns what went wrong into one line on stderr and an exit code."""
    arguments = parser.parse_args(argv)
    try:
        return _run(parser.prog, arguments)
    finally:
        _settle_stdout()


def _run(prog: str, arguments: argparse.Namespace) -> int:
    try:
        code = int(arguments.run(arguments))
        print(end="", flush=True)  # output that does not fit on a disk is a failure of the command
    except MekikiError as error:
        return _complain(prog, str(error), error.exit_code)
    except KeyboardInterrupt:
        return _complain(prog, "interrupted; nothing half-done was left behind", FAILED)
    except BrokenPipeError:  # `mekiki-edge listen | head`: the reader had enough
        return DONE
    except OSError as error:  # a full disk, a folder that may not be written: the system's own words
        where = f"{error.filename}: " if error.filename else ""
        return _complain(prog, f"{where}{error.strerror or error}; free space or fix the path, then run again", FAILED)
    return code


def _settle_stdout() -> None:
    """Python flushes stdout once more at exit; where that fails it would say so and exit with 120."""
    try:
        print(end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(prog: str, message: str, code: int) -> int:
    print(f"{prog}: {' '.join(message.split())}", file=sys.stderr)
    return code


def product(text: str) -> str:
    """An argparse type: the name of what a bundle is for."""
    from pydantic import TypeAdapter, ValidationError

    from models.manifest import Product

    try:
        return TypeAdapter(Product).validate_python(text)
    except ValidationError:
        raise argparse.ArgumentTypeError(
            f"{text!r:.70}: a product was wanted: letters, digits, '_', '.' and '-', such as m5-screw"
        ) from None


def reason(text: str) -> str:
    """An argparse type: why, in words, on one line."""
    if not text.strip():
        raise argparse.ArgumentTypeError("a reason was wanted, such as 'rejects good parts since Monday'")
    return " ".join(text.split())


def positive_int(text: str) -> int:
    """An argparse type: a whole number of 1 or more."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text}: a whole number of 1 or more was wanted")
    return int(text)
