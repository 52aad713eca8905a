"""The gate between torch and the IR: a bundle is exported only when both say the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from models.errors import ModelError
from models.manifest import Parity, Precision
from models.prediction import Image
from models.runner import Runner
from models.scoring import judge

MAX_RELATIVE = 1e-3
MAX_ROUNDED = 2e-2  # at bf16, whose numbers have eight binary digits
_MOST: Final[dict[Precision, float]] = {"f32": MAX_RELATIVE, "f16": 5e-3, "bf16": MAX_ROUNDED, "int8": math.inf}


def check_parity(  # noqa: PLR0913 - both sides, and by what they are judged
    images: Sequence[Image],
    torch_score: Callable[[Image], float],
    runner: Runner,
    ng_at_or_above: float,
    least: float = 1e-9,
    *,
    judged: bool = False,
) -> Parity:
    """Scores images of native resolution both ways.

    A score of torch's below `least` counts as that: of a probability of a millionth nobody needs three digits.
    Raises ModelError when a label flips or a score is off by more than 1e-3 of torch's. At bf16 a score may be off by
    2e-2, at f16 by 5e-3, and a label flips where the threshold lies between the two: it was put where scores at that
    precision wanted it. Below f32, where its decisions were `judged`, it is written down
    alone (`trainer/quantize.py`).
    """
    is_rounded = runner.precision != "f32"
    most = math.inf if judged and is_rounded else _MOST[runner.precision]
    pairs = [(torch_score(image), runner.predict(image).score) for image in images]
    # np.max passes NaN on, where max() would drop it.
    worst = float(np.max([abs(got - want) / max(abs(want), least) for want, got in pairs]))
    flips = sum(judge(want, ng_at_or_above)[0] != judge(got, ng_at_or_above)[0] for want, got in pairs)
    if (flips and not is_rounded) or not worst <= most or not math.isfinite(worst):
        raise ModelError(
            f"parity: torch and the IR differ by {worst:.2e} of the score, {flips} of {len(images)} labels flip; "
            f"at most {most} and none were wanted: nothing was exported; try "
            + ("--precision f32" if is_rounded else "another --backbone or --image-size")
        )
    return Parity(n_images=len(images), max_relative=worst, label_flips=flips)
