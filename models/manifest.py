"""What a bundle says of itself: a frozen, versioned record, read before anything else is trusted."""

import json
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError, model_validator

from models.base import Frozen, Sha256, first_error
from models.decoder import (
    BoxesDecoder,
    Decoder,
    HeatmapDecoder,
    LabelDecoder,
    PatchcoreDecoder,
)
from models.errors import BundleError
from models.health import HealthLimits
from models.threshold import Asked, Threshold, ThresholdPolicy
from models.training import (
    AnyParity,
    AnyTraining,
    Augmentation,
    BoxParity,
    DetectionTraining,
    HeatmapTraining,
    Parity,
    SupervisedTraining,
    Training,
    Weights,
    WeightsSource,
)
from models.variant import (
    MODEL_XML,
    Arithmetic,
    Decision,
    FileName,
    Golden,
    Precision,
    Quantization,
    Variant,
    arithmetic_of,
)

__all__ = [
    "SCHEMA_VERSION", "Arithmetic", "Asked", "Augmentation", "BoxParity", "BoxesDecoder", "Decision", "Decoder",
    "DetectionTraining", "Family", "File", "FileName", "Golden", "HeatmapDecoder", "HeatmapTraining",
    "LabelDecoder", "Manifest", "Parity", "PatchcoreDecoder", "Pose", "Precision", "Preprocess", "Product",
    "Quantization", "Sha256", "SupervisedTraining", "Threshold", "ThresholdPolicy", "Training", "Triple", "Variant",
    "Weights", "WeightsSource", "parse_manifest",
]  # fmt: skip

SCHEMA_VERSION: Final = 1
USUAL_SHARE: Final = 0.97  # of a part lies in its frame: nobody judges what lies beyond
# What a bundle is for, such as "m5-screw"; RAUC's word for it is `compatible`.
Product = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Family = Literal["anomaly", "detection", "classification", "segmentation"]
Triple = tuple[float, float, float]


class Preprocess(Frozen):
    """What the graph does to a raw frame, in this order; `models/preprocess.py` builds it in.

    uint8 BGR (H, W, 3) -> float, in the order of `channels` -> antialiased bilinear resize to
    (height_px, width_px) -> (x - mean) / std, all on the scale 0..255. "letterbox" scales both sides by
    one factor, puts the picture at the top left and fills the rest with `pad`.
    """

    height_px: int = Field(gt=0, le=8192)
    width_px: int = Field(gt=0, le=8192)
    mean_rgb: Triple
    std_rgb: Triple
    fit: Literal["stretch", "letterbox"] = "stretch"
    channels: Literal["rgb", "bgr"] = "rgb"  # the order that the network sees; mean and std stay red first
    pad: float = Field(default=114, ge=0, le=255)


class Pose(Frozen):
    """How a part is found in a frame and laid upright before the graph sees it; `models/upright.py` does it."""

    file: FileName  # the template of its edges, and which pixels are the part
    sizes: tuple[
        Annotated[float, Field(ge=0.25)], Annotated[float, Field(le=4)]
    ]  # that parts have, against the template
    turns_deg: tuple[float, float]  # in which they lie
    least_match: float = Field(gt=0, le=1)  # below it there is no part: `unknown`
    least_share: float = Field(default=USUAL_SHARE, ge=0.5, le=1)  # of the part in the frame; less is `unknown` too

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name, (low, high) in (("sizes", self.sizes), ("turns_deg", self.turns_deg)):
            if not low <= high or high - low > 360:
                raise ValueError(f"{name} from {low} to {high}, a range was wanted")
        return self


# Of each family: the decoders, the training records and the parities that it may have.
_BELONGING: Final[dict[Family, tuple[tuple[type[Frozen], ...], ...]]] = {
    "anomaly": ((PatchcoreDecoder, HeatmapDecoder), (Training, HeatmapTraining), (Parity,)),
    "detection": ((BoxesDecoder,), (DetectionTraining,), (BoxParity,)),
    "classification": ((LabelDecoder,), (SupervisedTraining,), (Parity,)),
    "segmentation": ((HeatmapDecoder,), (SupervisedTraining,), (Parity,)),
}


class File(Frozen):
    """Hash and size of one file of the bundle."""

    sha256: Sha256
    bytes: int = Field(ge=0)


class Manifest(Frozen):
    """`manifest.json` of a bundle. It names every other file but the signature; nothing else may lie there."""

    schema_version: Literal[1] = SCHEMA_VERSION
    family: Family
    model: str
    created_at: AwareDatetime
    mekiki: str
    made_from: Sha256 | None = None  # digest of the bundle that this one is but for its threshold; null: of a fit
    pose: Pose | None = None  # null: the whole frame is looked at as it is
    compatible: Product | None = None  # which product's parts it judges; null: nobody said
    preprocess: Preprocess
    precision: Precision
    hint: Arithmetic | None = None  # what the device is told; null: as `precision` says, which int8 does not
    decoder: Decoder
    threshold: Threshold
    training: AnyTraining
    parity: AnyParity
    health: HealthLimits | None = None  # a picture outside is `unknown`; null: not checked
    golden: tuple[Golden, ...] = Field(min_length=1)
    quantization: Quantization | None = None
    variants: tuple[Variant, ...] = ()  # the same fit at further precisions
    files: dict[FileName, File]

    @property
    def arithmetic(self) -> Arithmetic:
        """What the device is told to compute with."""
        return arithmetic_of(self.precision, self.hint)

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        decoders, trainings, parities = _BELONGING[self.family]
        found = (("decoder", self.decoder, decoders), ("training", self.training, trainings))
        proofs = [("parity", parity, parities) for parity in (self.parity, *(one.parity for one in self.variants))]
        for name, part, wanted in (*found, *proofs):
            if not isinstance(part, wanted):
                got, names = type(part).__name__, " or ".join(kind.__name__ for kind in wanted)
                raise ValueError(f"family {self.family} with a {name} of {got}, {names} was wanted")
        if self.pose is not None and not isinstance(self.decoder, PatchcoreDecoder | HeatmapDecoder):
            raise ValueError(f"a pose with a decoder of {self.decoder.kind}, one of heatmaps was wanted")
        return self

    @model_validator(mode="after")
    def _precisions_differ(self) -> Self:
        if self.precision == "int8" and self.hint is None:
            raise ValueError("precision int8 without a hint, what the other layers are computed with was wanted")
        _refuse_twice("precision", [self.precision, *(one.precision for one in self.variants)])
        _refuse_twice("model", [MODEL_XML, *(one.model for one in self.variants)])
        images = sorted(golden.file for golden in self.golden)
        for one in self.variants:
            if sorted(golden.file for golden in one.golden) != images:
                raise ValueError(f"variant {one.precision} has other golden images; the same ones were wanted")
        return self


def _refuse_twice(what: str, names: list[str]) -> None:
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{what} {twice[0]} stands there twice, each variant has its own")


def parse_manifest(text: bytes, where: str) -> Manifest:
    """Reads `manifest.json`.

    Raises BundleError when it is not JSON, is of a newer schema or another family, or breaks a rule.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:  # RecursionError: nested too deep
        raise BundleError(f"{where}: not JSON ({error}); push the bundle again") from error
    if not isinstance(raw, dict):
        raise BundleError(f"{where}: not a manifest (a JSON {type(raw).__name__}); push the bundle again")
    _refuse_foreign(raw, where)
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise BundleError(
            f"{where}: {first_error(error, ('decoder', 'training', 'parity'))}; make the bundle again"
        ) from error


def _refuse_foreign(raw: dict[str, object], where: str) -> None:
    version, family = raw.get("schema_version"), raw.get("family")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BundleError(
            f"{where}: schema {version}, this mekiki reads up to {SCHEMA_VERSION}; upgrade mekiki on this machine"
        )
    known = get_args(Family)
    if family not in known:
        raise BundleError(
            f"{where}: family {family!r:.60}, this mekiki runs {', '.join(known)}; "
            "upgrade mekiki here or choose a bundle of that family"
        )
