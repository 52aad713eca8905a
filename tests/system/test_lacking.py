"""Where no Debian can be made or booted that is found out in seconds, with a reason, and nothing is left."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.edge.box import ROOT
from tests.system.cable import cable
from tests.system.debian import LackingError, bounded, make_root, refuse_here
from tests.system.machine import Machine, wait_for

pytestmark = pytest.mark.system
LIMIT_S = 60
_REFUSE = "import os; from pathlib import Path; from tests.system.debian import *; {}; refuse_here(Path('/tmp'), 1)"


@pytest.fixture
def able(tmp_path):
    """Where nothing lacks."""
    try:
        refuse_here(tmp_path, 1)
    except LackingError as why:
        pytest.skip(str(why))


def refused(become: str, *under: str) -> str:
    """The last line of what a lesser one is told, which a process becomes or is started as."""
    done = subprocess.run(
        [*under, sys.executable, "-c", _REFUSE.format(become)], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


def test_who_is_not_root_is_told_so(able):
    assert "root is wanted" in refused("os.setuid(65534)")


def test_root_who_may_not_mount_is_told_so(able):
    lesser = ("setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin")
    assert "a namespace with mounts of its own: unshare ended with 1" in refused("pass", *lesser)


def test_a_disk_without_room_is_told(tmp_path, able):
    with pytest.raises(LackingError, match=r"GB free at .*, 1000000\.0 GB are wanted"):
        refuse_here(tmp_path, 10**15)


@pytest.mark.parametrize("listens", [True, False])
def test_a_mirror_that_does_not_answer_is_told_and_not_waited_for(tmp_path, able, listens):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listens:
            silent.listen()
        with pytest.raises(LackingError, match="does not answer"):
            make_root(tmp_path / "root", f"http://127.0.0.1:{silent.getsockname()[1]}/debian", limit_s=2)
    assert list(tmp_path.iterdir()) == []


def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path):
    mark = tmp_path / "mark"
    with pytest.raises(LackingError, match="sleep: not there within 1 s"):
        bounded(["sh", "-c", f"(sleep 4; touch {mark}) & sleep 100"], 1, "sleep")
    time.sleep(5)
    assert not mark.exists()


def test_a_folder_that_is_no_system_is_told(tmp_path, able):
    (tmp_path / "root").mkdir()
    with pytest.raises(LackingError, match=r"systemd-nspawn ended with 1: .*os-release file is missing"):
        Machine(tmp_path / "root").boot()


def test_a_debian_that_does_not_come_up_is_given_up_and_ended(prepared, tmp_path):
    machine = Machine(prepared.copy(tmp_path / "root"))
    init = machine.path("/usr/lib/systemd/systemd")
    init.write_text("#!/bin/sh\necho no control groups\nwhile :; do sleep 1; done\n")
    try:
        with pytest.raises(LackingError, match="no Debian boots here within 6 s: no control groups"):
            machine.boot(limit_s=6)
        running = subprocess.run(["ps", "ax"], capture_output=True, text=True, check=True).stdout
        assert str(tmp_path) not in running
        assert "/bin/sh /usr/lib/systemd/systemd" not in running
    finally:
        machine.power_off()
        shutil.rmtree(machine.root)


def test_a_network_that_cannot_be_made_is_told(able):
    with cable(), pytest.raises(LackingError, match="a network of its own: ip ended with"), cable():
        pass


def test_a_run_that_is_killed_leaves_no_network_to_the_next_one(able):
    waits = "import time; from tests.system.cable import *\nwith cable(): print(flush=True); time.sleep(100)"
    command, environment = [sys.executable, "-c", waits], os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        run.stdout.readline()
        wire = Path(f"/sys/class/net/mekiki{run.pid}")
        assert wire.exists()
        run.kill()
    wait_for(lambda: not wire.exists())
