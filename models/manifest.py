"""What a bundle says of itself: a frozen, versioned record, read before anything else is trusted."""

import json
from typing import Annotated, Final, Literal, get_args

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError

from models.base import Frozen, first_error
from models.errors import BundleError
from models.health import HealthLimits
from models.verdict import Outcome

SCHEMA_VERSION: Final = 1
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# Plain names in at most one folder: no absolute path, no `..`, nothing hidden.
FileName = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9_-][A-Za-z0-9_.-]*/)?[A-Za-z0-9_-][A-Za-z0-9_.-]*$")]
Family = Literal["anomaly"]
Precision = Literal["f32", "f16", "bf16"]
ThresholdPolicy = Literal["recall_1", "normal_quantile"]
WeightsSource = Literal["path", "cache", "hub", "starter", "untrained"]
Triple = tuple[float, float, float]


class Preprocess(Frozen):
    """What the graph does to a raw frame, in this order; `models/preprocess.py` builds it in.

    uint8 BGR (H, W, 3) -> float RGB -> antialiased bilinear resize to (height_px, width_px)
    -> (x - mean) / std, all on the scale 0..255.
    """

    height_px: int = Field(gt=0, le=8192)
    width_px: int = Field(gt=0, le=8192)
    mean_rgb: Triple
    std_rgb: Triple


class PatchcoreDecoder(Frozen):
    """How to read PatchCore's output: score = mean of the `top_patches` largest patch distances."""

    kind: Literal["patchcore"]
    top_patches: int = Field(ge=1)


class Threshold(Frozen):
    """Where `ng` starts, which policy put it there, and how much evidence stood behind it."""

    ng_at_or_above: float
    policy: ThresholdPolicy
    margin: float = Field(ge=0)  # how far it was moved for safety, see trainer/threshold.py
    n_good: int = Field(ge=0)  # good images whose scores were used
    n_defect: int = Field(ge=0)  # defect images whose scores were used
    recall_lower_95: float | None = Field(ge=0, le=1)  # Clopper-Pearson, one-sided; null without defects
    false_reject_upper_95: float = Field(ge=0, le=1)
    seen: tuple[Sha256, ...] = ()  # images whose scores put it there: later figures on them flatter


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
    """How to make this model again."""

    images: tuple[Sha256, ...] = Field(min_length=1)  # the good images learned from
    image_sizes_px: tuple[tuple[int, int], ...]  # (height, width), distinct
    backbone: str
    layers: tuple[str, ...]
    weights: Weights
    bank_vectors: int = Field(ge=1)
    augmentation: Augmentation
    seed: int
    versions: dict[str, str]


class Parity(Frozen):
    """How far torch and the IR were apart on native-resolution images when this was exported."""

    n_images: int = Field(ge=1)
    max_relative: float = Field(ge=0)
    label_flips: int = Field(ge=0)


class Golden(Frozen):
    """An image that travels with the model, and what the model must say of it on every device."""

    file: FileName
    score: float
    outcome: Outcome


class File(Frozen):
    """Hash and size of one file of the bundle."""

    sha256: Sha256
    bytes: int = Field(ge=0)


class Manifest(Frozen):
    """`manifest.json` of a bundle. It names every other file; nothing else may lie there."""

    schema_version: Literal[1] = SCHEMA_VERSION
    family: Family
    model: str
    created_at: AwareDatetime
    mekiki: str
    preprocess: Preprocess
    precision: Precision
    decoder: PatchcoreDecoder
    threshold: Threshold
    training: Training
    parity: Parity
    health: HealthLimits | None = None  # a picture outside is `unknown`; null: not checked
    golden: tuple[Golden, ...] = Field(min_length=1)
    files: dict[FileName, File]


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
        raise BundleError(f"{where}: {first_error(error)}; make the bundle again") from error


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
