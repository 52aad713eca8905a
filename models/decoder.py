"""How the numbers of a graph are read, as the manifest keeps it; `models/decoding.py` reads them."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints, field_validator

from models.base import Frozen

GOOD: Final = "good"  # the label of a part without a defect


class PatchcoreDecoder(Frozen):
    """How to read PatchCore's output: score = mean of the `top_patches` largest patch distances."""

    kind: Literal["patchcore"]
    top_patches: int = Field(ge=1)


class HeatmapDecoder(Frozen):
    """How to read a heatmap: score = mean of the `top_cells` highest cells."""

    kind: Literal["heatmap"]
    top_cells: int = Field(ge=1)


def _unique(labels: tuple[str, ...]) -> tuple[str, ...]:
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise ValueError(f"{twice[0]!r:.60} stands there twice, each label is wanted once")
    return labels


Label = Annotated[str, StringConstraints(min_length=1)]
Labels = Annotated[tuple[Label, ...], AfterValidator(_unique)]  # by the graph's index


class BoxesDecoder(Frozen):
    """How to read a detector's outputs: score = that of the best box, 0 without one."""

    kind: Literal["boxes"]
    labels: Labels = Field(min_length=1)
    score_floor: float = Field(ge=0, le=1)  # boxes at or under it are none


class LabelDecoder(Frozen):
    """How to read a classifier's probabilities: score = 1 - that of the first label, which is "good"."""

    kind: Literal["label"]
    labels: Labels = Field(min_length=2)

    @field_validator("labels")
    @classmethod
    def _good_first(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if labels[0] != GOOD:
            raise ValueError(f"the first label is {labels[0]!r:.60}, {GOOD!r} was wanted")
        return labels


Decoder = Annotated[PatchcoreDecoder | HeatmapDecoder | BoxesDecoder | LabelDecoder, Field(discriminator="kind")]
