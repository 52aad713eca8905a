"""The published figures beside ours, condition by condition: for a page, for a terminal, for a Markdown file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, get_args

from trainer.conditions import eight
from trainer.original.draws import spread_of_draws
from trainer.original.parts import MODELS, Tests
from trainer.original.published import N_TEST, Figure, Model, published
from trainer.study.report.found import Found, Words
from trainer.study.report.matrix import Entry
from trainer.study.report.numbers import NOTHING, bounds, shade, share
from trainer.study.types import Interval, Protocol, Study

Studies = Mapping[tuple[Model, Tests], Study]
_COLUMNS: Final[tuple[tuple[Tests, Protocol], ...]] = (("few", "matched"), ("all", "matched"), ("all", "frozen"))
_CONDITIONS: Final = tuple(condition.name for condition in eight())


@dataclass(frozen=True, slots=True)
class Table:
    """One figure of one candidate."""

    figure: Figure
    heads: tuple[tuple[str, str], ...]  # of each column: what it is, how many parts stand behind it
    rows: tuple[tuple[str, tuple[Entry, ...]], ...]  # a condition and its entries


@dataclass(frozen=True, slots=True)
class Section:
    """One candidate that takes the place of one model of the original experiment."""

    model: Model
    candidate: str
    learned: str
    tables: tuple[Table, ...]
    verdict: str  # in which published figures it stays below


def sections_of(studies: Studies, words: Words) -> list[Section]:
    """Of the studies that are there."""
    found = []
    for model in MODELS:
        own = {tests: Found(studies[model, tests], words) for tests in get_args(Tests) if (model, tests) in studies}
        names = dict.fromkeys(name for one in own.values() for name in one.candidates)
        found += [_section(model, name, own, words) for name in names]
    return found


def _section(model: Model, name: str, own: Mapping[Tests, Found], words: Words) -> Section:
    data = next(iter(own.values())).study.data
    learned = words[f"learned_{model}"].format(good=data.n_learn_good, defect=data.n_learn_defect)
    tables = tuple(_table(model, name, figure, own, words) for figure in get_args(Figure))
    return Section(model, name, learned, tables, _verdict(model, name, own, words))


def _table(model: Model, name: str, figure: Figure, own: Mapping[Tests, Found], words: Words) -> Table:
    columns = [(tests, protocol) for tests, protocol in _COLUMNS if tests in own]
    heads = [(words["published_f1" if figure == "f1" else "published"], "" if figure == "f1" else _n(words))]
    heads += [(words[f"{tests}_{protocol}"], _n(words, own[tests])) for tests, protocol in columns]
    has_draws = figure != "f1" and "all" in own
    if has_draws:
        heads.append((words["draws"], words["draws_n"].format(n=N_TEST)))
    rows = []
    for condition in _CONDITIONS:
        entries = [_entry(published(model, figure, condition))]
        entries += [_measured(own[tests], name, protocol, figure, condition) for tests, protocol in columns]
        if has_draws:
            entries.append(_draws(own["all"], name, figure, condition))
        rows.append((next(iter(own.values())).condition_title(condition), tuple(entries)))
    return Table(figure, tuple(heads), tuple(rows))


def _n(words: Words, found: Found | None = None) -> str:
    """How many parts each number rests on: of what was published, or of a study."""
    n_good, n_defect = N_TEST, N_TEST
    if found is not None:
        n_good, n_defect = found.study.data.n_test_good, sum(found.study.data.defects.values())
    return words["n_parts"].format(good=n_good, defect=n_defect)


def _measured(found: Found, name: str, protocol: Protocol, figure: Figure, condition: str) -> Entry:
    summary = found.summary(name, protocol, condition)
    if summary is None and found.failures(name, protocol, condition):
        return Entry(found.words["failed"], failed=True)
    return _entry(getattr(summary, figure) if summary else None)


def _entry(interval: Interval | None) -> Entry:
    if interval is None:
        return Entry(NOTHING)
    is_sure = interval.low == interval.high  # that is, nothing is known of how sure it is
    return Entry(share(interval.value), "" if is_sure else bounds(interval), shade(interval.value))


def _draws(found: Found, name: str, figure: Figure, condition: str) -> Entry:
    cells = found.cells(name, "matched", condition)
    spread = spread_of_draws(cells[0], figure, N_TEST) if cells else None
    if spread is None:
        return Entry(NOTHING)
    return Entry("", bounds(Interval(value=spread[0], low=spread[0], high=spread[1])))


def _verdict(model: Model, name: str, own: Mapping[Tests, Found], words: Words) -> str:
    """Held against what was published in the same way: on as few parts, with the digits that were printed."""
    if "few" not in own:
        return ""
    found, below = own["few"], []
    figures: tuple[Figure, ...] = ("roc_auc", "precision_at_recall_1")
    for figure in figures:
        for condition in found.conditions:
            theirs, summary = published(model, figure, condition), found.summary(name, "matched", condition)
            if theirs is None or summary is None:
                continue
            ours: Interval = getattr(summary, figure)
            if round(ours.value, 2) < theirs.value:
                where = words["below_one"].format(figure=words[figure], condition=found.condition_title(condition))
                below.append(f"{where} {share(ours.value)} / {theirs.value:.2f}")
    return words["below"].format(list="; ".join(below)) if below else words["not_below"]
