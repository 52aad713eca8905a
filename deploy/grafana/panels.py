"""Dashboards as the JSON that Grafana reads (schema 39, Grafana 10 and later), from what `boards.toml` says of them."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from models.base import Frozen

Kind = Literal["timeseries", "stat", "table", "state-timeline"]
_BOARDS: Final = Path(__file__).parent / "boards.toml"
_COLUMNS: Final = 24
_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
_VARIABLES: Final = ("line", "instance", "camera")
_CHOSEN: Final = {
    "CAMERA": 'line=~"$line",instance=~"$instance",camera=~"$camera"',
    "BOX": 'line=~"$line",instance=~"$instance"',
}


class Panel(Frozen):
    """One picture: what it shows, in which unit, and from where it is bad."""

    title: str
    what: str
    queries: Annotated[tuple[tuple[str, str], ...], Field(min_length=1)]  # expression, name of a line
    unit: str = "short"
    kind: Kind = "timeseries"
    steps: tuple[tuple[float, str], ...] = ((0, "green"),)  # from, colour; the first from below
    width: int = 12
    height: int = 8
    highest: float | None = None  # of the axis


class Board(Frozen):
    """One dashboard."""

    uid: str
    title: str
    what: str
    panel: tuple[Panel, ...]


def boards() -> list[Board]:
    """As they are described."""
    return [Board.model_validate(one) for one in tomllib.loads(_BOARDS.read_text(encoding="utf-8"))["board"]]


def as_json(board: Board) -> dict[str, Any]:
    """What Grafana reads."""
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.what,
        "tags": ["mekiki"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-6h", "to": "now"},
        "links": [{"title": "mekiki", "type": "dashboards", "tags": ["mekiki"], "keepTime": True, "includeVars": True}],
        "templating": {"list": [_source_variable(), *_variables()]},
        "panels": list(_panels(board.panel)),
    }


def _panels(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """In rows from the left, the next row under the highest of this one."""
    made, x, y, bottom = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > _COLUMNS:
            x, y = 0, bottom
        made.append(_panel(panel, number, {"x": x, "y": y, "w": panel.width, "h": panel.height}))
        x, bottom = x + panel.width, max(bottom, y + panel.height)
    return made


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    steps = [{"value": value if index else None, "color": colour} for index, (value, colour) in enumerate(panel.steps)]
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.highest is not None:
        defaults["max"] = panel.highest
    if panel.kind == "timeseries" and len(steps) > 1:
        defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.what,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [_target(*query, letter, panel.kind) for query, letter in zip(panel.queries, "ABCD", strict=False)],
        "options": _options(panel.kind),
    }


def _target(expression: str, name: str, letter: str, kind: Kind) -> dict[str, Any]:
    for word, chosen in _CHOSEN.items():
        expression = expression.replace(word, chosen)
    at_once = kind in ("stat", "table")
    return {
        "refId": letter,
        "datasource": _SOURCE,
        "expr": expression,
        "legendFormat": name,
        "instant": at_once,
        "range": not at_once,
        "format": "table" if kind == "table" else "time_series",
    }


def _options(kind: Kind) -> dict[str, Any]:
    if kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background", "textMode": "value_and_name"}
    return {} if kind == "table" else {"legend": {"displayMode": "list", "placement": "bottom"}}


def _source_variable() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}}


def _variables() -> list[dict[str, Any]]:
    """Each offers what those before it leave."""
    made = []
    for index, name in enumerate(_VARIABLES):
        chosen = ",".join(f'{one}=~"${one}"' for one in _VARIABLES[:index])
        query = f"label_values(mekiki_camera_up{{{chosen}}}, {name})"
        made.append(
            {
                "name": name,
                "label": {"instance": "box"}.get(name, name),
                "type": "query",
                "datasource": _SOURCE,
                "query": {"query": query, "refId": name},
                "refresh": 2,
                "includeAll": True,
                "allValue": ".*",
                "multi": True,
                "current": {"text": "All", "value": "$__all"},
            }
        )
    return made
