"""Writes the tables as `table.md` and `index.html`, each whole or not at all."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from models.files import write_whole
from trainer.original.parts import Part
from trainer.original.tables import Section, Studies, Table, sections_of
from trainer.study.phrases import Lang
from trainer.study.report.found import Words
from trainer.study.report.matrix import Entry
from trainer.study.report.svg import N_COLOURS
from trainer.study.report.write import words_of

TABLE: Final = "table.md"
PAGE: Final = "index.html"
_HERE: Final = Path(__file__).parent
_REPORT: Final = _HERE.parent / "study/report/templates"


def write_page(studies: Studies, folder: Path, lang: Lang, *, quick: bool) -> str:
    """Writes both into `folder`, where each study lies below its name. Returns what `table.md` holds."""
    words = all_words(lang)
    sections = sections_of(studies, words)
    text = _markdown(sections, [*_notes(words), *([words["quick"]] if quick else [])], words)
    write_whole(folder / TABLE, text.encode())
    shown = {"t": words, "sections": sections, "notes": _notes(words), "quick": quick, "lang": lang}
    reports = [(Part(*key).name, study) for key, study in studies.items()]
    write_whole(folder / PAGE, _html(shown | {"reports": reports, "n_colours": N_COLOURS}).encode())
    return text


def all_words(lang: Lang) -> dict[str, str]:
    """Those of a report, and those of this page."""
    return words_of(lang) | tomllib.loads((_HERE / f"words/{lang}.toml").read_text(encoding="utf-8"))


def _notes(words: Words) -> list[str]:
    return [words["intervals"], words["draws_mean"]]


def _html(shown: Mapping[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([_HERE / "templates", _REPORT]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(shown)


def _markdown(sections: Sequence[Section], notes: Sequence[str], words: Words) -> str:
    lines = [f"# {words['page_title']}", "", words["page_lead"], ""]
    for section in sections:
        lines += [f"## {words[f'model_{section.model}']}: {section.candidate}", "", section.learned, ""]
        if section.verdict:
            lines += [section.verdict, ""]
        for table in section.tables:
            lines += [f"### {words[table.figure]}", "", *_grid(table, words), ""]
    return "\n".join([*lines, *(line for note in notes for line in (note, ""))]).rstrip() + "\n"


def _grid(table: Table, words: Words) -> list[str]:
    """A table of Markdown that can be read as it is."""
    heads = [words["condition"], *(f"{title} ({n})" if n else title for title, n in table.heads)]
    rows = [heads, *([title, *map(_plain, entries)] for title, entries in table.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    rows.insert(1, ["-" * width for width in widths])
    return [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]


def _plain(entry: Entry) -> str:
    if not entry.text:
        return entry.bounds
    return f"{entry.text} ({entry.bounds})" if entry.bounds else entry.text
