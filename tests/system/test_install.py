"""The installer on Debian's minimal base: what it needs, what it does twice, and what it leaves."""

import time

import pytest

from tests.system.service import CONFIG, UNIT

pytestmark = pytest.mark.system
RUN = "sh /root/mekiki.run"


def name_of(machine) -> str:
    return machine.sh("readlink /opt/mekiki/current")


def test_a_minimal_debian_with_its_own_python_is_all_that_it_needs(prepared, machine, measured):
    measured("a Debian made", prepared.root_s)
    measured("the installer made beside it", prepared.installer_s)
    for package in ("python3-venv", "python3-pip", "libgl1", "libglib2.0-0", "libgomp1", "curl"):
        assert machine.try_sh(f"dpkg -s {package}").returncode != 0, f"{package} is there: the root is not minimal"
    began_s = time.monotonic()
    told = machine.sh(f"{RUN} --no-start")
    measured("install", time.monotonic() - began_s)
    assert "installed: " in told
    assert "next: write /etc/mekiki/edge.toml" in told
    libraries = machine.sh(
        "find /opt/mekiki/current/lib -name '*.so*' -path '*cv2*' -o -name '*.so*' -path '*openvino*' | "
        "LD_LIBRARY_PATH=/opt/mekiki/current/lib/python3.11/site-packages/openvino/libs xargs ldd 2>/dev/null | "
        "grep 'not found' | sort -u || true"
    )
    missing = {line.split()[0] for line in libraries.splitlines()}
    assert not {name for name in missing if not name.startswith(("libOpenCL", "libze_loader"))}, missing
    assert machine.sh("mekiki-edge --version").startswith("mekiki ")


def test_what_it_made_has_the_owners_and_modes_that_it_must(machine):
    folders = "/etc/mekiki /etc/mekiki/secrets /var/lib/mekiki /var/lib/mekiki/store /opt/mekiki"
    told = machine.sh(f"stat -c '%n %U %a' {folders}")
    assert told.splitlines() == [
        "/etc/mekiki root 755",
        "/etc/mekiki/secrets root 700",
        "/var/lib/mekiki mekiki 750",
        "/var/lib/mekiki/store mekiki 750",
        "/opt/mekiki root 755",
    ]
    assert machine.try_sh("find /opt/mekiki/ ! -user root | grep .").returncode != 0


def test_a_second_run_changes_nothing_and_says_so(machine, installed):
    files = "find /opt/mekiki -type f -printf '%p %T@\\n' | sort"
    before = machine.sh(files)
    told = machine.sh(RUN)
    assert "is there already" in told
    assert machine.sh(files) == before


def test_a_damaged_installer_is_refused_before_anything_is_unpacked(machine):
    machine.sh("cp /root/mekiki.run /root/damaged.run && truncate -s -1000 /root/damaged.run")
    done = machine.try_sh("sh /root/damaged.run")
    machine.sh("rm /root/damaged.run")
    assert done.returncode == 1
    assert "is damaged or was cut short" in done.stderr
    assert machine.sh("ls -A /var/tmp | grep mekiki || true") == ""


def test_the_unit_is_well_formed_and_little_exposed(machine, installed):
    assert machine.try_sh(f"systemd-analyze verify {UNIT}.service").stderr == ""
    told = machine.sh(f"systemd-analyze security --no-pager {UNIT}.service | tail -1")
    assert float(told.partition(": ")[2].split()[0]) <= 1.5


def other_version(machine, name: str, unit: str) -> str:
    """A version like the one in force, but for its unit. The command that brings it into force."""
    old = name_of(machine)
    machine.sh(f"cp -a /opt/mekiki/{old} /opt/mekiki/{name} && cd /opt/mekiki/{name}/installer && {unit}")
    machine.sh(f"sed -i 's/^NAME=.*/NAME={name}/' /opt/mekiki/{name}/installer/about")
    return f"sh /opt/mekiki/{name}/installer/install.sh"


def test_a_version_that_does_not_become_ready_gives_way_to_the_one_before_it(machine, service):
    old, pid = name_of(machine), service.pid()
    unit = "sed -i 's#^ExecStart=.*#ExecStart=/bin/false#' systemd/*.service"
    upgrade = other_version(machine, "0.1.0-broken", unit)
    done = machine.try_sh(upgrade)
    assert done.returncode == 1
    assert f"{old} is in force again, and ready" in done.stderr
    assert name_of(machine) == old
    assert service.show("ActiveState") == "active"
    assert service.pid() != pid
    with service.subscriber() as subscriber:
        subscriber.take(3)


def test_an_upgrade_restarts_a_running_service_and_keeps_the_version_before(machine, service):
    old = name_of(machine)
    upgrade = other_version(machine, "0.1.0-next", "true")
    told = machine.sh(upgrade)
    assert "started, and ready" in told
    assert "removed the older 0.1.0-broken" in told
    assert name_of(machine) == "0.1.0-next"
    machine.sh(upgrade)
    assert machine.sh(f"ls -d /opt/mekiki/{old}"), "which a second run leaves too"
    assert "started, and ready" in machine.sh(RUN), "back to the one before, by its own installer"


def test_settings_that_a_version_does_not_take_stop_the_upgrade_before_the_switch(machine, service):
    pid = service.pid()
    path = machine.path(CONFIG)
    path.write_text(path.read_text() + "colour = 1\n")
    done = machine.try_sh(RUN)
    assert done.returncode == 1
    assert "does not take /etc/mekiki/edge.toml" in done.stderr
    assert service.pid() == pid
