"""The bundle of tests/tiny.py for the families that learn from bad images: the same pictures, the same scores.

The classifier calls a bright patch "spot", and "scratch" a third as surely. A white picture gives NaN with `nan`.
"""

from pathlib import Path
from typing import Any

import numpy as np

from models import heatmap, labels
from models.bundle import MODEL_XML
from models.manifest import HeatmapDecoder, LabelDecoder, SupervisedTraining, Weights
from models.preprocess import with_preprocess
from tests import tiny

LABELS = LabelDecoder(kind="label", labels=("good", "scratch", "spot"))
HEATMAP = HeatmapDecoder(kind="heatmap", top_cells=1)
TRAINING = SupervisedTraining(
    images=(tiny.ZEROS,),
    image_sizes_px=((tiny.SIDE_PX, tiny.SIDE_PX),),
    weights=Weights(source="untrained", name="none", sha256=None),
    classes=("scratch", "spot"),
    backbone="none",
    n_defect=1,
    steps=1,
    batch=1,
    seed=0,
    versions={},
)


def make_labels_bundle(path: Path, *, nan: bool = False) -> Path:
    """Writes a bundle of family classification; the threshold is 0.5."""
    return _make(path, LABELS, "classification", nan)


def make_heatmap_bundle(path: Path, *, nan: bool = False) -> Path:
    """Writes a bundle of family segmentation; the threshold is 0.5."""
    return _make(path, HEATMAP, "segmentation", nan)


def _make(path: Path, decoder: LabelDecoder | HeatmapDecoder, family: str, nan: bool) -> Path:
    import openvino as ov

    path.mkdir(parents=True)
    ov.save_model(_graph(decoder, nan), path / MODEL_XML, compress_to_fp16=False)
    what = {"family": family, "model": "tiny", "training": TRAINING}
    return tiny._finish(path, decoder, (0.5, None), 0.0, what)


def _graph(decoder: LabelDecoder | HeatmapDecoder, nan: bool) -> Any:
    import openvino as ov
    from openvino import opset13 as op

    image = op.parameter([1, 3, tiny.SIDE_PX, tiny.SIDE_PX], np.float32, name="image")
    grey = op.reduce_mean(op.abs(image), np.array([1]), keep_dims=True)
    output = op.avg_pool(grey, [8, 8], [0, 0], [0, 0], [8, 8], exclude_pad=True)
    if nan:
        output = op.select(op.greater(output, np.float32(0.9)), np.float32("nan"), output)
    name = heatmap.OUTPUT
    if decoder.kind == "label":
        name = labels.OUTPUT
        bright = op.reshape(op.reduce_max(output, np.array([1, 2, 3]), keep_dims=True), np.array([1, 1]), False)
        shares = op.multiply(bright, op.constant(np.array([[-1, 0.25, 0.75]], np.float32)))
        output = op.add(shares, op.constant(np.array([[1, 0, 0]], np.float32)))
    output.output(0).set_names({name})
    return with_preprocess(ov.Model([output], [image], "tiny"), tiny.SPEC)
