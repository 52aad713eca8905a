"""Studies to report on: seeded random scores, and the figures that these scores really have."""

import hashlib
import math
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from models.threshold import Threshold
from tests.tiny import write_image
from trainer.conditions import Condition, eight
from trainer.evaluate import figures as evaluated
from trainer.study.types import (
    Candidate,
    Cell,
    DataSheet,
    Failure,
    Figures,
    Interval,
    Recommendation,
    ScoredPart,
    Study,
    Summary,
    Times,
    Verdict,
)
from trainer.threshold import lower_bound, normal_quantile, upper_bound

N_LEARN, N_GOOD, KINDS = 20, 21, {"scratch_neck": 25, "thread_side": 12}
PROTOCOLS = ("matched", "frozen")


def sha256(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def make_study(
    *,
    names: Sequence[str] = ("patchcore-320", "patchcore-448", "rtmdet"),
    conditions: Sequence[Condition] | None = None,
    protocols: Sequence[str] = PROTOCOLS,
    n_splits: int = 1,
    seed: int = 0,
    apart: float = 4.4,  # how far defects lie above good parts, in deviations; negative: worse than a coin
    review: float | None = None,  # share of the way from the good parts' middle up to the threshold
    choice: str | None = "patchcore-448",
    failed: Sequence[tuple[str, str, str]] = (),  # candidate, protocol, condition
    duplicates: Sequence[tuple[str, str]] = (),
    pictures: Path | None = None,  # a folder: the worst of each cell are drawn there
    cycle_time_s: float | None = 0.25,
    error: str = "the network computes NaN: fit again with other weights",
) -> Study:
    conditions = eight() if conditions is None else conditions
    cells, failures = [], []
    for index, name in enumerate(names):
        for protocol in protocols:
            for condition in conditions:
                for split in range(n_splits):
                    where = {"candidate": name, "split": split, "protocol": protocol, "condition": condition.name}
                    if (name, protocol, condition.name) in failed:
                        failures.append(Failure(**where, error=error))
                        continue
                    worse = (1.0 if protocol == "frozen" else 0.35) * len(condition.steps)
                    shift = apart * (1 + 0.12 * index) - math.copysign(worse * 0.7, apart)
                    drawn = zlib.crc32(condition.name.encode()) if condition.steps else 0
                    bundle = (seed, split, index, drawn if protocol == "matched" else 0)
                    scores = (*bundle, drawn)
                    cells.append(
                        _cell(
                            where,
                            bundle=bundle,
                            scored=scores,
                            shift=shift,
                            worse=worse,
                            review=review,
                            pictures=pictures,
                        )
                    )
    ranked = [choice, *(name for name in names if name != choice)] if choice else list(names)
    return Study(
        mekiki="0.1.0",
        versions={"openvino": "2026.4.1", "anomalib": "2.7.0", "torch": "2.15.0", "numpy": "2.4.6"},
        seed=seed,
        n_splits=n_splits,
        candidates=tuple(Candidate(name=n, family="anomaly", options={"image_size": 448, "bank": 3000}) for n in names),
        conditions=tuple(conditions),
        protocols=tuple(protocols),
        data=_sheet(duplicates),
        cells=tuple(cells),
        failures=tuple(failures),
        summaries=tuple(_summaries(cells)),
        recommendation=_recommendation(choice, ranked, cells),
        command=f"mekiki-train compare --data screws/ --limit 20 --candidates three.toml --seed {seed} --out study/",
        times=_times(names, cycle_time_s),
    )


def _cell(where, *, bundle, scored, shift, worse, review, pictures) -> Cell:
    """One bundle has one threshold; original pictures have the same scores in both protocols."""
    rng = np.random.default_rng(scored)
    labels = ["good"] * N_GOOD + [kind for kind, count in KINDS.items() for _ in range(count)]
    scores = [float(4 + rng.normal(0.25 * worse, 0.5) + (0.5 * shift if label != "good" else 0)) for label in labels]
    parts = tuple(
        ScoredPart(sha256=sha256(f"{label}/{i:03}.png"), label=label, score=max(score, 0.01))
        for i, (label, score) in enumerate(zip(labels, scores, strict=True))
    )
    learned = [float(4 + value) for value in np.random.default_rng(bundle).normal(0, 0.5, N_LEARN)]
    threshold = normal_quantile(learned)
    if review is not None:
        band = {"review_at_or_above": threshold.ng_at_or_above - review * (threshold.ng_at_or_above - 4)}
        threshold = Threshold.model_validate(threshold.model_dump() | band)
    drawn = {} if pictures is None else _draw(pictures, where, parts)
    return Cell(**where, threshold=threshold, figures=figures_of(parts, threshold), parts=parts, pictures=drawn)


def figures_of(parts: Sequence[ScoredPart], threshold: Threshold) -> Figures:
    good = [part.score for part in parts if part.label == "good"]
    defect = [part.score for part in parts if part.label != "good"]
    found = evaluated(good, defect, threshold.ng_at_or_above)
    labels, scores = [0] * len(good) + [1] * len(defect), [*good, *defect]
    auc = float(roc_auc_score(labels, scores))
    spread = 1.96 * math.sqrt(auc * (1 - auc) / min(len(good), len(defect)) + 1e-3)
    above = sum(score >= min(defect) for score in good)
    low, high = lower_bound(above, len(good), 0.975), upper_bound(above, len(good), 0.975)
    n = len(defect)
    return Figures(
        n_good=len(good),
        n_defect=n,
        roc_auc=Interval(value=auc, low=max(0, auc - spread), high=min(1, auc + spread)),
        average_precision=float(average_precision_score(labels, scores)),
        precision_at_recall_1=Interval(
            value=found["precision_at_recall_1"], low=n / (n + high * len(good)), high=n / (n + low * len(good))
        ),
        **{name: found[name] for name in ("threshold_at_recall_1", "f1", "recall", "recall_lower_95")},
        **{name: found[name] for name in ("false_rejects", "false_reject_upper_95")},
    )


def _draw(folder: Path, where, parts) -> dict[str, str]:
    """The three lowest defects and the three highest good parts, each a grey plate of its own."""
    good = sorted((p for p in parts if p.label == "good"), key=lambda p: -p.score)[:3]
    worst = good + sorted((p for p in parts if p.label != "good"), key=lambda p: p.score)[:3]
    drawn = {}
    for part in worst:
        name = f"pictures/{where['candidate']}-{where['protocol']}-{where['condition']}-{part.sha256[:8]}.png"
        grey = int(part.sha256[:2], 16)
        write_image(folder / name, np.full((48, 64, 3), grey, np.uint8))
        drawn[part.sha256] = name
    return drawn


def _summaries(cells: Sequence[Cell]) -> list[Summary]:
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.candidate, cell.protocol, cell.condition), []).append(cell)
    return [
        Summary(
            candidate=name,
            protocol=protocol,
            condition=condition,
            n_splits=len(some),
            roc_auc=_over([cell.figures.roc_auc for cell in some]),
            precision_at_recall_1=_over([cell.figures.precision_at_recall_1 for cell in some]),
            average_precision=_over([_exact(cell.figures.average_precision) for cell in some]),
            f1=_over([_exact(cell.figures.f1) for cell in some]),
            recall=_over([_share(round(c.figures.recall * c.figures.n_defect), c.figures.n_defect) for c in some]),
            false_reject_rate=_over([_share(cell.figures.false_rejects, cell.figures.n_good) for cell in some]),
        )
        for (name, protocol, condition), some in groups.items()
    ]


def _exact(value: float) -> Interval:
    return Interval(value=value, low=value, high=value)


def _share(hits: int, n: int) -> Interval:
    return Interval(value=hits / n, low=lower_bound(hits, n, 0.975), high=upper_bound(hits, n, 0.975))


def _over(intervals: Sequence[Interval]) -> Interval:
    mean = sum(one.value for one in intervals) / len(intervals)
    return Interval(value=mean, low=min(one.low for one in intervals), high=max(one.high for one in intervals))


def _sheet(duplicates) -> DataSheet:
    labels = ["good"] * N_GOOD + [kind for kind, count in KINDS.items() for _ in range(count)]
    tested = {sha256(f"{label}/{i:03}.png"): f"test/{label}/{i:03}.png" for i, label in enumerate(labels)}
    learned = {sha256(f"train/{i:03}"): f"train/good/{i:03}.png" for i in range(N_LEARN)}
    return DataSheet(
        root="screws",
        n_learn_good=N_LEARN,
        n_learn_defect=0,
        n_test_good=N_GOOD,
        defects=KINDS,
        sizes_px=((1024, 1024),),
        has_boxes=False,
        has_masks=True,
        duplicates=tuple(duplicates),
        near_duplicates=tuple(duplicates),
        images={**learned, **tested},
    )


def _recommendation(choice: str | None, ranked: Sequence[str], cells: Sequence[Cell]) -> Recommendation:
    n = sum(KINDS.values())
    return Recommendation(
        choice=choice,
        ranking=tuple(Verdict(candidate=name, reasons=_reasons(name, cells)) for name in ranked),
        why=(f"{choice} is the first of those that fit.",) if choice else ("No candidate rejects all defects.",),
        surer=(f"{n} of {n} supports a recall of {lower_bound(n, n):.2f}; 59 without a miss would support 0.95.",),
    )


def _reasons(name: str, cells: Sequence[Cell]) -> tuple[str, ...]:
    first = next((cell.figures for cell in cells if cell.candidate == name), None)
    if first is None:
        return ("Nothing of it could be measured.",)
    return (
        f"It rejects {round(first.recall * first.n_defect)} of {first.n_defect} defects: a recall of at least "
        f"{first.recall_lower_95:.2f} with 95 % confidence.",
    )


def _times(names: Sequence[str], cycle_time_s: float | None) -> Times:
    p50 = {name: 0.06 * 1.9**index for index, name in enumerate(names)}
    return Times(
        created_at=datetime(2026, 11, 24, 9, 30, tzinfo=UTC),
        device="CPU",
        machine="a processor with 2 cores, 8 GB",
        cycle_time_s=cycle_time_s,
        took_s=1571.2,
        fit_s={name: 61.5 + index for index, name in enumerate(names)},
        latency_s={name: {"p50": t, "p95": 1.15 * t, "p99": 1.4 * t} for name, t in p50.items()},
        throughput_per_s={name: 1.6 / t for name, t in p50.items()},
        memory_bytes={name: 180_000_000 + 40_000_000 * index for index, name in enumerate(names)},
        feasible={} if cycle_time_s is None else {name: 1.4 * t <= cycle_time_s for name, t in p50.items()},
    )
