"""What is done to a picture, as a frozen description that a study writes down and a command line names.

A name is kinds joined by `+`, each with its strength where that is not the usual one: `position+brightness`,
`noise+jpeg:0.8`. The name says all, in one way only: the same steps have the same name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Final, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from models.base import Frozen
from models.errors import ConfigError

Kind = Literal[
    "position", "brightness", "background", "rotation", "motion_blur", "defocus", "dust", "flicker", "noise", "jpeg"
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)  # in the order of names
DISTURBANCES: Final[tuple[Kind, ...]] = ("position", "brightness", "background")  # of the original experiment
ORIGINAL: Final = "original"
USUAL: Final = 0.5  # strength
# From the part to the file. The background wants the clean picture: later ones hide what is part and what is not.
_APPLIED: Final[tuple[Kind, ...]] = (
    "background", "position", "rotation", "motion_blur", "defocus", "dust", "flicker", "brightness", "noise", "jpeg",
)  # fmt: skip


class Step(Frozen):
    """One thing that is done."""

    kind: Kind
    strength: float = Field(default=USUAL, ge=0, le=1)  # 1: what a bad line shows; 0: nothing


class Condition(Frozen):
    """What is done to a picture, in this order."""

    name: str
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, *steps: Step) -> Self:
        """The steps in the order in which they are applied, with their name. Raises ValueError for a kind twice."""
        ordered = sorted(steps, key=lambda step: _APPLIED.index(step.kind))
        return cls(name=_name_of(ordered), steps=tuple(ordered))

    @field_validator("steps")
    @classmethod
    def _in_order(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        kinds = [step.kind for step in steps]
        if twice := sorted({kind for kind in kinds if kinds.count(kind) > 1}):
            raise ValueError(f"{twice[0]} stands there twice, each kind is wanted once")
        if kinds != sorted(kinds, key=_APPLIED.index):
            raise ValueError(f"{', '.join(kinds)} was found, the order {', '.join(_APPLIED)} was wanted")
        return steps

    @model_validator(mode="after")
    def _is_named_so(self) -> Self:
        if self.name != (wanted := _name_of(self.steps)):
            raise ValueError(f"the name {self.name!r:.80} was found, its steps are called {wanted!r}")
        return self


def parse_condition(text: str) -> Condition:
    """From `original`, `position+brightness` or `jpeg:0.8`, in any order of kinds.

    Raises ConfigError for what is no such name, and lists the names.
    """
    if text == ORIGINAL:
        return Condition.of()
    steps = [_parse_step(part, text) for part in text.split("+")]
    kinds = [step.kind for step in steps]
    if twice := [kind for kind in KINDS if kinds.count(kind) > 1]:
        raise ConfigError(f"condition {text!r:.80}: {twice[0]} stands there twice; name each kind once")
    return Condition.of(*steps)


def parse_conditions(text: str) -> tuple[Condition, ...]:
    """Several, with commas between them. Raises ConfigError as `parse_condition`, and for one that is there twice."""
    found = tuple(parse_condition(name.strip()) for name in text.split(","))
    names = [condition.name for condition in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"condition {twice[0]!r} stands there twice; name each once")
    return found


def eight(strength: float = USUAL) -> tuple[Condition, ...]:
    """The original picture, the three disturbances, each two of them, and all three."""
    steps = [Step(kind=kind, strength=strength) for kind in DISTURBANCES]
    return tuple(Condition.of(*some) for count in range(4) for some in combinations(steps, count))


def all_conditions(strength: float = USUAL) -> tuple[Condition, ...]:
    """The eight, and each other kind alone."""
    others = (kind for kind in KINDS if kind not in DISTURBANCES)
    return (*eight(strength), *(Condition.of(Step(kind=kind, strength=strength)) for kind in others))


def _parse_step(part: str, text: str) -> Step:
    name, colon, strength = part.partition(":")
    kind = next((kind for kind in KINDS if kind == name), None)
    if kind is None:
        known = f"{ORIGINAL}, or with + between them: {', '.join(KINDS)}"
        raise ConfigError(f"condition {text!r:.80}: {name!r:.40} is none; wanted {known}; a strength as in jpeg:0.8")
    if not colon:
        return Step(kind=kind)
    try:
        value = float(strength)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise ConfigError(f"condition {text!r:.80}: strength {strength!r:.40}; wanted 0 to 1, as in {kind}:0.8")
    return Step(kind=kind, strength=value)


def _name_of(steps: Sequence[Step]) -> str:
    named = sorted(steps, key=lambda step: KINDS.index(step.kind))
    return "+".join(step.kind + _strength_of(step) for step in named) or ORIGINAL


def _strength_of(step: Step) -> str:
    """All digits, so that the name reads back as the same number; nothing for the usual one."""
    return "" if step.strength == USUAL else f":{step.strength!r}".removesuffix(".0")
