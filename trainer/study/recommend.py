"""Which candidate, why, and what would make it surer. Pure: the same findings give the same words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainer.conditions import ORIGINAL
from trainer.policy import defects_needed, good_needed
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

    @property
    def objections(self) -> list[str]:
        """Why it should not be chosen, best as it may be."""
        found = [] if self.is_feasible else ["it does not fit the cycle time"]
        if self.missed:
            found.append(f"it misses {self.missed} of {self.n_defect} defects at its own threshold")
        if self.auc.low <= _CHANCE:
            found.append(f"its AUC of {self.auc.value:.3f} is not surely better than chance (from {self.auc.low:.2f})")
        if self.precision.value < _LEAST_PRECISION:
            found.append(f"to catch every defect, it rejects more good parts than it catches defects "
                         f"(precision at recall 1 is {self.precision.value:.2f})")  # fmt: skip
        return found


def recommend(found: Findings, cycle_time_s: float | None) -> Recommendation:
    """The best candidate, or none where even that one is too slow, misses defects, or is no better than chance."""
    records = [_record(one.name, found) for one in found.candidates]
    ranked = sorted((one for one in records if one is not None), key=lambda record: (record.order, record.name))
    measured = {record.name for record in ranked}
    timed = cycle_time_s is not None
    ranking = [Verdict(candidate=record.name, reasons=tuple(_reasons(record, timed))) for record in ranked]
    ranking += [_not_measured(one.name, found.failures) for one in found.candidates if one.name not in measured]
    if not ranked:
        return Recommendation(
            choice=None,
            ranking=tuple(ranking),
            why=("None of these yet: no candidate could be measured.",),
            surer=("See the failures, put right what they name, and run the same command again.",),
        )
    best = ranked[0]
    return Recommendation(
        choice=None if best.objections else best.name,
        ranking=tuple(ranking),
        why=tuple(_why(ranked, timed)),
        surer=tuple(_surer(best)),
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


def _reasons(record: _Record, has_cycle_time: bool) -> list[str]:
    found = []
    if has_cycle_time:
        found.append("It fits the cycle time." if record.is_feasible else "It does not fit the cycle time.")
    found.append(
        f"At its own threshold it catches {record.n_defect - record.missed} of {record.n_defect} defects and rejects "
        f"{record.rejected} of {record.n_good} good parts."
    )
    found.append(f"Its precision at recall 1 is {_words(record.precision)}, its AUC {_words(record.auc)}.")
    if record.worst is not None:
        found.append(
            f"Under {record.worst.condition}, its worst condition, without learning it, its AUC is "
            f"{record.worst.roc_auc.value:.3f}" + _if_learned(record) + "."
        )
    if record.failed:
        found.append(f"{record.failed} of its measurements failed.")
    return found


def _if_learned(record: _Record) -> str:
    return "" if record.matched is None else f"; learned from such pictures, {record.matched.roc_auc.value:.3f}"


def _not_measured(name: str, failures: Sequence[Failure]) -> Verdict:
    errors = sorted({failure.error for failure in failures if failure.candidate == name})
    return Verdict(candidate=name, reasons=(f"It could not be measured: {errors[0] if errors else 'not tested'}",))


def _why(ranked: Sequence[_Record], has_cycle_time: bool) -> list[str]:
    best = ranked[0]
    if best.objections:
        if len(ranked) == 1:
            return [f"None of these yet: {best.name}, the only one measured, is not fit: {_listed(best.objections)}."]
        return [f"None of these yet: the best of them is {best.name}: {_listed(best.objections)}."]
    fits = "It fits the cycle time; it" if has_cycle_time else "It"
    found = [
        f"{best.name}: {fits} misses none of {best.n_defect} defects at its own threshold, with a precision at "
        f"recall 1 of {_words(best.precision)}."
    ]
    if len(ranked) > 1:
        found.append(_against(best, ranked[1]))
    return found


def _against(best: _Record, next_best: _Record) -> str:
    """What put it before the next one; the first difference in the order of the choice."""
    them = f"{next_best.name}, the next best,"
    if next_best.is_feasible is False:
        return f"{them} does not fit the cycle time."
    if next_best.missed:
        return f"{them} misses {next_best.missed} of {next_best.n_defect} defects at its own threshold."
    if next_best.precision.value < best.precision.value:
        near = "; the intervals overlap, so more good pictures may turn them round"
        overlaps = next_best.precision.high >= best.precision.low
        return f"{them} has a precision at recall 1 of {_words(next_best.precision)}{near if overlaps else ''}."
    if best.worst and next_best.worst and next_best.worst.roc_auc.value < best.worst.roc_auc.value:
        return (
            f"{them} has the same precision and falls further under its worst condition, {next_best.worst.condition}: "
            f"to an AUC of {next_best.worst.roc_auc.value:.3f} against {best.worst.roc_auc.value:.3f}."
        )
    return f"{them} fared as well in all that counts here; take the cheaper one."


def _surer(best: _Record) -> list[str]:
    n_defect, n_good = best.least
    found = []
    if best.missed:
        found += _about_misses(best)
    elif (proven := lower_bound(n_defect, n_defect)) < WANTED_RECALL:
        found.append(
            f"{n_defect} of {n_defect} defects caught support a recall of {proven:.2f} with 95 % confidence; "
            f"{defects_needed(WANTED_RECALL)} defects without a miss would support {WANTED_RECALL}."
        )
    found.append(_about_rejects(best, n_good))
    if best.n_splits < _FEW_SPLITS:
        times = "once" if best.n_splits == 1 else f"{best.n_splits} times"
        found.append(f"The parts to learn from were drawn {times}: --splits 5 shows how much hangs on which they are.")
    if best.worst is not None and best.worst.roc_auc.value < best.auc.low:
        found.append(
            f"{best.worst.condition} takes its AUC from {best.auc.value:.3f} to {best.worst.roc_auc.value:.3f}"
            f"{_if_learned(best)}: keep it from the line, or learn from pictures that show it."
        )
    return found


def _about_misses(best: _Record) -> list[str]:
    found = [f"Look at the missed defects first: {best.missed} of {best.n_defect} are too many."]
    if "normal_quantile" in best.policies:
        found.append(
            "Its threshold knew good parts only: with --learn-defects some of the defects place it, and `mekiki-train "
            "threshold` shows what each other one would cost."
        )
    return found


def _about_rejects(best: _Record, n_good: int) -> str:
    rate = best.rejected / best.n_good
    most = upper_bound(round(rate * n_good), n_good)
    return (
        f"{best.rejected} of {best.n_good} good parts rejected: with 95 % confidence at most {most:.0%} of good parts "
        f"will be; {good_needed(WANTED_FALSE_REJECTS)} good test pictures without a reject would support "
        f"{WANTED_FALSE_REJECTS:.0%}."
    )


def _words(figure: Interval) -> str:
    return f"{figure.value:.3f} ({figure.low:.2f} to {figure.high:.2f})"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])}, and {words[-1]}"
