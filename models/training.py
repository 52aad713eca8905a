"""How a model was made and what was proven of it then, as the manifest keeps it; one kind per family."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from models.base import Frozen, Sha256

WeightsSource = Literal["path", "cache", "hub", "starter", "untrained"]


class Weights(Frozen):
    """Where the backbone's weights came from."""

    source: WeightsSource
    name: str
    sha256: Sha256 | None  # null for untrained weights


class Augmentation(Frozen):
    """How each good image was varied before its patches went into the bank."""

    angles_deg: tuple[float, ...] = Field(min_length=1)
    shift: float = Field(ge=0)  # largest, as a share of the side
    brightness: float = Field(ge=0)  # largest, as a share of the grey value


class Training(Frozen):
    """How to make a model of family anomaly that keeps a bank again."""

    images: tuple[Sha256, ...] = Field(min_length=1)  # the good images learned from
    image_sizes_px: tuple[tuple[int, int], ...]  # (height, width), distinct
    backbone: str
    layers: tuple[str, ...]
    weights: Weights
    bank_vectors: int = Field(ge=1)
    feature_width: int | None = Field(default=None, ge=1)  # numbers kept of each patch; null: all
    augmentation: Augmentation
    seed: int
    versions: dict[str, str]


class HeatmapTraining(Frozen):
    """How to make a model of family anomaly again that keeps no bank."""

    images: tuple[Sha256, ...] = Field(min_length=1)  # the good images learned from; those kept aside are in no list
    image_sizes_px: tuple[tuple[int, int], ...]  # (height, width), distinct
    backbone: str | None  # null: a network of its own, from random weights
    layers: tuple[str, ...]
    weights: Weights
    augmentation: Augmentation
    steps: int = Field(ge=0)  # 0 for what is computed and not trained
    batch: int = Field(ge=0)  # views a step
    seed: int
    versions: dict[str, str]


class DetectionTraining(Frozen):
    """How to make a model of family detection again."""

    images: tuple[Sha256, ...] = Field(min_length=1)  # learned from: good ones and defects
    image_sizes_px: tuple[tuple[int, int], ...]  # (height, width), distinct
    weights: Weights
    classes: tuple[str, ...] = Field(min_length=1)
    n_boxes: int = Field(ge=1)  # learned from
    steps: int = Field(ge=0)
    batch: int = Field(ge=1)
    bf16: bool = False  # its steps were computed in bf16, as the CPU could: elsewhere other weights come of them
    seed: int
    versions: dict[str, str]


class SupervisedTraining(Frozen):
    """How to make a model of family classification or segmentation again."""

    images: tuple[Sha256, ...] = Field(min_length=1)  # learned from: good ones and defects
    image_sizes_px: tuple[tuple[int, int], ...]  # (height, width), distinct
    weights: Weights
    classes: tuple[str, ...] = Field(min_length=1)  # kinds of defect
    backbone: str
    n_defect: int = Field(ge=1)  # images with defects among those learned from
    steps: int = Field(ge=0)
    batch: int = Field(ge=1)
    seed: int
    versions: dict[str, str]


class Parity(Frozen):
    """How far torch and the IR were apart on native-resolution images when this was exported."""

    n_images: int = Field(ge=1)
    max_relative: float = Field(ge=0)
    label_flips: int = Field(ge=0)


class BoxParity(Frozen):
    """The same for boxes, each compared with the one that the other side found in its place."""

    n_images: int = Field(ge=1)
    n_boxes: int = Field(ge=0)  # compared
    count_differences: int = Field(ge=0)  # images in which one side found more boxes
    max_box_px: float = Field(ge=0)  # largest distance of an edge, in frame pixels
    max_score: float = Field(ge=0)  # largest difference of scores
    label_flips: int = Field(ge=0)


def _nearest(*kinds: type[Frozen]) -> Callable[[Any], str]:
    """Tells by its keys which kind is meant: old manifests name none, and a typing error must not decide.

    Where two share as many keys it is the one named first: name the older one first.
    """

    def tag(value: Any) -> str:
        keys = value.keys() if isinstance(value, dict) else getattr(type(value), "model_fields", {}).keys()
        return max(kinds, key=lambda kind: len(kind.model_fields.keys() & keys)).__name__

    return tag


AnyTraining = Annotated[
    Annotated[Training, Tag("Training")]
    | Annotated[HeatmapTraining, Tag("HeatmapTraining")]
    | Annotated[DetectionTraining, Tag("DetectionTraining")]
    | Annotated[SupervisedTraining, Tag("SupervisedTraining")],
    Discriminator(_nearest(Training, DetectionTraining, HeatmapTraining, SupervisedTraining)),
]
AnyParity = Annotated[
    Annotated[Parity, Tag("Parity")] | Annotated[BoxParity, Tag("BoxParity")],
    Discriminator(_nearest(Parity, BoxParity)),
]
