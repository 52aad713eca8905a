"""What a line does to pictures: seeded, with a strength, boxes and masks following. numpy and OpenCV only."""

from trainer.conditions.apply import apply
from trainer.conditions.condition import (
    DISTURBANCES,
    KINDS,
    ORIGINAL,
    USUAL,
    Condition,
    Kind,
    Step,
    all_conditions,
    eight,
    parse_condition,
    parse_conditions,
)
from trainer.conditions.labelled import Labelled
from trainer.conditions.part import find_part, has_background

__all__ = [
    "DISTURBANCES", "KINDS", "ORIGINAL", "USUAL", "Condition", "Kind", "Labelled", "Step", "all_conditions",
    "apply", "eight", "find_part", "has_background", "parse_condition", "parse_conditions",
]  # fmt: skip
