"""Writes the dashboards."""

import json
from pathlib import Path

from deploy.grafana.panels import as_json, boards

FOLDER = Path(__file__).parent / "dashboards"


def texts() -> dict[str, str]:
    """File name -> content."""
    return {f"{board.uid}.json": json.dumps(as_json(board), indent=1) + "\n" for board in boards()}


def main() -> None:
    """Into the folder that Grafana reads."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
