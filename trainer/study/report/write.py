"""Makes the page of what the other files here found, in one language, and writes it whole."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

from models.files import sha256_of, write_whole
from trainer.study.phrases import Lang
from trainer.study.report.cost import costs, cycle_is_drawn
from trainer.study.report.curves import draw_precision_recall, draw_roc
from trainer.study.report.found import Found
from trainer.study.report.histogram import draw_histogram
from trainer.study.report.matrix import FIGURES, MORE_FIGURES, tables
from trainer.study.report.numbers import NOTHING, bounds, duration, milliseconds, share
from trainer.study.report.overview import places, thresholds, told_in
from trainer.study.report.pictures import N_OPEN, by_place, galleries
from trainer.study.report.slope import draw_slope, slopes_of
from trainer.study.report.svg import N_COLOURS, draw_key
from trainer.study.types import Study

REPORT: Final = "report.html"
_HERE: Final = Path(__file__).parent
_STEEP: Final = ("roc_auc", "recall")  # what the slopes show


def write_report(study: Study, folder: Path, lang: Lang) -> Path:
    """Writes `folder/report.html`, whole or not at all, and returns its path.

    One file that loads nothing: pictures (`Cell.pictures`, relative to `folder`) are embedded, charts are SVG, there
    is no script, and its Content-Security-Policy forbids the rest. Texts are in `lang`, but for what tools said of a
    failure. A picture that cannot be read leaves its place empty.
    """
    path = folder / REPORT
    write_whole(path, render(study, folder, lang).encode())
    return path


def words_of(lang: Lang) -> dict[str, str]:
    """The fixed texts, by their keys."""
    return tomllib.loads((_HERE / f"words/{lang}.toml").read_text(encoding="utf-8"))


def render(study: Study, folder: Path, lang: Lang) -> str:
    """The page itself."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"share": share, "bounds": bounds, "ms": milliseconds, "duration": duration, "code": _code}
    found = Found(study, words_of(lang))
    return environment.get_template("report.html.j2").render(_shown(found, folder, lang), lang=lang)


def _code(text: str) -> str:
    """What stands between backquotes, as code; all of it escaped."""
    from markupsafe import Markup, escape

    parts = [Markup("<code>%s</code>") % part if i % 2 else escape(part) for i, part in enumerate(text.split("`"))]
    return Markup("").join(parts) if len(parts) % 2 else escape(text)


def _shown(found: Found, folder: Path, lang: Lang) -> dict[str, Any]:
    """What the templates know."""
    told, told_lang = told_in(found, lang)
    kept = folder / "study.json"
    return {
        "t": found.words,
        "study": found.study,
        "found": found,
        "n_colours": N_COLOURS,
        "draw_key": draw_key,
        "digest": sha256_of(kept) if kept.is_file() else None,
        "told": told,
        "told_lang": told_lang,
        "places": places(found, told),
        "matrix": [table for figure in FIGURES for table in tables(found, figure)],
        "more_matrix": [table for figure in MORE_FIGURES for table in tables(found, figure)],
        "curves": [_curves(found, condition) for condition in found.conditions],
        "n_open": N_OPEN,
        "galleries": galleries(found, folder),
        "by_place": lambda unseen: by_place(found, unseen),
        "costs": costs(found),
        "cycle_is_drawn": cycle_is_drawn(found.study.times),
        "slopes": _slopes(found),
        "thresholds": thresholds(found),
    }


def _curves(found: Found, condition: str) -> dict[str, Any]:
    """All charts of one condition."""
    panels = [
        {
            "title": found.protocol_title(protocol, condition),
            "roc": draw_roc(found, protocol, condition),
            "precision_recall": draw_precision_recall(found, protocol, condition),
            "histograms": [
                {"cell": cell, "index": index, "svg": draw_histogram(cell, found.words)}
                for index, name in enumerate(found.candidates)
                for cell in found.cells(name, protocol, condition)
            ],
        }
        for protocol in found.shown_protocols(condition)
    ]
    summaries = [found.summary(name, found.reference, condition) for name in found.candidates]
    return {
        "title": found.condition_title(condition),
        "reference": found.protocol_title(found.reference, condition),
        "aucs": [share(one.roc_auc.value) if one else NOTHING for one in summaries],
        "panels": panels,
    }


def _slopes(found: Found) -> list[dict[str, Any]]:
    """A chart for each protocol and figure; none where nothing but the original pictures was measured."""
    charts = []
    for protocol in found.study.protocols:
        for figure in _STEEP:
            if slopes := slopes_of(found, protocol, figure):
                title = f"{found.words[figure]}: {found.words[f'protocol_{protocol}']}"
                charts.append({"title": title, "slopes": slopes, "svg": draw_slope(found, slopes, title)})
    return charts
