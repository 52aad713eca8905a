"""The gate between torch and the IR: a bundle is exported only when both say the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from models.errors import ModelError
from models.manifest import Parity
from models.prediction import Image
from models.runner import Runner
from models.scoring import judge

MAX_RELATIVE = 1e-3


def check_parity(
    images: Sequence[Image],
    torch_score: Callable[[Image], float],
    runner: Runner,
    ng_at_or_above: float,
    least: float = 1e-9,
) -> Parity:
    """Scores images of native resolution both ways.

    A score of torch's below `least` counts as that: of a probability of a millionth nobody needs three digits.
    Raises ModelError when a label flips or a score is off by more than 1e-3 of torch's.
    """
    pairs = [(torch_score(image), runner.predict(image).score) for image in images]
    # np.max passes NaN on, where max() would drop it.
    worst = float(np.max([abs(got - want) / max(abs(want), least) for want, got in pairs]))
    flips = sum(judge(want, ng_at_or_above)[0] != judge(got, ng_at_or_above)[0] for want, got in pairs)
    if flips or not worst <= MAX_RELATIVE:
        raise ModelError(
            f"parity: torch and the IR differ by {worst:.2e} of the score, {flips} of {len(images)} labels flip; "
            f"at most {MAX_RELATIVE} and none were wanted: nothing was exported; try another --backbone or --image-size"
        )
    return Parity(n_images=len(images), max_relative=worst, label_flips=flips)
