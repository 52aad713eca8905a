"""The rules that ship: promtool's own check and tests, and whether the daemon has what they ask for."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

import deploy
from edge.metrics import Metrics

FOLDER = Path(deploy.__file__).parent / "prometheus"
RULES = [
    rule
    for file in sorted(FOLDER.glob("rules/*.yml"))
    for rule in yaml.safe_load(file.read_text())["groups"][0]["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
TESTED = [
    case
    for test in yaml.safe_load((FOLDER / "tests/alerts.yml").read_text())["tests"]
    for case in test["alert_rule_test"]
]
SCRAPED = {"up", "process_start_time_seconds"}  # of Prometheus itself, and of its client


def exposed() -> set[str]:
    """Every series name that the daemon has."""
    families = list(Metrics(CollectorRegistry(), ["top"]).registry.collect())
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
    return {family.name + suffix for family in families for suffix in suffixes.get(family.type, ("",))}


def names_in(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:mekiki|process)_[a-z_0-9]+", re.sub(r'"[^"]*"', "", expression)))


def promtool(*arguments: str) -> None:
    if (tool := shutil.which("promtool")) is None:
        pytest.skip("no promtool here; Debian has it in the package prometheus")
    done = subprocess.run([tool, *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_configuration_and_the_rules():
    promtool("check", "config", "prometheus.yml")


def test_each_alert_fires_and_resolves_as_its_test_says():
    promtool("test", "rules", "tests/alerts.yml")


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not(name):
    cases = [case for case in TESTED if case["alertname"] == name]
    assert any(case["exp_alerts"] for case in cases)
    assert any(not case["exp_alerts"] for case in cases)


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_says_what_to_do_in_the_docs(name):
    text = (FOLDER / "README.md").read_text()
    assert f"\n## {name}\n" in text
    assert ALERTS[name]["labels"]["severity"] in ("critical", "warning")


def test_the_docs_know_no_alert_that_there_is_not():
    assert set(re.findall(r"^## (\w+)$", (FOLDER / "README.md").read_text(), re.M)) == set(ALERTS)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_rule_asks_for_what_the_daemon_exposes_or_a_rule_makes(rule):
    made = {one["record"] for one in RULES if "record" in one}
    assert set(re.findall(r"\bmekiki(?::\w+)+", rule["expr"])) <= made
    asked = {name for name in names_in(rule["expr"]) if not any(name in one for one in made)}
    assert asked <= exposed() | SCRAPED
