"""What arguments of `mekiki-train` may be. Each raises ArgumentTypeError, which argparse shows."""

import argparse
import math
from typing import get_args

MAX_SIDE_PX = 4096  # above it the bank's patches do not fit into memory


def seconds(text: str) -> float:
    """Above 0 and below an hour."""
    value = _number(text)
    if not 0 < value < 3600:
        raise argparse.ArgumentTypeError(f"{text}: seconds above 0 were wanted, without a unit, such as 0.5")
    return value


def side_px(text: str) -> int:
    """The side of a picture as a network sees it."""
    value = _number(text)
    if not (0 < value <= MAX_SIDE_PX and value.is_integer()):
        raise argparse.ArgumentTypeError(f"{text}: 1 to {MAX_SIDE_PX} pixels were wanted, such as 384")
    return int(value)


def length_px(text: str) -> float:
    """0 or more."""
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: a length of 0 or more pixels was wanted, such as 10")
    return value


def share(text: str) -> float:
    """Between 0 and 1, and neither of them."""
    from models.threshold import LEAST_SHARE

    value = _number(text)
    if not LEAST_SHARE <= value <= 1 - LEAST_SHARE:
        raise argparse.ArgumentTypeError(f"{text}: a share above 0 and below 1 was wanted, such as 0.95")
    return value


def margin(text: str) -> float:
    """0 to 1: further down there is the middle of the good parts."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: a share of 0 to 1 was wanted, such as 0.1")
    return value


def strength(text: str) -> float:
    """Of a condition: 0 to 1."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: a strength of 0 to 1 was wanted, such as 0.8")
    return value


def score(text: str) -> float:
    """Any number but NaN and infinity."""
    value = _number(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text}: a finite number was wanted, as the table shows them")
    return value


def precisions(text: str) -> tuple[str, ...]:
    """Several, with commas between them, each once."""
    from models.variant import Precision

    known, names = get_args(Precision), tuple(name.strip() for name in text.split(","))
    if len(set(names)) < len(names) or not set(names) <= set(known):
        raise argparse.ArgumentTypeError(f"{text}: some of {', '.join(known)} were wanted, each once, as int8,bf16")
    return names


def whole(text: str) -> int:
    """0, 1, 2, ..."""
    return seed(text)


def seed(text: str) -> int:
    """What numpy and torch take."""
    value = _number(text)
    if not (0 <= value < 2**32 and value.is_integer()):
        raise argparse.ArgumentTypeError(f"{text}: a whole number of 0 or more was wanted")
    return int(value)


def _number(text: str) -> float:
    """NaN, which no bound holds, for what is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan
