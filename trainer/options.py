"""What a person may choose for a fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FitOptions:
    """`mekiki-train fit`'s arguments; None or "auto" leaves the choice to the data."""

    data: Path
    out: Path
    backbone: str = "resnet18"
    weights: Path | None = None
    allow_hub: bool = False
    image_size: int | None = None
    cycle_time_s: float = 1.0
    bank: int = 10_000
    augment: str = "auto"
    policy: str = "auto"
    limit: int | None = None
    seed: int = 0

    @property
    def report(self) -> Path:
        """Where the pictures go: beside the bundle, which holds only what a box needs."""
        return self.out.with_name(self.out.name + ".report")
