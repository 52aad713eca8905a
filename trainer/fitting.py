"""What the fits of all families do alike: how they begin, what they say of weights, how they end."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from models.files import whole_folder
from models.manifest import Precision, Weights
from trainer.export import refuse_existing
from trainer.options import Common
from trainer.variants import refuse_unable_here


def refuse_start(options: Common, precisions: Sequence[Precision]) -> None:
    """Raises MekikiError for what would be overwritten, and for a precision that this machine cannot prove."""
    refuse_existing(options.out)
    refuse_existing(options.report)
    refuse_unable_here(precisions)


def weights_words(weights: Weights, untrained: str, how_much: str = "") -> str:
    """For a person: which they are, or what it means (`untrained`) that there are none."""
    if weights.source != "untrained":
        return f"weights: {weights.source}, {weights.name}{how_much}"
    return (
        f"weights: untrained\nWARNING: no trained weights were found. {untrained} Give --weights FILE, or --allow-hub "
        "where this machine may reach a hub."
    )


def end(options: Common, draw: Callable[[Path], None], write: Callable[[], None], say: Callable[[str], None]) -> None:
    """Pictures into the report, then the bundle; where one of them fails neither is left."""
    try:
        with whole_folder(options.report) as pictures:
            draw(pictures)
        write()  # last: with it the fit is done
    except BaseException:
        shutil.rmtree(options.report, ignore_errors=True)
        raise
    say(f"bundle: {options.out}\npictures: {options.report}")
