"""What a study says to a person at the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.study.pool import Pool
from trainer.study.splits import Split
from trainer.study.types import DataSheet, Interval, Protocol, Study, Summary

_HEAD = {"matched": "learned from such pictures", "frozen": "learned without"}
_SHOWN = 3


def data_words(pool: Pool, splits: Sequence[Split], n_conditions: int) -> str:
    """How many pictures play which part."""
    first = splits[0]
    kinds = {kind: sum(source.label == kind for source in first.test) for kind in pool.defects}
    defects = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    learn = f"{len(first.learn_good)} good" + (f" and {len(first.learn_defect)} defects" if first.learn_defect else "")
    n_good = sum(source.is_good for source in first.test)
    return (
        f"data: {learn} to learn from, {n_good} good and {defects} to test; {len(splits)} split(s), "
        f"{n_conditions} condition(s)"
    )


def sheet_words(sheet: DataSheet) -> list[str]:
    """Warnings; none where no picture is on both sides."""
    found = []
    for what, pairs in (("are the same picture", sheet.duplicates), ("look alike", sheet.near_duplicates)):
        if pairs:
            named = "; ".join(" and ".join(pair) for pair in pairs[:_SHOWN]) + ("; ..." if len(pairs) > _SHOWN else "")
            found.append(f"warning: {len(pairs)} pair(s) {what}, one learned from, one tested on: {named}")
    return found


def in_words(study: Study) -> str:
    """The table of summaries and the recommendation."""
    lines = []
    for candidate in study.candidates:
        own = [summary for summary in study.summaries if summary.candidate == candidate.name]
        lines += _table(candidate.name, [c.name for c in study.conditions], own, study.protocols)
    chosen = study.recommendation
    lines += [f"recommended: {chosen.choice or 'none of these yet'}", *(f"  {line}" for line in chosen.why)]
    lines += ["to be surer:", *(f"  {line}" for line in chosen.surer)]
    return "\n".join(lines)


def _table(
    name: str, conditions: Sequence[str], summaries: Sequence[Summary], protocols: Sequence[Protocol]
) -> list[str]:
    width = max(len(word) for word in (name, *conditions))
    found = {(summary.protocol, summary.condition): summary for summary in summaries}
    head = "".join(f"   {_HEAD[protocol]:<33}" for protocol in protocols)
    lines = [f"{name:<{width}}{head}".rstrip(), " " * width + f"   {'AUC':<18}{'P at recall 1':<15}" * len(protocols)]
    for condition in conditions:
        cells = "".join(f"   {_cell(found.get((protocol, condition)))}" for protocol in protocols)
        lines.append(f"{condition:<{width}}{cells}".rstrip())
    return [line.rstrip() for line in lines] + [""]


def _cell(summary: Summary | None) -> str:
    if summary is None:
        return f"{'failed':<33}"
    return f"{_figure(summary.roc_auc)}{_figure(summary.precision_at_recall_1)[:15]:<15}"


def _figure(figure: Interval) -> str:
    """Three digits, and from where to where it may lie."""
    text = f"{figure.value:.3f} {figure.low:.2f}-{figure.high:.2f}"
    return f"{text:<18}"
