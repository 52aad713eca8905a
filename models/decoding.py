"""From the numbers of a graph to a score and where it comes from: the one place that knows every decoder."""

from collections.abc import Sequence
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from models import boxes, heatmap, patchcore
from models.manifest import BoxesDecoder, Decoder, HeatmapDecoder, PatchcoreDecoder
from models.prediction import Boxes

Found = tuple[float, NDArray[np.float32] | None, Boxes | None]


def outputs_of(decoder: Decoder) -> tuple[str, ...]:
    """The names of the outputs that the decoder reads, in the order in which `decode` takes them."""
    match decoder:
        case PatchcoreDecoder():
            return (patchcore.OUTPUT,)
        case HeatmapDecoder():
            return (heatmap.OUTPUT,)
        case BoxesDecoder():
            return boxes.OUTPUTS
        case never:
            assert_never(never)


def decode(decoder: Decoder, arrays: Sequence[NDArray[Any]], height_px: int, width_px: int) -> Found:
    """Score, heatmap and boxes of a frame of that size; None for what this kind of model does not give.

    `arrays` are those of `outputs_of`, and the caller's to give away: the heatmap is a view of one.
    Raises ModelError where they are not what the decoder reads.
    """
    match decoder:
        case PatchcoreDecoder():
            distances = np.asarray(arrays[0][0, 0], np.float32)
            return patchcore.score_of(distances, decoder), distances, None
        case HeatmapDecoder():
            cells = np.asarray(arrays[0][0, 0], np.float32)
            return heatmap.score_of(cells, decoder), cells, None
        case BoxesDecoder():
            dets = np.asarray(arrays[0], np.float32)
            found = boxes.boxes_of(dets, arrays[1], decoder, height_px, width_px)
            return boxes.score_of(dets, found), None, found
        case never:
            assert_never(never)
