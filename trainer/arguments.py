"""What arguments of `mekiki-train` may be. Each raises ArgumentTypeError, which argparse shows."""

import argparse
import math

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
