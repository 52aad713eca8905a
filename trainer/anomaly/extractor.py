"""anomalib's feature extractor with our weights in it: the eye that several models share."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from trainer.anomaly.model import WITHOUT_PHOTOGRAPHS, Lesson, Setup
from trainer.backbone import load_weights, settle_statistics


def extractor_of(setup: Setup, layers: tuple[str, ...], lesson: Lesson) -> Any:
    """A frozen TimmFeatureExtractor: (n, 3, h, w) to a dict of layer to features. Raises ConfigError.

    Weights that saw no photograph take their statistics from the good parts.
    """
    extractor = empty_extractor(setup.options.backbone, layers)
    if setup.file is not None:
        load_weights(extractor.feature_extractor, setup.file)
    if setup.weights.source in WITHOUT_PHOTOGRAPHS:
        settle_statistics(extractor.feature_extractor, lesson.settled_by, lesson.spec)
    return extractor.eval().requires_grad_(False)


def empty_extractor(backbone: str, layers: tuple[str, ...], *, trained: bool = False) -> Any:
    """The same with random weights; one that is `trained` passes gradients."""
    with quiet_imports():
        from anomalib.models.components import TimmFeatureExtractor
    return TimmFeatureExtractor(backbone, list(layers), pre_trained=False, requires_grad=trained)


def quiet_imports() -> warnings.catch_warnings[None]:
    """anomalib's imports deprecate each other at length."""
    logging.getLogger("anomalib").setLevel(logging.ERROR)
    return warnings.catch_warnings(action="ignore")
