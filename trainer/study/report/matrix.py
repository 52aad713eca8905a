"""Candidate x condition as tables: a mean, its interval and a colour in each cell, protocols side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trainer.study.report.found import Found
from trainer.study.report.numbers import NOTHING, between, bounds, shade, share
from trainer.study.types import Interval, Protocol

_ABREAST: Final = 4  # candidates in one table: more do not fit a sheet of paper
FIGURES: Final = ("roc_auc", "precision_at_recall_1", "recall", "false_reject_rate")
MORE_FIGURES: Final = ("f1", "average_precision")


@dataclass(frozen=True, slots=True)
class Entry:
    """One cell of a table."""

    text: str
    bounds: str = ""
    shade: int | None = None  # None: no colour
    note: str = ""  # why it is not what the others are
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """One candidate of a table."""

    candidate: str
    index: int  # of its colour
    n: str  # how many parts stand behind each number


@dataclass(frozen=True, slots=True)
class Row:
    """One condition of a table."""

    title: str
    name: str  # as the command line has it
    entries: tuple[Entry, ...]  # for each candidate one of each protocol


@dataclass(frozen=True, slots=True)
class Table:
    """One figure of some candidates under all conditions."""

    figure: str
    heads: tuple[Head, ...]
    rows: tuple[Row, ...]


def tables(found: Found, figure: str) -> list[Table]:
    """As many as paper wants; `figure` is a field of Summary."""
    names = found.candidates
    groups = [names[start : start + _ABREAST] for start in range(0, len(names), _ABREAST)]
    return [Table(figure, tuple(_head(found, name) for name in some), _rows(found, figure, some)) for some in groups]


def _head(found: Found, candidate: str) -> Head:
    figures = [cell.figures for cell in found.study.cells if cell.candidate == candidate]
    n_good, n_defect = between([one.n_good for one in figures]), between([one.n_defect for one in figures])
    n = found.words["n_parts"].format(good=n_good, defect=n_defect) if figures else NOTHING
    return Head(candidate, found.index(candidate), n)


def _rows(found: Found, figure: str, names: tuple[str, ...]) -> tuple[Row, ...]:
    return tuple(
        Row(
            found.condition_title(condition),
            condition,
            tuple(_entry(found, figure, name, one, condition) for name in names for one in found.study.protocols),
        )
        for condition in found.conditions
    )


def _entry(found: Found, figure: str, candidate: str, protocol: Protocol, condition: str) -> Entry:
    summary = found.summary(candidate, protocol, condition)
    if summary is None:
        failed = bool(found.failures(candidate, protocol, condition))
        return Entry(found.words["failed"] if failed else NOTHING, failed=failed)
    interval: Interval = getattr(summary, figure)
    worth = 1 - interval.value if figure == "false_reject_rate" else interval.value
    some = found.words["splits_of"].format(n=summary.n_splits, all=found.study.n_splits)
    note = some if summary.n_splits < found.study.n_splits else ""
    return Entry(share(interval.value), bounds(interval), shade(worth), note)
