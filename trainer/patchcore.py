"""PatchCore: anomalib's model on the torch side, and the graph of ours that ships.

The graph is anomalib's backbone and embedding converted straight from torch, with the frame's
preprocessing in front and the search behind, both put there with OpenVINO's own operations. The bank
is made of the vectors that this very graph gives, so that nothing differs later.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.manifest import PatchcoreDecoder, Preprocess, Weights
from models.patchcore import OUTPUT, score_of
from models.prediction import Image
from trainer.anomaly.graph import graph_of
from trainer.backbone import read_state, settle_statistics, tensor_of
from trainer.trunks import layers_of, load_trunks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import openvino as ov
    import torch

F32 = NDArray[np.float32]
BANK_BIAS = "bank_bias"
_TOP_SHARE = 0.0025  # of the patches: at 512 px the ten worst of 4,096
# A vector with this bias is never the nearest. Finite, so that no NaN can come of it.
FORBIDDEN = np.float32(-1e9)


class Patchcore:
    """anomalib's PatchcoreModel, ready to embed; `set_bank` makes it ready to score."""

    def __init__(self, backbone: str, weights_file: Path | None, weights: Weights, seed: int = 0) -> None:
        """`seed` decides what untrained weights are."""
        import torch

        logging.getLogger("anomalib").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # anomalib's imports deprecate each other at length
            from anomalib.models.image.patchcore.torch_model import PatchcoreModel

        state = {} if weights_file is None else read_state(weights_file)
        self.backbone, self.weights, self.layers = backbone, weights, layers_of(backbone, state)
        torch.manual_seed(seed)
        self.model: Any = PatchcoreModel(layers=list(self.layers), backbone=backbone, pre_trained=False).eval()
        if weights_file is not None:
            self.model.feature_extractor.feature_extractor = load_trunks(self._network, backbone, state, weights_file)

    @property
    def _network(self) -> torch.nn.Module:
        network: torch.nn.Module = self.model.feature_extractor.feature_extractor
        return network

    def settle(self, images: Sequence[Image], spec: Preprocess) -> None:
        """Fits the network to this camera and these parts: its statistics come from the good images."""
        settle_statistics(self._network, images, spec)

    def embedding_graph(self, spec: Preprocess) -> ov.Model:
        """Converts the path from a raw frame to patch vectors: uint8 (1, H, W, 3) -> (1, d, h, w)."""
        return graph_of(_embedding(self.model), spec)

    def set_bank(self, bank: F32) -> None:
        """Gives anomalib's model the bank, (n, d)."""
        import torch

        self.model.memory_bank = torch.from_numpy(bank)

    def score(self, image: Image, spec: Preprocess, decoder: PatchcoreDecoder) -> float:
        """The score as torch and anomalib see it, for the parity gate."""
        import torch

        with torch.no_grad():
            embedding = _embedding(self.model)(tensor_of(image, spec))
            vectors = self.model.reshape_embedding(embedding)
            distances, _ = self.model.nearest_neighbors(vectors, 1)
        return score_of(distances.reshape(embedding.shape[-2:]).numpy(), decoder)


def _embedding(model: Any) -> torch.nn.Module:
    import torch

    class Embedding(torch.nn.Module):
        """The first half of PatchcoreModel.forward."""

        def __init__(self) -> None:
            super().__init__()
            self.model: Any = model

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            features = self.model.feature_extractor(images)
            pooled = {layer: self.model.feature_pooler(feature) for layer, feature in features.items()}
            embedding: torch.Tensor = self.model.generate_embedding(pooled)
            return embedding

    return Embedding().eval()


def decoder_for(embedding: ov.Model) -> PatchcoreDecoder:
    """How many patches the score is a mean of, for a graph's map of patches (1, d, h, w)."""
    rows, columns = (embedding.outputs[0].partial_shape[axis].get_length() for axis in (2, 3))
    return PatchcoreDecoder(kind="patchcore", top_patches=max(1, round(_TOP_SHARE * rows * columns)))


def with_search(graph: ov.Model, bank: F32) -> ov.Model:
    """Puts the nearest-neighbour search behind an embedding graph (which is used up by it).

    min over y of |x - y|^2 = |x|^2 - 2 max over y of (x . y - |y|^2 / 2), so the search is one fully
    connected layer, whose weights are the bank and whose bias is -|y|^2 / 2, and a maximum. The
    bias stays an input, named `bank_bias`; `freeze_bias` makes it a constant.
    """
    import openvino as ov
    from openvino import opset13 as op

    vectors = graph.outputs[0].get_node().input_value(0)
    bias = op.parameter([1, len(bank), 1, 1], np.float32, name=BANK_BIAS)
    bias.output(0).set_names({BANK_BIAS})
    weights = op.constant(bank[:, :, None, None])
    products = op.convolution(vectors, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    closest = op.reduce_max(op.add(products, bias), np.array([1]), keep_dims=True)
    squares = op.reduce_sum(op.multiply(vectors, vectors), np.array([1]), keep_dims=True)
    squared = op.subtract(squares, op.multiply(closest, np.float32(2)))
    # Rounding may leave a little less than nothing. Not ReLU: on a CPU it makes 0 of NaN, the score of a perfect part.
    distances = op.sqrt(op.select(op.less(squared, np.float32(0)), np.float32(0), squared))
    distances.output(0).set_names({OUTPUT})
    return ov.Model([distances], [*graph.get_parameters(), bias], "patchcore")


def bias_of(bank: F32) -> F32:
    """-|y|^2 / 2 for each vector of the bank, shaped (1, n, 1, 1)."""
    return np.asarray(-0.5 * np.einsum("ij,ij->i", bank, bank, dtype=np.float64), np.float32).reshape(1, -1, 1, 1)


def freeze_bias(graph: ov.Model, bank: F32) -> ov.Model:
    """The graph that ships: a copy whose only input is the frame."""
    from openvino import opset13 as op

    frozen = graph.clone()
    parameter = next(p for p in frozen.get_parameters() if BANK_BIAS in p.output(0).get_names())
    constant = op.constant(bias_of(bank))
    for reader in parameter.output(0).get_target_inputs():
        reader.replace_source_output(constant.output(0))
    frozen.remove_parameter(parameter)
    return frozen
