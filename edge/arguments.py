"""What the sub-commands of `mekiki-edge` have in common: the settings file, and what their arguments may be."""

import argparse
from pathlib import Path

from models.command import Parser


def add_config(command: Parser) -> None:
    """The settings file that a command cannot do without."""
    command.add_argument("--config", required=True, type=Path, metavar="FILE", help="settings of this box, TOML")


def seconds(text: str) -> float:
    """An argparse type: more than 0, and a day at most."""
    return _time(text, 86_400, "seconds")


def milliseconds(text: str) -> float:
    """An argparse type: more than 0, and a minute at most."""
    return _time(text, 60_000, "milliseconds")


def _time(text: str, most: int, unit: str) -> float:
    value = float(text)
    if not 0 < value <= most:
        raise argparse.ArgumentTypeError(f"{text}: more than 0 and at most {most} {unit} were wanted")
    return value
