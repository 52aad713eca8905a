"""A real Prometheus on loopback, with the rules that ship in a hurry: minutes become seconds."""

import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import deploy
from tests.edge.box import free_port, wait_for

RULES = Path(deploy.__file__).parent / "prometheus" / "rules"
# Long enough for a few scrapes in each, and in the order of what they stand for.
_WINDOWS = {"5m": "4s", "10m": "6s", "30m": "8s", "1h": "20s", "1d": "60s"}
_DELAYS = {"1m": "1s", "5m": "2s", "10m": "3s"}
_SCRAPE = "500ms"


def hurried(rules: str) -> str:
    """Windows and delays shortened; names of recorded series as they are."""
    found = re.sub(r"\[(\w+)\]", lambda window: f"[{_WINDOWS[window[1]]}]", rules)
    return re.sub(r"for: (\w+)", lambda delay: f"for: {_DELAYS[delay[1]]}", found)


class Prometheus:
    """Scrapes boxes by name; line1 is their line."""

    def __init__(self, folder: Path, boxes: Mapping[str, int]) -> None:
        folder.mkdir(parents=True)
        for file in RULES.glob("*.yml"):
            (folder / file.name).write_text(hurried(file.read_text()))
        targets = "".join(
            f"      - targets: ['127.0.0.1:{port}']\n        labels: {{instance: {name}, line: line1}}\n"
            for name, port in boxes.items()
        )
        (folder / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {_SCRAPE}, scrape_timeout: {_SCRAPE}, evaluation_interval: {_SCRAPE}}}\n"
            "rule_files: [recording.yml, alerts.yml]\n"
            f"scrape_configs:\n  - job_name: mekiki\n    static_configs:\n{targets}"
        )
        self._folder, self._port = folder, free_port()

    def __enter__(self) -> "Prometheus":
        self._log = (self._folder / "log").open("w")
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={self._folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
            stdout=self._log,
            stderr=self._log,
        )
        wait_for(self._answers)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()

    def query(self, expression: str) -> list[dict]:
        """The series that it has now."""
        return self._get("query", query=expression)["result"]

    def firing(self, instance: str) -> set[str]:
        """The alerts of a box that fire now."""
        series = self.query(f'ALERTS{{alertstate="firing",instance="{instance}"}}')
        return {one["metric"]["alertname"] for one in series}

    def fired(self, instance: str) -> set[str]:
        """Those that ever did."""
        series = self.query(f'max_over_time(ALERTS{{alertstate="firing",instance="{instance}"}}[1h])')
        return {one["metric"]["alertname"] for one in series}

    def _answers(self) -> bool:
        try:
            return bool(self.query("vector(1)"))
        except OSError:
            return False

    def _get(self, what: str, **arguments: str) -> dict:
        url = f"http://127.0.0.1:{self._port}/api/v1/{what}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]
