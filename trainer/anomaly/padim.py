"""PaDiM: what good parts look like at each place, as a Gaussian. For parts that always lie alike.

Defard et al., PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and Localization, ICPR 2021
(arXiv 2011.08785), with anomalib's embedding. Covariances are shrunk as Ledoit and Wolf do, as there are few images.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError
from trainer.anomaly.extractor import extractor_of, quiet_imports
from trainer.anomaly.graph import graph_of
from trainer.anomaly.model import Lesson, Setup
from trainer.augment import views_of
from trainer.backbone import feature_layers
from trainer.embed import Pipeline
from trainer.progress import progress

if TYPE_CHECKING:
    import torch

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
_STRIDES = (8, 16)
_MOST_FEATURES = 100  # of those of a ResNet18, as in the paper
_LEAST_VARIANCE = 0.01
_CHUNK = 128  # places at a time
_MOST_BYTES = 44_000_000  # of the matrices in the IR, one of d x d at each place


class Padim:
    """A Learner, though nothing is trained."""

    size_px = 256
    steps = batch = 0

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self.backbone: str | None = setup.options.backbone
        self.layers = feature_layers(setup.options.backbone, _STRIDES)

    def learn(self, lesson: Lesson) -> torch.nn.Module:
        """Embeds all views, and fits a Gaussian at each place. Raises ModelError where features are no numbers."""
        embedding = _embedding(self._setup, self.layers, lesson)
        vectors = _embedded(embedding, lesson, self._setup.options.seed)
        if not np.isfinite(vectors).all():
            raise ModelError("the network gives NaN or infinity on good images; give other --weights")
        return _network(embedding, *gaussians_of(vectors))


def n_features(places: int, at_most: int) -> int:
    """How many features there is room for in a map of that many places."""
    return max(1, min(_MOST_FEATURES, at_most, math.isqrt(_MOST_BYTES // (4 * places))))


def _embedding(setup: Setup, layers: tuple[str, ...], lesson: Lesson) -> torch.nn.Module:
    import torch

    with quiet_imports():
        from anomalib.models.image.padim.torch_model import PadimModel
    extractor = extractor_of(setup, layers, lesson)
    with torch.no_grad():
        features = extractor(torch.zeros(1, 3, lesson.spec.height_px, lesson.spec.width_px))
    places, channels = features[layers[0]][0, 0].numel(), sum(one.shape[1] for one in features.values())
    torch.manual_seed(setup.options.seed)  # it chooses the features by chance, as the paper does
    model = PadimModel(setup.options.backbone, list(layers), False, n_features(places, channels))
    model.feature_extractor = extractor

    class Embedding(torch.nn.Module):
        """The first half of PadimModel.forward."""

        def __init__(self) -> None:
            super().__init__()
            self.model: Any = model

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            embedding: torch.Tensor = self.model.generate_embedding(self.model.feature_extractor(images))
            return embedding

    return Embedding().eval()


def _embedded(embedding: torch.nn.Module, lesson: Lesson, seed: int) -> F32:
    """Of every view of every image, by the graph that ships: (n, d, places)."""
    found: dict[int, F32] = {}
    rng = np.random.default_rng(seed)
    views = enumerate(view for image in lesson.images for view in views_of(image, lesson.plan, rng))
    count = len(lesson.images) * len(lesson.plan.angles_deg)
    pipeline = Pipeline(graph_of(embedding, lesson.spec), found.__setitem__)
    pipeline.run(progress(views, "learn", total=count))
    return np.stack([found[key].reshape(found[key].shape[0], -1) for key in range(count)])


def gaussians_of(vectors: F32) -> tuple[F32, F32]:
    """Of vectors (n, d, places): their means (d, places), and matrices W (places, d, d) that whiten them.

    |(x - mean) W| is the Mahalanobis distance (the paper's equation 2). A hundredth of the mean variance of all
    places is added to each (the paper's epsilon): where good parts never differ, the sensor's noise would count for
    a defect.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    variance = float(np.mean((vectors - mean) ** 2))
    floor = _LEAST_VARIANCE * max(variance, 1e-12) * np.eye(vectors.shape[1])
    matrices = []
    for start in range(0, vectors.shape[2], _CHUNK):
        part = np.asarray(vectors[:, :, start : start + _CHUNK] - mean[:, start : start + _CHUNK], np.float64)
        covariances = shrunk(part.transpose(2, 0, 1)) + floor
        matrices.append(np.linalg.cholesky(np.linalg.inv(covariances)).astype(np.float32))
    return mean.astype(np.float32), np.concatenate(matrices)


def shrunk(centred: F64) -> F64:
    """Covariances (places, d, d) of centred vectors (places, n, d), each drawn towards a multiple of the identity.

    By how much is Ledoit and Wolf's estimate of what is best: A well-conditioned estimator for large-dimensional
    covariance matrices, Journal of Multivariate Analysis 88 (2004), section 3.3.
    """
    _, n, d = centred.shape
    sample = centred.transpose(0, 2, 1) @ centred / n
    mu = np.trace(sample, axis1=1, axis2=2) / d
    target = mu[:, None, None] * np.eye(d)
    apart = ((sample - target) ** 2).sum(axis=(1, 2))
    fourth = ((centred**2).sum(axis=2) ** 2).sum(axis=1) / n
    error = np.maximum(fourth - (sample**2).sum(axis=(1, 2)), 0) / n
    share = np.where(apart > 0, np.minimum(error / np.where(apart > 0, apart, 1), 1), 1)[:, None, None]
    return np.asarray((1 - share) * sample + share * target)


def _network(embedding: torch.nn.Module, mean: F32, whitening: F32) -> torch.nn.Module:
    import torch

    class Distance(torch.nn.Module):
        """Matrix products alone: what is whitened is squared, so that rounding leaves nothing below 0."""

        def __init__(self) -> None:
            super().__init__()
            self.embedding = embedding
            self.mean = torch.nn.Parameter(torch.from_numpy(mean), requires_grad=False)
            self.whitening = torch.nn.Parameter(torch.from_numpy(whitening), requires_grad=False)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            features = self.embedding(images)
            away = (features.flatten(2) - self.mean).permute(2, 0, 1)
            squared = torch.square(torch.matmul(away, self.whitening)).sum(2)
            return torch.sqrt(squared).reshape(1, 1, *features.shape[2:])

    return Distance()
