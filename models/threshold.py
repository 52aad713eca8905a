"""Where `ng` starts, who put it there, and what stood behind it, as the manifest keeps it."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from models.base import Frozen, Sha256
from models.drift import Usual

ThresholdPolicy = Literal["recall_1", "normal_quantile", "recall", "false_rejects", "fixed"]
LEAST_SHARE: Final = 1e-6  # nearer to 0 or 1, no number of images would prove it
Share = Annotated[float, Field(ge=LEAST_SHARE, le=1 - LEAST_SHARE)]


class Asked(Frozen):
    """What a person asked of the policy, see trainer/policy.py; null where it was not asked."""

    margin: float | None = Field(default=None, ge=0, le=1)  # of recall_1, at least
    recall: Share | None = None  # at least
    false_rejects: Share | None = None  # at most, as a share of the good parts
    confidence: Share | None = None  # one-sided, with which the shares here hold
    at: float | None = None
    review_from: float | None = None
    review_false_rejects: Share | None = None  # at most, as a share of the good parts: those that are not `ok`


class Threshold(Frozen):
    """Where `ng` starts, which policy put it there, and how much evidence stood behind it."""

    ng_at_or_above: float
    review_at_or_above: float | None = None  # from here up to `ng` a person looks; null: all below `ng` is `ok`
    policy: ThresholdPolicy
    margin: float = Field(ge=0)  # how far it was moved for safety, see trainer/threshold.py
    n_good: int = Field(ge=0)  # good images whose scores were used
    n_defect: int = Field(ge=0)  # defect images whose scores were used
    recall_lower_95: float | None = Field(ge=0, le=1)  # Clopper-Pearson, one-sided; null without defects
    false_reject_upper_95: float = Field(ge=0, le=1)
    usual: Usual | None = None  # of the scores of those good images: what drift is measured against; null: they repeat
    seen: tuple[Sha256, ...] = ()  # images whose scores put it there: later figures on them flatter
    asked: Asked | None = None  # null: nothing, the policy has its own numbers

    @model_validator(mode="after")
    def _review_is_below(self) -> Self:
        if self.review_at_or_above is not None and not self.review_at_or_above < self.ng_at_or_above:
            raise ValueError(f"review_at_or_above {self.review_at_or_above:g} is not below {self.ng_at_or_above:g}")
        return self
