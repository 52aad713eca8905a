"""PatchCore: anomalib's model on the torch side, and the first half of the graph that ships.

That half is anomalib's backbone and embedding converted straight from torch, with the frame's preprocessing in front.
The bank is made of the vectors that this very graph gives, so that nothing differs later; `trainer/search.py` puts
the second half behind it.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.manifest import PatchcoreDecoder, Preprocess, Weights
from models.patchcore import score_of
from models.prediction import Image
from models.upright import Mask
from trainer.anomaly.graph import graph_of
from trainer.backbone import read_state, settle_statistics, tensor_of
from trainer.narrow import Narrowing
from trainer.reading import evened, reading_of, smoothed, upright_reading
from trainer.trunks import layers_of, load_trunks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import openvino as ov
    import torch

F32 = NDArray[np.float32]


class Patchcore:
    """anomalib's PatchcoreModel, ready to embed; with a bank it scores."""

    def __init__(self, backbone: str, weights_file: Path | None, weights: Weights, seed: int = 0) -> None:
        """`seed` decides what untrained weights are."""
        import torch

        logging.getLogger("anomalib").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # anomalib's imports deprecate each other at length
            from anomalib.models.image.patchcore.torch_model import PatchcoreModel

        state = {} if weights_file is None else read_state(weights_file)
        self.backbone, self.weights, self.layers = backbone, weights, layers_of(backbone, state)
        self.reading = reading_of(self.layers)
        self._narrow: torch.nn.Module | None = None
        torch.manual_seed(seed)
        self.model: Any = PatchcoreModel(layers=list(self.layers), backbone=backbone, pre_trained=False).eval()
        if weights_file is not None:
            self.model.feature_extractor.feature_extractor = load_trunks(self._network, backbone, state, weights_file)

    @property
    def _network(self) -> torch.nn.Module:
        network: torch.nn.Module = self.model.feature_extractor.feature_extractor
        return network

    @property
    def usual_width(self) -> int | None:
        """Numbers kept of each patch of whole frames where nobody says how many; None: all.

        A fine and a coarse layer say much alike: by half of their numbers real screws are told apart as well or
        better, in less time. `python -m tests.bench.curve --whole` measures it.
        """
        return None if len(self.layers) == 1 else sum(self._widths()) // 2

    def read_upright(self, mask: Mask, embedding: ov.Model) -> None:
        """From now on only what `mask` (H, W) says is the part counts in `embedding`'s map of patches (1, d, h, w)."""
        shape = embedding.outputs[0].partial_shape
        self.reading = upright_reading(self.layers, mask, shape[2].get_length(), shape[3].get_length())

    def even(self, distances: F32) -> None:
        """From now on a patch counts by what good parts' `distances` (n, h, w) usually are at its place."""
        self.reading = evened(self.reading, distances)

    def narrow(self, narrowing: Narrowing | None) -> None:
        """From now on patch vectors are made narrower so; None leaves them as they are."""
        self._narrow = None if narrowing is None else narrowing.layers(self._widths())

    def _widths(self) -> list[int]:
        """How many numbers each layer gives for a patch."""
        import torch

        with torch.no_grad():
            features = self.model.feature_extractor(torch.zeros(1, 3, 64, 64))
        return [features[layer].shape[1] for layer in self.layers]

    def settle(self, images: Sequence[Image], spec: Preprocess) -> None:
        """Fits the network to this camera and these parts: its statistics come from the good images."""
        settle_statistics(self._network, images, spec)

    def embedding_graph(self, spec: Preprocess) -> ov.Model:
        """Converts the path from a raw frame to patch vectors: uint8 (1, H, W, 3) -> (1, d, h, w)."""
        return graph_of(_embedding(self.model, self.layers, self._narrow), spec)

    def score(self, image: Image, spec: Preprocess, decoder: PatchcoreDecoder, bank: F32) -> float:
        """The score as torch and anomalib see it with a bank (n, d), for the parity gate."""
        import torch

        self.model.memory_bank = torch.from_numpy(bank)
        with torch.no_grad():
            embedding = _embedding(self.model, self.layers, self._narrow)(tensor_of(image, spec))
            vectors = self.model.reshape_embedding(embedding)
            distances, _ = self.model.nearest_neighbors(vectors, 1)
        heatmap = smoothed(distances.reshape(embedding.shape[-2:]), self.reading)
        return score_of(heatmap.numpy(), decoder)


def _embedding(model: Any, layers: Sequence[str], narrow: torch.nn.Module | None) -> torch.nn.Module:
    import torch

    class Embedding(torch.nn.Module):
        """The first half of PatchcoreModel.forward, and what narrows its vectors."""

        def __init__(self) -> None:
            super().__init__()
            self.model: Any = model
            self.narrow: Any = narrow

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            features = self.model.feature_extractor(images)
            if self.narrow is not None:
                narrowed: torch.Tensor = self.narrow([features[one] for one in layers], self.model.feature_pooler)
                return narrowed
            pooled = {layer: self.model.feature_pooler(feature) for layer, feature in features.items()}
            embedding: torch.Tensor = self.model.generate_embedding(pooled)
            return embedding

    return Embedding().eval()
