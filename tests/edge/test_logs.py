"""The form of the log, in a terminal and in the journal."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import logging
from edge.logs import log_to_stderr
log_to_stderr()
logging.info("running")
try:
    1 / 0
except ZeroDivisionError:
    logging.exception("died")
"""


def said(path: Path, **environment: str) -> list[str]:
    with path.open("wb") as stderr:
        subprocess.run([sys.executable, "-c", CODE], stderr=stderr, check=True, cwd=ROOT, env=os.environ | environment)
    return path.read_text().splitlines()


def test_in_a_terminal_a_line_has_its_time_and_level(tmp_path):
    (first, *_) = said(tmp_path / "log")
    assert first.endswith(" INFO MainThread: running")
    assert first[:2] == "20"


def test_in_the_journal_every_line_begins_with_its_level_and_has_no_time_of_ours(tmp_path):
    (tmp_path / "log").touch()
    there = (tmp_path / "log").stat()
    lines = said(tmp_path / "log", JOURNAL_STREAM=f"{there.st_dev}:{there.st_ino}")
    assert lines[:2] == ["<6>MainThread: running", "<3>MainThread: died"]
    assert {line[:3] for line in lines[1:]} == {"<3>"}


def test_a_shell_that_inherited_the_journal_s_name_has_its_own_stderr(tmp_path):
    assert said(tmp_path / "log", JOURNAL_STREAM="1:2")[0][:2] == "20"
