"""Makes PatchCore's bank from good images, and scores each image as if it had not been in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.errors import DatasetError, ModelError
from models.manifest import Augmentation, PatchcoreDecoder, Precision
from models.patchcore import score_of
from models.prediction import Image
from trainer.augment import views_of
from trainer.coreset import choose_bank
from trainer.embed import Pipeline
from trainer.progress import progress
from trainer.search import BANK_BIAS, FORBIDDEN, bias_of

if TYPE_CHECKING:
    import openvino as ov

F32 = NDArray[np.float32]
MAX_PATCHES = 1_500_000  # of 384 numbers: 2.3 GB


@dataclass(frozen=True, slots=True)
class Bank:
    """The chosen vectors and which training image each came from."""

    vectors: F32  # (n, d)
    source: NDArray[np.int64]  # (n,), index into the images learned from
    chosen: NDArray[np.int64]  # (n,), index into the patches of all views, as `gather` gives them


def make_bank(  # noqa: PLR0913, PLR0917
    embedding: ov.Model,
    images: Sequence[Image],
    plan: Augmentation,
    size: int,
    seed: int,
    precision: Precision = "f32",
    weight: F32 | None = None,
    like: Bank | None = None,
) -> Bank:
    """Embeds every view of every image and keeps `size` vectors, none of patches (h, w) whose `weight` is 0.

    With `like`, a bank of the same images at another precision, it keeps the vectors of the same patches: which are
    chosen changes scores by more than a precision does.

    Raises ModelError as `gather`, DatasetError when all vectors kept come from one image, which then could not be
    held out.
    """
    patches, source = gather(embedding, images, plan, seed, precision, weight)
    chosen = choose_bank(patches, size, seed) if like is None else like.chosen
    if len(np.unique(source[chosen])) < 2:
        raise DatasetError(f"--bank {size}: what was kept comes from one image alone; raise --bank or add good images")
    return Bank(patches[chosen], source[chosen], chosen)


def gather(  # noqa: PLR0913, PLR0917
    embedding: ov.Model,
    images: Sequence[Image],
    plan: Augmentation,
    seed: int,
    precision: Precision = "f32",
    weight: F32 | None = None,
) -> tuple[F32, NDArray[np.int64]]:
    """The vectors of all views, (n, d), at most MAX_PATCHES, and the image that each came from, (n,).

    None of patches (h, w) whose `weight` is 0. Raises ModelError when the network gives NaN or infinity.
    """
    count = len(images) * len(plan.angles_deg)
    width, rows, columns = (axis.get_length() for axis in list(embedding.outputs[0].partial_shape)[1:])
    counting = np.arange(rows * columns) if weight is None else np.flatnonzero(weight)
    share = min(len(counting), MAX_PATCHES // count)
    found = np.empty((count, share, width), np.float32)  # there may be too many to gather them first and copy them once

    def keep(key: int, output: F32) -> None:
        found[key] = _thinned(output.reshape(width, -1)[:, counting].T, share, np.random.default_rng((seed, key)))

    Pipeline(embedding, keep, precision).run(progress(_keyed_views(images, plan, seed), "learn", total=count))
    return found.reshape(-1, width), np.repeat(np.arange(len(images)), count // len(images) * share)


def _keyed_views(images: Sequence[Image], plan: Augmentation, seed: int) -> Iterator[tuple[int, Image]]:
    rng = np.random.default_rng(seed)
    yield from enumerate(view for image in images for view in views_of(image, plan, rng))


def _thinned(vectors: F32, share: int, rng: np.random.Generator) -> F32:
    """At most `share` of a view's. Raises ModelError when there is NaN or infinity among them."""
    if not np.isfinite(vectors).all():
        raise ModelError("the network gives NaN or infinity on good images; give other --weights")
    return vectors[rng.choice(len(vectors), share, replace=False)] if len(vectors) > share else vectors


def held_out_scores(
    graph: ov.Model, images: Sequence[Image], bank: Bank, decoder: PatchcoreDecoder, precision: Precision = "f32"
) -> list[float]:
    """Each good image, in the order in which the bank knows them, scored by the graph that ships, but for the vectors
    that came from it.

    Leave-one-out on the artifact itself: the bias of those vectors is put where they can never be
    the nearest. Scores come out a little higher than a new part's, as the bank is a little poorer.
    """
    scores: dict[int, float] = {}
    bias = bias_of(bank.vectors)

    def note(key: int, distances: F32) -> None:
        scores[key] = score_of(distances[0], decoder)

    def hidden(key: int) -> dict[str, F32]:
        return {BANK_BIAS: np.where((bank.source == key)[None, :, None, None], FORBIDDEN, bias)}

    Pipeline(graph, note, precision).run(enumerate(progress(images, "hold out")), hidden)
    return [scores[key] for key in range(len(images))]
