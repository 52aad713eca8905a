"""Which candidate, why, and what would make it surer. The same findings give the same words, in each language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainer.conditions import ORIGINAL
from trainer.policy import defects_needed, good_needed
from trainer.study.phrases import Phrases
from trainer.study.types import Candidate, Cell, Failure, Interval, Recommendation, Summary, Verdict
from trainer.threshold import lower_bound, upper_bound

WANTED_RECALL, WANTED_FALSE_REJECTS = 0.95, 0.05  # that one would like to have proven
_LEAST_PRECISION = 0.5  # at recall 1: under it, more good parts than defects are rejected
_CHANCE = 0.5
_FEW_SPLITS = 3


@dataclass(frozen=True, slots=True)
class Findings:
    """All that the choice rests on."""

    candidates: Sequence[Candidate]
    cells: Sequence[Cell]
    summaries: Sequence[Summary]
    failures: Sequence[Failure]
    feasible: Mapping[str, bool]  # candidate -> whether it fits the cycle; one that is missing does


@dataclass(frozen=True, slots=True)
class _Record:
    """How one candidate fared."""

    name: str
    is_feasible: bool
    auc: Interval
    precision: Interval
    missed: int  # at the shipped threshold, over all splits, on the pictures as they are
    n_defect: int
    rejected: int
    n_good: int
    least: tuple[int, int]  # defects and good parts of the smallest split
    n_splits: int
    policies: tuple[str, ...]
    worst: Summary | None  # under a condition; None: under none was it tested
    matched: Summary | None  # under that same condition, trained under it
    failed: int

    @property
    def order(self) -> tuple[float, ...]:
        """Lowest first: feasible, then recall, precision at recall 1, robustness; the name decides what is left.

        Recall is for those that tell good from bad at all: who rejects everything misses nothing.
        """
        robust = self.worst.roc_auc.value if self.worst else self.auc.value
        return (not self.is_feasible, self.is_blind, -self.recall, -self.precision.value, -robust, -self.auc.value)

    @property
    def recall(self) -> float:
        return 1 - self.missed / self.n_defect

    @property
    def is_blind(self) -> bool:
        """Whether it does not even on these pictures tell good from bad."""
        return self.auc.value <= _CHANCE or self.precision.value < _LEAST_PRECISION


def recommend(found: Findings, cycle_time_s: float | None, say: Phrases | None = None) -> Recommendation:
    """The best candidate, or none where even that one is too slow, misses defects, or is no better than chance.

    In English, as `study.json` holds it, unless other phrases are given.
    """
    say = say or Phrases.of("en")
    records = [_record(one.name, found) for one in found.candidates]
    ranked = sorted((one for one in records if one is not None), key=lambda record: (record.order, record.name))
    measured = {record.name for record in ranked}
    timed = cycle_time_s is not None
    ranking = [Verdict(candidate=record.name, reasons=tuple(_reasons(record, timed, say))) for record in ranked]
    ranking += [_not_measured(one.name, found.failures, say) for one in found.candidates if one.name not in measured]
    if not ranked:
        why, surer = (say("none_measured"),), (say("none_measured_surer"),)
        return Recommendation(choice=None, ranking=tuple(ranking), why=why, surer=surer)
    best = ranked[0]
    objections = _objections(best, say)
    return Recommendation(
        choice=None if objections else best.name,
        ranking=tuple(ranking),
        why=tuple(_why_not(ranked, objections, say) if objections else _why(ranked, timed, say)),
        surer=tuple(_surer(best, say)),
    )


def _record(name: str, found: Findings) -> _Record | None:
    """None where it was not measured on the pictures as they are."""
    own = [summary for summary in found.summaries if summary.candidate == name]
    original = next((summary for summary in own if summary.condition == ORIGINAL), None)
    if original is None:
        return None
    plain = [cell for cell in found.cells if (cell.candidate, cell.condition) == (name, ORIGINAL)]
    plain = [cell for cell in plain if cell.protocol == original.protocol]
    tested = [cell.figures for cell in plain]
    disturbed = [summary for summary in own if summary.protocol == "frozen" and summary.condition != ORIGINAL]
    worst = min(disturbed, key=lambda summary: summary.roc_auc.value, default=None)
    learned = [s for s in own if worst and s.protocol == "matched" and s.condition == worst.condition]
    return _Record(
        name=name,
        is_feasible=found.feasible.get(name, True),
        auc=original.roc_auc,
        precision=original.precision_at_recall_1,
        missed=sum(round((1 - one.recall) * one.n_defect) for one in tested),
        n_defect=sum(one.n_defect for one in tested),
        rejected=sum(one.false_rejects for one in tested),
        n_good=sum(one.n_good for one in tested),
        least=(min(one.n_defect for one in tested), min(one.n_good for one in tested)),
        n_splits=len(tested),
        policies=tuple(sorted({cell.threshold.policy for cell in plain})),
        worst=worst,
        matched=learned[0] if learned else None,
        failed=sum(failure.candidate == name for failure in found.failures),
    )


def _objections(record: _Record, say: Phrases) -> list[str]:
    """Why it should not be chosen, best as it may be."""
    found = [] if record.is_feasible else [say("objection_slow")]
    if record.missed:
        found.append(say("objection_misses", missed=record.missed, n_defect=record.n_defect))
    if record.auc.low <= _CHANCE:
        found.append(say("objection_chance", auc=record.auc.value, low=record.auc.low))
    if record.precision.value < _LEAST_PRECISION:
        found.append(say("objection_precision", precision=record.precision.value))
    return found


def _reasons(record: _Record, has_cycle_time: bool, say: Phrases) -> list[str]:
    caught, n_defect = record.n_defect - record.missed, record.n_defect
    found = [say("fits" if record.is_feasible else "too_slow")] if has_cycle_time else []
    found.append(say("caught", caught=caught, n_defect=n_defect, rejected=record.rejected, n_good=record.n_good))
    found.append(say("precision_and_auc", precision=say.interval(record.precision), auc=say.interval(record.auc)))
    if record.worst is not None:
        found.append(_learned_or_not("worst", "worst_and_learned", record.worst, record, say))
    if record.failed:
        found.append(say("failed", failed=record.failed))
    return found


def _learned_or_not(key: str, learned_key: str, worst: Summary, record: _Record, say: Phrases) -> str:
    """Of the worst condition; with what learning it would bring, where that was measured."""
    told: dict[str, str | float] = {
        "condition": say.title(worst.condition),
        "before": record.auc.value,
        "frozen": worst.roc_auc.value,
    }
    if record.matched is None:
        return say(key, **told)
    return say(learned_key, **told, matched=record.matched.roc_auc.value)


def _not_measured(name: str, failures: Sequence[Failure], say: Phrases) -> Verdict:
    errors = sorted({failure.error for failure in failures if failure.candidate == name})
    return Verdict(candidate=name, reasons=(say("not_measured", error=errors[0] if errors else say("not_tested")),))


def _why_not(ranked: Sequence[_Record], objections: Sequence[str], say: Phrases) -> list[str]:
    key = "none_of_one" if len(ranked) == 1 else "none_of_all"
    return [say(key, name=ranked[0].name, objections=say.listed(objections))]


def _why(ranked: Sequence[_Record], has_cycle_time: bool, say: Phrases) -> list[str]:
    best = ranked[0]
    key = "best_and_fits" if has_cycle_time else "best"
    found = [say(key, name=best.name, n_defect=best.n_defect, precision=say.interval(best.precision))]
    return found + ([_against(best, ranked[1], say)] if len(ranked) > 1 else [])


def _against(best: _Record, other: _Record, say: Phrases) -> str:
    """What put it before the next one; the first difference in the order of the choice."""
    name = other.name
    if not other.is_feasible:
        return say("next_slow", name=name)
    if other.missed:
        return say("next_misses", name=name, missed=other.missed, n_defect=other.n_defect)
    if other.precision.value < best.precision.value:
        overlaps = other.precision.high >= best.precision.low
        key = "next_precision_near" if overlaps else "next_precision"
        return say(key, name=name, precision=say.interval(other.precision))
    if best.worst and other.worst and other.worst.roc_auc.value < best.worst.roc_auc.value:
        theirs, ours = other.worst.roc_auc.value, best.worst.roc_auc.value
        condition = say.title(other.worst.condition)
        return say("next_robust", name=name, condition=condition, theirs=theirs, ours=ours)
    return say("next_equal", name=name)


def _surer(best: _Record, say: Phrases) -> list[str]:
    n_defect, n_good = best.least
    found = []
    if best.missed:
        found.append(say("surer_misses", missed=best.missed, n_defect=best.n_defect))
        if "normal_quantile" in best.policies:
            found.append(say("surer_threshold"))
    elif (proven := lower_bound(n_defect, n_defect)) < WANTED_RECALL:
        needed = defects_needed(WANTED_RECALL)
        found.append(say("surer_recall", n=n_defect, proven=proven, needed=needed, wanted=WANTED_RECALL))
    found.append(_about_rejects(best, n_good, say))
    if best.n_splits < _FEW_SPLITS:
        once = best.n_splits == 1
        found.append(say("surer_drawn_once") if once else say("surer_drawn", times=best.n_splits))
    if best.worst is not None and best.worst.roc_auc.value < best.auc.low:
        found.append(_learned_or_not("surer_condition", "surer_condition_learned", best.worst, best, say))
    return found


def _about_rejects(best: _Record, n_good: int, say: Phrases) -> str:
    rate = best.rejected / best.n_good
    most = upper_bound(round(rate * n_good), n_good)
    needed, wanted = good_needed(WANTED_FALSE_REJECTS), WANTED_FALSE_REJECTS
    return say("surer_rejects", rejected=best.rejected, n_good=best.n_good, most=most, needed=needed, wanted=wanted)
