"""What the sub-commands of `mekiki-edge` have in common: the settings file, and what their arguments may be."""

import argparse
from pathlib import Path

from models.command import Parser


def add_config(command: Parser) -> None:
    """The settings file that a command cannot do without."""
    command.add_argument("--config", required=True, type=Path, metavar="FILE", help="settings of this box, TOML")


def seconds(text: str) -> float:
    """An argparse type: more than 0, and a day at most."""
    value = float(text)
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"{text}: more than 0 and at most 86400 seconds were wanted")
    return value


def milliseconds(text: str) -> float:
    """An argparse type: more than 0, and a minute at most."""
    value = float(text)
    if not 0 < value <= 60_000:
        raise argparse.ArgumentTypeError(f"{text}: more than 0 and at most 60000 milliseconds were wanted")
    return value
