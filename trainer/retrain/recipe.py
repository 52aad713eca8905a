"""What a bundle's manifest says of how it was made, as options of `mekiki-train fit`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from models.errors import ConfigError
from models.files import sha256_of
from models.manifest import Manifest
from models.training import Augmentation, DetectionTraining, HeatmapTraining, SupervisedTraining, Training
from trainer.fit_command import options_of
from trainer.options import Common

_OF_FIT = ("recall_1", "normal_quantile")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Flags of `fit` by their names, and what of the old bundle they cannot say."""

    family: str
    flags: Mapping[str, str | float | bool]
    seed: int
    compatible: str | None
    notes: tuple[str, ...]

    def options(self, data: Path, out: Path) -> Common:
        """As a person would have typed them."""
        options = options_of(self.family, self.flags, data=data, out=out)
        return replace(options, seed=self.seed, compatible=self.compatible)


def recipe_of(manifest: Manifest, weights: Path | None, *, has_defects: bool = True) -> Recipe:
    """`weights` is the file that was given then; its hash must be the one that the manifest names. `has_defects`:
    whether there are any among what is learned from, as recall_1 wants them.

    Raises ConfigError where the file is wanted and not given, or another one.
    """
    training, notes = manifest.training, []
    flags: dict[str, str | float | bool] = {"model": manifest.model}
    flags["image_size"] = max(manifest.preprocess.height_px, manifest.preprocess.width_px)
    flags |= _own(manifest)
    if manifest.variants:
        flags["also"] = ",".join(variant.precision for variant in manifest.variants)
        notes.append(f"both are compared at {manifest.precision}; their further precisions ({flags['also']}) are not")
    if file := _weights(manifest, weights):
        flags["weights"] = str(file)
    if manifest.threshold.policy in _OF_FIT:
        flags["policy"] = manifest.threshold.policy if has_defects else "auto"
    else:
        notes.append(
            f"the threshold of the old bundle was put by `mekiki-train threshold` ({manifest.threshold.policy}), the "
            "new one by fit: put it likewise before you push"
        )
    if manifest.threshold.review_at_or_above is not None:
        notes.append("the old bundle has a review band, the new one none: give it one with `mekiki-train threshold`")
    return Recipe(manifest.family, flags, training.seed, manifest.compatible, tuple(notes))


def _own(manifest: Manifest) -> dict[str, str | float | bool]:
    """What only this family takes."""
    own: dict[str, str | float | bool]
    training = manifest.training
    match training:
        case Training():
            own = {"bank": training.bank_vectors, "precision": manifest.precision}
            own |= {} if training.feature_width is None else {"feature_width": training.feature_width}
            return own | {"backbone": training.backbone} | _looks(manifest, training.augmentation)
        case HeatmapTraining():
            own = {} if training.backbone is None else {"backbone": training.backbone}
            own |= {"steps": training.steps, "batch": training.batch} if training.steps else {}
            return own | _looks(manifest, training.augmentation)
        case DetectionTraining():
            one_class = training.classes == ("defect",)
            return {"steps": training.steps, "batch": training.batch, "one_class": one_class}
        case SupervisedTraining():
            return {"backbone": training.backbone, "steps": training.steps, "batch": training.batch}


def _looks(manifest: Manifest, views: Augmentation) -> dict[str, str | float | bool]:
    """A single view that varied a little is what `auto` makes of parts that all lie alike."""
    varied = "auto" if views.shift or views.brightness else "off"
    upright = "off" if manifest.pose is None else "on"
    return {"upright": upright, "augment": "on" if len(views.angles_deg) > 1 else varied}


def _weights(manifest: Manifest, given: Path | None) -> Path | None:
    """What the fit must be given: the file that was, of which only the name is known."""
    wanted = manifest.training.weights
    if given is None:
        if wanted.source == "path":
            sha256 = (wanted.sha256 or "")[:12]
            raise ConfigError(f"--weights: the bundle was made with a file {wanted.name}, sha256 {sha256}; give it")
        return None
    if not given.is_file():
        raise ConfigError(f"--weights {given}: no such file")
    if (got := sha256_of(given)) != wanted.sha256:
        raise ConfigError(
            f"--weights {given}: sha256 {got[:12]}, the bundle was made with {(wanted.sha256 or 'none')[:12]} "
            f"({wanted.source}, {wanted.name}); give that one"
        )
    return given
