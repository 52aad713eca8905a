"""What a study found, as `study.json` keeps it: the report and whoever repeats it read this and nothing else.

Two runs with one seed give the same file but for `times`.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import AwareDatetime, Field

from models.base import Frozen, Sha256
from models.manifest import Family, Threshold
from trainer.conditions import Condition

SCHEMA_VERSION: Final = 1
Protocol = Literal["matched", "frozen"]  # DESIGN.md: trained under the condition; trained clean, then tested under it


class Candidate(Frozen):
    """One model to try: the options of `mekiki-train fit`, by the names of its flags."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    family: Family
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)


class Interval(Frozen):
    """A figure and how sure it is: two-sided, 95 %, over the `n` parts that it was measured on."""

    value: float
    low: float
    high: float


class ScoredPart(Frozen):
    """One test image and what the shipped IR says of it."""

    sha256: Sha256  # of the image as it was given, before the condition
    label: str  # "good" or the defect's name
    score: float
    lost: bool = False  # no part was found: `unknown` on the line at any threshold, counted as rejected here


class Figures(Frozen):
    """What one bundle is worth on one set of pictures; all from the scores and the threshold beside them."""

    n_good: int
    n_defect: int
    roc_auc: Interval
    average_precision: float
    precision_at_recall_1: Interval
    threshold_at_recall_1: float
    f1: float  # from here on at the shipped threshold
    recall: float
    recall_lower_95: float  # one-sided, Clopper-Pearson
    false_rejects: int
    false_reject_upper_95: float
    aupro: float | None = None  # per-region overlap up to 30 % false positives; null without masks or heatmap


class Cell(Frozen):
    """One bundle under one condition."""

    candidate: str
    split: int
    protocol: Protocol
    condition: str
    threshold: Threshold
    figures: Figures
    parts: tuple[ScoredPart, ...]
    pictures: dict[Sha256, str] = Field(
        default_factory=dict
    )  # of the parts that went wrong most: path from study.json to heatmap or boxes


class Failure(Frozen):
    """What could not be measured, and why: a study goes on without it."""

    candidate: str
    split: int
    protocol: Protocol
    condition: str
    error: str


class Summary(Frozen):
    """A candidate under a condition over all splits: the mean, and the worst that any split and interval allow."""

    candidate: str
    protocol: Protocol
    condition: str
    n_splits: int
    roc_auc: Interval
    average_precision: Interval
    precision_at_recall_1: Interval
    f1: Interval
    recall: Interval
    false_reject_rate: Interval


class DataSheet(Frozen):
    """What was learned from and tested on."""

    root: str  # name of the folder, not its path
    n_learn_good: int
    n_learn_defect: int
    n_test_good: int
    defects: dict[str, int]  # kind -> images to test
    sizes_px: tuple[tuple[int, int], ...]  # (height, width), distinct
    has_boxes: bool
    has_masks: bool
    duplicates: tuple[tuple[str, str], ...]  # names of pictures with the same pixels, one of them learned from
    near_duplicates: tuple[tuple[str, str], ...]  # that look alike to a perceptual hash
    images: dict[Sha256, str]  # every image, by its name under the folder


class Verdict(Frozen):
    """How one candidate fared in the choice."""

    candidate: str
    reasons: tuple[str, ...]  # one sentence each, English; figures inside


class Recommendation(Frozen):
    """Feasible first, then recall, then precision, then robustness; `choice` is null for "none of these yet"."""

    choice: str | None
    ranking: tuple[Verdict, ...]  # best first
    why: tuple[str, ...]
    surer: tuple[str, ...]  # what would make it surer: how many more defects, which pictures


class Times(Frozen):
    """All that differs from run to run."""

    created_at: AwareDatetime
    device: str
    machine: str  # processor, cores, memory
    cycle_time_s: float | None
    took_s: float
    fit_s: dict[str, float]  # candidate -> mean seconds a fit
    latency_s: dict[str, dict[str, float]]  # candidate -> p50, p95, p99 of one part, one after another
    throughput_per_s: dict[str, float]  # parts, with as many requests as the device wants
    memory_bytes: dict[str, int]  # growth of a fresh process by the compiled model
    feasible: dict[str, bool]


class Study(Frozen):
    """`study.json`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    mekiki: str
    versions: dict[str, str]
    seed: int
    n_splits: int
    candidates: tuple[Candidate, ...]
    conditions: tuple[Condition, ...]
    protocols: tuple[Protocol, ...]
    data: DataSheet
    cells: tuple[Cell, ...]
    failures: tuple[Failure, ...]
    summaries: tuple[Summary, ...]
    recommendation: Recommendation
    command: str  # that makes this again
    times: Times
