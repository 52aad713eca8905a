"""The file that installs a box, as far as no box is needed; tests/system has one."""

import os
import subprocess
from pathlib import Path

import pytest

from deploy.installer.archive import HERE, join, pack
from deploy.installer.gather import make_installer
from edge.settings import load_settings
from models.errors import MekikiError

SCRIPTS = sorted(HERE.glob("*.sh"))


@pytest.fixture
def run(tmp_path) -> Path:
    """An installer whose payload is a script that says what it was given."""
    payload = tmp_path / "payload"
    (payload / "wheels").mkdir(parents=True)
    (payload / "install.sh").write_text('echo "given: $*"; ls "$(dirname "$0")"; exit 7\n')
    join(pack(payload, tmp_path / "payload.tar"), tmp_path / "mekiki.run", "0.0-test", "3.11")
    return tmp_path / "mekiki.run"


def sh(*words: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = ["sh", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_one_that_a_plain_shell_can_read(script):
    assert sh("-n", script).stderr == ""


def test_it_unpacks_runs_what_is_inside_with_its_arguments_and_leaves_nothing(run, tmp_path):
    room = tmp_path / "room"
    room.mkdir()
    done = sh(run, "uninstall", "--purge", TMPDIR=str(room))
    assert (done.returncode, done.stdout.splitlines()) == (7, ["given: uninstall --purge", "install.sh", "wheels"])
    assert list(room.iterdir()) == []


@pytest.mark.parametrize("harm", ["cut", "flipped"])
def test_one_damaged_byte_is_refused_before_anything_is_unpacked(run, harm):
    whole = run.read_bytes()
    run.write_bytes(whole[:-1] if harm == "cut" else whole[:-600] + bytes([whole[-600] ^ 1]) + whole[-599:])
    done = sh(run)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is damaged or was cut short" in done.stderr


def test_a_disk_without_room_is_told(run, tmp_path):
    done = sh(run, TMPDIR=str(tmp_path / "missing"))
    assert done.returncode == 1
    assert "missing" in done.stderr


def test_the_same_payload_makes_the_same_file(run, tmp_path):
    again = tmp_path / "again.run"
    join(pack(tmp_path / "payload", tmp_path / "again.tar"), again, "0.0-test", "3.11")
    assert again.read_bytes() == run.read_bytes()


def test_a_folder_that_is_no_checkout_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(MekikiError, match=r"no pyproject\.toml; run this from a checkout"):
        make_installer(tmp_path / "mekiki.run", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_example_of_settings_is_one_that_a_daemon_takes(tmp_path):
    (tmp_path / "edge.toml").write_text((HERE / "edge.toml").read_text())
    assert load_settings(tmp_path / "edge.toml").camera[0].trigger == "external"


def test_the_script_on_the_box_explains_itself_and_refuses_what_it_does_not_know(tmp_path):
    (tmp_path / "install.sh").write_text((HERE / "install.sh").read_text())
    (tmp_path / "about").write_text("NAME=0.0-test\nPYTHON=3.11\nMACHINE=x86_64\nNEEDS_KB=1\n")
    assert "uninstall [--purge]" in sh(tmp_path / "install.sh", "--help").stdout
    assert sh(tmp_path / "install.sh", "remove").returncode == 2
    assert "--purge goes with uninstall" in sh(tmp_path / "install.sh", "--purge").stderr
