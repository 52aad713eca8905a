"""The unit as a file: little exposed, well formed, and in step with what the daemon promises."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.config import InferenceConfig
from edge.daemon import STOP_DEADLINE_S
from edge.watchdog import ROUND_S

UNITS = Path(__file__).resolve().parents[2] / "systemd"
UNIT = UNITS / "mekiki-edge.service"
EXPOSURE = 1.5  # systemd's own score, 0 to 10
CAUGHT_S = 10.0  # a pipeline that is stuck

analyzed = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze here (apt-get install systemd)"
)


def settings() -> dict[str, list[str]]:
    """The values of the [Service] section, by name, in order."""
    lines = UNIT.read_text().partition("[Service]")[2].partition("\n[Install]")[0].splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    found: dict[str, list[str]] = {}
    for name, _, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def seconds(name: str) -> float:
    return float(settings()[name][0])


@analyzed
def test_systemd_finds_the_service_little_exposed():
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    score = re.search(r"Overall exposure level for .*: ([0-9.]+)", told)
    assert score is not None, told
    assert float(score[1]) <= EXPOSURE


def test_a_stuck_pipeline_is_ended_within_ten_seconds():
    assert ROUND_S + seconds("WatchdogSec") + seconds("TimeoutAbortSec") <= CAUGHT_S
    assert InferenceConfig().hang_s < CAUGHT_S


def test_systemd_waits_for_a_stop_longer_than_it_takes():
    assert seconds("TimeoutStopSec") > STOP_DEADLINE_S


def test_wrong_settings_are_no_reason_to_try_again_and_all_else_is():
    found = settings()
    assert found["RestartPreventExitStatus"] == ["2"]
    assert found["Restart"] == ["on-failure"]
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(UNIT)
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"


def test_the_folders_of_the_unit_are_those_that_tmpfiles_makes():
    made = {line.split()[1] for line in (UNITS / "mekiki.tmpfiles").read_text().splitlines() if line.startswith("d")}
    found = settings()
    assert found["LoadCredential"][0].partition(":")[2] in made
    assert {f"/var/lib/{found['StateDirectory'][0]}", f"/etc/{found['ConfigurationDirectory'][0]}"} <= made


def test_every_group_of_the_unit_is_one_that_sysusers_makes():
    made = {line.split()[1] for line in (UNITS / "mekiki.sysusers").read_text().splitlines() if line[:1] in "ug"}
    assert {*settings()["SupplementaryGroups"][0].split(), *settings()["User"]} <= made
