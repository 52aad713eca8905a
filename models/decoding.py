"""From the numbers of a graph to a score and where it comes from: the one place that knows every decoder."""

from collections.abc import Sequence
from typing import Any, NamedTuple, assert_never

import numpy as np
from numpy.typing import NDArray

from models import boxes, heatmap, labels, patchcore
from models.manifest import BoxesDecoder, Decoder, HeatmapDecoder, LabelDecoder, PatchcoreDecoder
from models.prediction import Boxes


class Found(NamedTuple):
    """What `decode` reads; None for what this kind of model does not give."""

    score: float
    heatmap: NDArray[np.float32] | None = None
    boxes: Boxes | None = None
    label: str | None = None


def outputs_of(decoder: Decoder) -> tuple[str, ...]:
    """The names of the outputs that the decoder reads, in the order in which `decode` takes them."""
    match decoder:
        case PatchcoreDecoder():
            return (patchcore.OUTPUT,)
        case HeatmapDecoder():
            return (heatmap.OUTPUT,)
        case BoxesDecoder():
            return boxes.OUTPUTS
        case LabelDecoder():
            return (labels.OUTPUT,)
        case never:
            assert_never(never)


def decode(decoder: Decoder, arrays: Sequence[NDArray[Any]], height_px: int, width_px: int) -> Found:
    """What a frame of that size shows.

    `arrays` are those of `outputs_of`, and the caller's to give away: the heatmap is a view of one.
    Raises ModelError where they are not what the decoder reads.
    """
    first = np.asarray(arrays[0], np.float32)
    match decoder:
        case PatchcoreDecoder():
            distances = np.asarray(first[0, 0], np.float32)
            return Found(patchcore.score_of(distances, decoder), heatmap=distances)
        case HeatmapDecoder():
            heat = heatmap.heatmap_of(first)
            return Found(heatmap.score_of(heat, decoder), heatmap=heat)
        case BoxesDecoder():
            found = boxes.boxes_of(first, arrays[1], decoder, height_px, width_px)
            return Found(boxes.score_of(first, found), boxes=found)
        case LabelDecoder():
            return Found(labels.score_of(first, decoder), label=labels.label_of(first, decoder))
        case never:
            assert_never(never)
