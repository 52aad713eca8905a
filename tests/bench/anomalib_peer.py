"""What PatchCore users have today: anomalib's model, its own export, its own inferencer. It learns from the same views.

Only its choice of the bank is ours, among its own vectors: anomalib's own takes minutes (`tests.bench.coreset`), and
what it chooses has no part in its speed.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from models.prediction import Image
from trainer.backbone import load_weights
from trainer.coreset import choose_bank

_LAYERS = ("layer2", "layer3")
STOCK = {"default": {}, "f32": {"INFERENCE_PRECISION_HINT": "f32"}}  # what the inferencer tells OpenVINO


def learned(weights: Path, views: Iterable[Image], side_px: int, n_vectors: int) -> Any:
    """anomalib's Patchcore with a bank of that size, as its own training step makes it, resize included."""
    with _quiet():
        from anomalib.models import Patchcore

        processor = Patchcore.configure_pre_processor((side_px, side_px))
        peer = Patchcore("resnet18", _LAYERS, pre_trained=False, pre_processor=processor).eval()
        load_weights(peer.model.feature_extractor.feature_extractor, weights)
        bank = _embedded(peer, views)
    peer.model.memory_bank = bank[choose_bank(bank.numpy(), n_vectors, 0)]
    return peer


def _embedded(peer: Any, views: Iterable[Image]) -> Any:
    import torch

    peer.model.train()
    peer.model.feature_extractor.eval()
    with torch.no_grad():
        for view in views:
            peer.training_step(_Batch(peer.pre_processor.transform(rgb_of(view))))
    found = torch.vstack(peer.model.embedding_store)
    peer.model.embedding_store.clear()
    peer.eval()
    return found


class _Batch:
    def __init__(self, image: Any) -> None:
        self.image = image


def rgb_of(image: Image) -> Any:
    """(1, 3, H, W), 0 to 1, as anomalib reads pictures."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(image[:, :, ::-1])).permute(2, 0, 1)[None].float() / 255


def torch_score(peer: Any, image: Image) -> float:
    """anomalib without any export: its antialiased resize, its model."""
    import torch

    with torch.no_grad():
        return float(peer.model(peer.pre_processor.transform(rgb_of(image))).pred_score)


def exported(peer: Any, folder: Path, side_px: int) -> Path:
    """The IR by anomalib's own export, for frames of that side. It refuses frames of any other.

    The arguments are those without which its own inferencer cannot run it: a batch of 1 and a recent opset.
    """
    with _quiet():
        made = peer.to_openvino(
            folder, input_size=(side_px, side_px), onnx_kwargs={"dynamic_shapes": None, "opset_version": 18}
        )
    return Path(made)


class Inferencer:
    """anomalib's own, from a raw BGR frame: `side_px` None leaves the resize to the exported graph, as it does it."""

    def __init__(self, model_xml: Path, side_px: int | None, config: dict[str, str]) -> None:
        model_xml = model_xml.resolve()
        with _quiet(), contextlib.chdir(model_xml.parent):  # it leaves a cache where it stands
            from anomalib.deploy import OpenVINOInferencer

            self._inferencer = OpenVINOInferencer(model_xml, "CPU", config)
        self._side_px = side_px

    def score(self, frame: Image) -> float:
        """Of a frame as the camera gives it."""
        image = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        if self._side_px is not None:
            image = cv2.resize(image, (self._side_px, self._side_px), interpolation=cv2.INTER_AREA)
        return float(np.asarray(self._inferencer.predict(image).pred_score).ravel()[0])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """anomalib's imports deprecate each other at length, and torch's export tells of each step."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(StringIO()), contextlib.redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
