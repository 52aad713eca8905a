"""The page of a match: one HTML file that loads nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from trainer.retrain.match import Match, Part, picture_of
from trainer.study.report.pictures import embedded
from trainer.study.report.svg import N_COLOURS
from trainer.versions.store import DatasetStore

REPORT: Final = "retrain.html"
MAX_PICTURES: Final = 24
_HERE: Final = Path(__file__).parent
_STYLE: Final = _HERE.parent / "study" / "report" / "templates"


def render(match: Match, store: DatasetStore) -> str:
    """The page: who won and why, both sides with intervals, and the parts that they judge differently."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([_HERE / "templates", _STYLE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    apart = [part for part in match.parts if part.outcomes[0] != part.outcomes[1]]
    both_wrong = [
        part for part in match.parts if part not in apart and (part.outcomes[0] != "ok") == (part.label == "good")
    ]
    shown = {
        "n_colours": N_COLOURS,  # of the style
        "match": match,
        "groups": [
            ("on all parts", match.everything),
            ("frozen test part", match.frozen),
            ("newly reviewed", match.new),
        ],
        "apart": _with_pictures(apart, store),
        "n_apart": len(apart),
        "both_wrong": _with_pictures(both_wrong, store),
        "n_both_wrong": len(both_wrong),
    }
    return environment.get_template("retrain.html.j2").render(shown)


def _with_pictures(parts: list[Part], store: DatasetStore) -> list[tuple[Part, str]]:
    paths = [(part, picture_of(store, part)) for part in parts[:MAX_PICTURES]]
    return [(part, embedded(path.parent, path.name)) for part, path in paths]
