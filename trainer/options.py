"""What a person may choose for a fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.variant import Precision

AnomalyModel = Literal["patchcore", "padim", "stfpm", "supersimplenet", "draem"]
SupervisedFamily = Literal["classification", "segmentation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What every family asks; None or "auto" leaves the choice to the data."""

    data: Path
    out: Path
    weights: Path | None = None
    allow_hub: bool = False
    image_size: int | None = None
    policy: str = "auto"
    compatible: str | None = None
    limit: int | None = None
    seed: int = 0
    also: tuple[Precision, ...] = ()

    @property
    def report(self) -> Path:
        """Where the pictures go: beside the bundle, which holds only what a box needs."""
        return self.out.with_name(self.out.name + ".report")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions(Common):
    """`mekiki-train fit --family anomaly`."""

    model: AnomalyModel = "patchcore"
    backbone: str = "resnet18"
    cycle_time_s: float = 1.0
    bank: int | None = None
    feature_width: int | None = None
    precision: Literal["f32", "bf16"] = "f32"
    augment: str = "auto"
    upright: str = "auto"
    steps: int | None = None
    batch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionOptions(Common):
    """`mekiki-train fit --family detection`."""

    model: str = "rtmdet-tiny"
    steps: int | None = None
    batch: int | None = None
    merge_px: float | None = None
    one_class: bool = False

    @property
    def training(self) -> Path:
        """Where an interrupted training waits to be gone on with. It goes when the bundle is there."""
        return self.out.with_name(self.out.name + ".training")


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedOptions(Common):
    """`mekiki-train fit --family classification` and `--family segmentation`."""

    family: SupervisedFamily
    model: str
    backbone: str = "resnet18"
    steps: int | None = None
    batch: int | None = None
