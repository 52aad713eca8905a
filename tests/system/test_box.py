"""A new box on a machine of its own: a bare Debian with sshd becomes one by box.yml, then gets its models by SSH."""

import contextlib
import shutil
import time
from collections.abc import Iterator

import pytest

from models.bundle import open_bundle
from tests.deploy.sshd import need_sshd
from tests.deploy.test_role import recap
from tests.system.cable import cable, mirror_at_hand
from tests.system.debian import LackingError, own_mirror
from tests.system.machine import Machine, boot_first, wait_for
from tests.system.service import CONFIG, UNIT
from tests.system.workstation import BOX, Workstation

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def bare(prepared, tmp_path_factory) -> Iterator[Machine]:
    """Booted, with a network of its own, the mirror of Debian in it, and nothing of ours."""
    need_sshd()
    folder = tmp_path_factory.mktemp("bare")
    try:
        with cable() as network, mirror_at_hand(own_mirror()) as mirror, contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            machine = Machine(prepared.copy(folder / "root"), network)
            machine.path("/etc/apt/sources.list").write_text(f"deb {mirror} bookworm main\n")
            stack.callback(machine.power_off)
            boot_first(machine)
            yield machine
    except LackingError as why:
        pytest.skip(str(why))


@pytest.fixture(scope="module")
def workstation(bare, prepared, tmp_path_factory) -> Iterator[Workstation]:
    made = Workstation(tmp_path_factory.mktemp("workstation"), prepared.installer)
    made.meet(bare)
    yield made
    made.close()


def show(machine: Machine, name: str) -> str:
    return machine.sh(f"systemctl show --property {name} --value {UNIT}")


def test_a_bare_debian_becomes_a_box_that_waits_for_its_first_model(bare, workstation, measured):
    assert bare.try_sh("id mekiki").returncode != 0
    assert bare.try_sh("command -v rsync").returncode != 0, "the root is not bare"
    began_s = time.monotonic()
    assert " failed=0 " in recap(workstation.box_yml())
    measured("box.yml on a bare Debian", time.monotonic() - began_s)
    assert bare.sh(f"systemctl is-enabled {UNIT}") == "enabled"
    assert bare.sh("command -v rsync")
    wait_for(lambda: "no active version" in bare.sh(f"journalctl --unit {UNIT} --output cat --no-pager --quiet"))
    assert show(bare, "ActiveState") == "activating"


def test_who_pushes_comes_in_and_owns_neither_settings_nor_keys(bare, workstation):
    done = workstation.ssh("id -un")
    assert (done.returncode, done.stdout.strip()) == (0, "mekiki"), done.stderr
    for path in (CONFIG, "/etc/mekiki/push_keys", "/etc/mekiki/trust/line-2026.pub", "/opt/mekiki/current/bin/python"):
        assert workstation.ssh(f"test -w {path}").returncode == 1, path
    assert workstation.ssh("ls /etc/mekiki/secrets").returncode != 0


def test_a_first_push_makes_it_judge(bare, workstation, measured):
    first, began_s = workstation.bundle("first"), time.monotonic()
    told = workstation.deploy("push", first, "--to", workstation.inventory)
    digest = open_bundle(first).digest
    assert f"{BOX}  active {digest[:12]}" in told
    wait_for(lambda: show(bare, "ActiveState") == "active")
    measured("first push to a daemon that is ready", time.monotonic() - began_s)
    wait_for(lambda: "(epoch" in workstation.deploy("status", "--to", workstation.inventory))


def test_a_second_run_changes_nothing_stops_nothing_and_wants_no_mirror(bare, workstation, measured):
    pid = show(bare, "MainPID")
    bare.sh("dpkg --remove python3-apt && rm /etc/apt/sources.list")
    began_s = time.monotonic()
    assert " changed=0 " in recap(workstation.box_yml())
    measured("box.yml again", time.monotonic() - began_s)
    assert show(bare, "MainPID") == pid


def test_the_next_version_is_proved_on_the_line_and_can_be_taken_back(bare, workstation):
    second = workstation.bundle("second", threshold=0.6)
    told = workstation.deploy("push", second, "--to", workstation.inventory, "--wait", 250)
    assert "committed" in told
    told = workstation.deploy("rollback", "--to", workstation.inventory, "--because", "a test")
    assert "rolled back" in told


def test_what_the_box_kept_comes_back(workstation, tmp_path):
    told = workstation.deploy("pull", "--from", workstation.inventory, "--to", tmp_path / "pulled")
    assert "new files" in told
    assert list((tmp_path / "pulled" / BOX / "evidence").rglob("*.png"))


def test_settings_that_no_daemon_takes_are_refused_and_those_in_force_stay(bare, workstation):
    before, pid = bare.path(CONFIG).read_text(), show(bare, "MainPID")
    workstation.write_inventory(mekiki_tables={"probation": {"partz": 1}})
    done = workstation.box_yml("--start-at-task", "Settings")
    assert done.returncode == 2
    assert "probation.partz: unknown setting" in done.stdout
    assert (bare.path(CONFIG).read_text(), show(bare, "MainPID")) == (before, pid)
