"""The recommendation as figures: who stands where in the order of the choice, and which thresholds were put."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.conditions import ORIGINAL
from trainer.policy import asked_words
from trainer.study.phrases import Lang, Phrases
from trainer.study.recommend import Findings, recommend
from trainer.study.report.found import Found
from trainer.study.report.matrix import Entry
from trainer.study.report.numbers import NOTHING, bounds, milliseconds, share
from trainer.study.types import Cell, Interval, Recommendation, Summary


@dataclass(frozen=True, slots=True)
class Place:
    """One candidate in the ranking, by what it is ranked by."""

    candidate: str
    index: int  # of its colour
    chosen: bool
    feasible: bool | None
    latency: str  # p99
    recall: Entry
    precision: Entry
    worst: Entry  # AUC
    worst_condition: str
    reasons: tuple[str, ...]


def told_in(found: Found, lang: Lang) -> tuple[Recommendation, Lang]:
    """The recommendation in `lang`, or in the study's own English where this mekiki would not recommend the same."""
    own, study = found.study.recommendation, found.study
    facts = Findings(study.candidates, study.cells, study.summaries, study.failures, study.times.feasible)
    if lang == "en" or not study.cells:
        return own, "en"
    told = recommend(facts, study.times.cycle_time_s, Phrases.of(lang, found.condition_title))
    same = (told.choice, _order(told)) == (own.choice, _order(own))
    return (told, lang) if same else (own, "en")


def _order(recommendation: Recommendation) -> list[str]:
    return [verdict.candidate for verdict in recommendation.ranking]


def places(found: Found, told: Recommendation) -> list[Place]:
    """Best first, as the study ranked them."""
    return [
        _place(found, verdict.candidate, verdict.reasons)
        for verdict in told.ranking
        if verdict.candidate in found.candidates
    ]


def _place(found: Found, name: str, reasons: tuple[str, ...]) -> Place:
    times = found.study.times
    base, worst = found.summary(name, found.reference, found.base), found.worst(name, found.reference, "roc_auc")
    latency = times.latency_s.get(name)
    return Place(
        candidate=name,
        index=found.index(name),
        chosen=name == found.study.recommendation.choice,
        feasible=times.feasible.get(name) if times.cycle_time_s is not None else None,
        latency=milliseconds(latency["p99"]) if latency else NOTHING,
        recall=_mean(base, "recall"),
        precision=_mean(base, "precision_at_recall_1"),
        worst=_mean(worst, "roc_auc"),
        worst_condition=found.condition_title(worst.condition) if worst else "",
        reasons=reasons,
    )


def _mean(summary: Summary | None, figure: str) -> Entry:
    if summary is None:
        return Entry(NOTHING)
    interval: Interval = getattr(summary, figure)
    return Entry(share(interval.value), bounds(interval))


@dataclass(frozen=True, slots=True)
class Put:
    """One threshold of one bundle, and what it did to the pictures that it was tested on."""

    cell: Cell
    index: int
    where: str  # under which condition it was trained, as a person calls it
    is_base: bool  # whether that is the one that others are held against
    policy: str
    asked: str


def thresholds(found: Found) -> list[Put]:
    """One for each bundle: of the frozen protocol one a split, of the matched one also one a condition."""
    put: dict[tuple[object, ...], Put] = {}
    for index, name in enumerate(found.candidates):
        for condition in found.conditions:
            for protocol in found.shown_protocols(condition):
                for cell in found.cells(name, protocol, condition):
                    where = condition if protocol == "matched" else ORIGINAL
                    entry = Put(
                        cell,
                        index,
                        found.condition_title(where),
                        where in (ORIGINAL, found.base),
                        *_policy(found, cell),
                    )
                    put.setdefault((name, cell.split, where, cell.threshold), entry)
    return list(put.values())


def _policy(found: Found, cell: Cell) -> tuple[str, str]:
    policy, asked = cell.threshold.policy, cell.threshold.asked
    return found.words[f"policy_{policy}"], asked_words(asked) if asked else ""
