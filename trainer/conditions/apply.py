"""Applies a condition to a picture: the same bytes for the same seed and key, whoever asks and in whatever order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from trainer.conditions.camera import brightness, defocus, flicker, jpeg, motion_blur, noise
from trainer.conditions.condition import Condition, Kind, Step
from trainer.conditions.dust import dust
from trainer.conditions.labelled import Labelled
from trainer.conditions.part import Mask, find_part
from trainer.conditions.scene import background, position, rotation


def apply(condition: Condition, picture: Labelled, *, seed: int, key: str) -> Labelled:
    """The picture under the condition; `picture` is not written to.

    `seed` is of the study: it draws what all pictures of one camera share. `key` names the picture, as its sha256 or
    its file does, and draws the rest, for each kind apart: a combination draws for each of its kinds what that draws
    alone. Strength 0 gives the very same picture. `background` changes nothing where `has_background` says no.
    """
    steps = [step for step in condition.steps if step.strength > 0]
    wants_part = any(step.kind in ("background", "position") for step in steps)
    part = find_part(picture.image) if wants_part else None
    for step in steps:
        picture = _applied(step, picture, part, _Draws(seed, step.kind, key))
    return picture


@dataclass(frozen=True, slots=True)
class _Draws:
    """The random numbers of one step."""

    seed: int
    kind: Kind
    key: str

    @property
    def camera_seed(self) -> int:
        """The same for all pictures."""
        return _number_of(f"camera {self.seed} {self.kind}")

    @property
    def camera(self) -> np.random.Generator:
        return np.random.default_rng(self.camera_seed)

    @property
    def frame(self) -> np.random.Generator:
        """The picture's own."""
        return np.random.default_rng(_number_of(f"frame {self.seed} {self.kind} {self.key}"))


def _number_of(text: str) -> int:
    """256 bits: Python's own hash would be another one in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest())


def _applied(step: Step, picture: Labelled, part: Mask | None, draws: _Draws) -> Labelled:  # noqa: PLR0911
    image, strength = picture.image, step.strength
    match step.kind:
        case "position":
            return position(picture, part, draws.frame, strength)
        case "rotation":
            return rotation(picture, draws.frame, strength)
        case "background":
            return picture.with_image(background(image, part, draws.frame, strength))
        case "brightness":
            return picture.with_image(brightness(image, draws.frame, strength))
        case "motion_blur":
            return picture.with_image(motion_blur(image, draws.camera, draws.frame, strength))
        case "defocus":
            return picture.with_image(defocus(image, draws.frame, strength))
        case "dust":
            return picture.with_image(dust(image, draws.camera_seed, strength))
        case "flicker":
            return picture.with_image(flicker(image, draws.camera, draws.frame, strength))
        case "noise":
            return picture.with_image(noise(image, draws.frame, strength))
        case "jpeg":
            return picture.with_image(jpeg(image, strength))
        case never:
            assert_never(never)
