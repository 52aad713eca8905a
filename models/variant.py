"""The precisions of one fit in one bundle: each has its own graph, scores and threshold, as the manifest keeps them.

The manifest itself reads as the main one; `Bundle.at` gives the bundle as it reads for another.
"""

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from models.base import Frozen, Sha256
from models.threshold import Threshold
from models.training import AnyParity
from models.verdict import Outcome

MODEL_XML: Final = "model.xml"  # the graph of the main one
# Plain names in at most one folder: no absolute path, no `..`, nothing hidden.
_NAME: Final = r"([A-Za-z0-9_-][A-Za-z0-9_.-]*/)?[A-Za-z0-9_-][A-Za-z0-9_.-]*"
FileName = Annotated[str, StringConstraints(pattern=rf"^{_NAME}$")]
GraphName = Annotated[str, StringConstraints(pattern=rf"^{_NAME}\.xml$")]
Arithmetic = Literal["f32", "f16", "bf16"]  # what a device may be told to compute with
Precision = Literal["f32", "f16", "bf16", "int8"]  # int8: what is quantised; the rest is told apart by `hint`


def weights_of(graph: str) -> str:
    """The file that lies beside a graph's."""
    return graph.removesuffix(".xml") + ".bin"


def arithmetic_of(precision: Precision, hint: Arithmetic | None = None) -> Arithmetic:
    """What a device is told to compute with: the hint, else the precision itself, and f32 beside what is int8."""
    if hint is not None:
        return hint
    return "f32" if precision == "int8" else precision


class Golden(Frozen):
    """An image that travels with the model, and what the model must say of it on every device."""

    file: FileName
    score: float
    outcome: Outcome


class Decision(Frozen):
    """How well it decided on the images of the calibration split; null where that showed no defects."""

    auc: float | None = Field(ge=0, le=1)
    recall: float | None = Field(ge=0, le=1)  # at its threshold


class Quantization(Frozen):
    """What was done to the graph, and what that did to the decision."""

    method: Annotated[str, StringConstraints(min_length=1)]
    nncf: str  # version
    images: tuple[Sha256, ...] = Field(min_length=1)  # calibrated on; all of them were learned from
    kept: tuple[str, ...] = ()  # layers left in higher precision, by their names in the graph
    before: Decision
    after: Decision


class Variant(Frozen):
    """One more precision of the fit. What is not said here is as the manifest says."""

    precision: Precision
    model: GraphName  # its weights lie beside it
    hint: Arithmetic  # what the device is told; of int8 for the layers that are not quantised
    threshold: Threshold
    golden: tuple[Golden, ...] = Field(min_length=1)  # the manifest's images, with scores of its own
    parity: AnyParity
    quantization: Quantization | None = None
