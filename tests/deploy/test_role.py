"""The playbooks that a person runs by hand: they parse, and the role makes a box in a folder, once."""

import getpass
import grp
import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edge.settings import load_settings
from tests import tiny
from tests.deploy.sshd import Plant, need_ansible, need_sshd
from tests.edge.box import ROOT
from tests.signer import Signer

ANSIBLE = ROOT / "deploy" / "ansible"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1dCBub2JvZHkgaGFzIHRoZSBvdGhlciBoYWxm push"
need_ansible()


def playbook(*arguments: object) -> subprocess.CompletedProcess[str]:
    """By hand, in the folder of the playbooks."""
    with tempfile.TemporaryDirectory(prefix="mk-") as home:
        return subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", *map(str, arguments)],
            cwd=ANSIBLE,
            # Ansible reads values as Python, which warns of names such as mk-5in_abc.
            env=os.environ
            | {"ANSIBLE_HOME": home, "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8", "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


def test_every_playbook_parses(tmp_path):
    (tmp_path / "line.yml").write_text("line3: {hosts: {a: }}\n")
    books = sorted(path.name for path in ANSIBLE.glob("*.yml"))
    assert books == ["box.yml", "pull.yml", "push.yml", "rollback.yml", "status.yml"]
    done = playbook("-i", tmp_path / "line.yml", "--syntax-check", *books)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def inventory(tmp_path) -> Path:
    """A box that is a folder, of the current user."""
    user = getpass.getuser()
    box = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "mekiki_prefix": str(tmp_path / "box"),
        "mekiki_manage_user": False,
        "mekiki_manage_service": False,
        "mekiki_packages": [],
        "mekiki_user": user,
        "mekiki_group": grp.getgrgid(os.getgid()).gr_name,
        "mekiki_root": user,
        "mekiki_trust": str(Signer(tmp_path / "keys", "line-2026").trust),
        "mekiki_push_keys": [KEY],
        "mekiki_cameras": [{"name": "top", "kind": "opencv", "source": "/dev/video0", "deadline_s": 0.2}],
        "mekiki_tables": {"probation": {"parts": 500}},
    }
    path = tmp_path / "line.yml"
    path.write_text(json.dumps({"line3": {"hosts": {"a": box}}}))
    return path


def recap(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join(done.stdout.split("PLAY RECAP")[1].split())


@pytest.mark.slow
def test_a_box_is_made_as_the_inventory_says_and_a_second_time_nothing_changes(inventory, tmp_path):
    box = tmp_path / "box"
    assert " changed=0 " not in recap(playbook("-i", inventory, "box.yml"))
    settings = load_settings(box / "etc/mekiki/edge.toml")
    assert (settings.store, settings.trust) == (Path("/var/lib/mekiki/store"), Path("/etc/mekiki/trust"))
    assert (settings.camera[0].name, settings.camera[0].deadline_s, settings.probation.parts) == ("top", 0.2, 500)
    modes = {name: stat.S_IMODE((box / name).stat().st_mode) for name in ("etc/mekiki/secrets", "var/lib/mekiki")}
    assert modes == {"etc/mekiki/secrets": 0o700, "var/lib/mekiki": 0o750}
    assert [path.name for path in (box / "etc/mekiki/trust").iterdir()] == ["line-2026.pub"]
    assert f"\nrestrict {KEY}\n" in (box / "etc/mekiki/push_keys").read_text()
    units = (box / "etc/systemd/system/mekiki-edge.service").read_text()
    assert units == (ROOT / "systemd/mekiki-edge.service").read_text()
    assert _lets_in(box, tmp_path)
    (box / "etc/mekiki/trust/leaked.pub").write_text("")
    assert " changed=2 " in recap(playbook("-i", inventory, "box.yml"))  # and the keys that were changed by hand
    assert f"\nrestrict {KEY}\n" in (box / "etc/mekiki/push_keys").read_text()
    assert not (box / "etc/mekiki/trust/leaked.pub").exists()
    assert " changed=0 " in recap(playbook("-i", inventory, "box.yml"))


def _lets_in(box: Path, tmp_path: Path) -> bool:
    """Whether sshd takes the settings, and lets in who may push, by these settings alone."""
    need_sshd()
    bundle = tiny.make_bundle(tmp_path / "tiny.bundle")
    (tmp_path / "plant").mkdir()
    plant = Plant(tmp_path / "plant", bundle, ["a"])
    keys = box / "etc/mekiki/push_keys"
    keys.write_text(keys.read_text().replace(KEY, Path(f"{plant.key}.pub").read_text()))
    dropped_in = (box / "etc/ssh/sshd_config.d/mekiki.conf").read_text().replace("/etc/mekiki/push_keys", str(keys))
    (tmp_path / "plant/keys/authorized_keys").unlink()
    with (tmp_path / "plant/a/sshd_config").open("a") as config:
        config.write(dropped_in)
    try:
        plant.boxes["a"].start()
        code, out, err = plant.run("push", bundle, "--to", plant.inventory)
        assert code == 0, out + err
        return plant.boxes["a"].active is not None
    finally:
        plant.close()


def test_a_box_without_cameras_is_refused_before_anything_is_made(inventory, tmp_path):
    done = playbook("-i", inventory, "box.yml", "-e", "{mekiki_cameras: []}")
    assert done.returncode == 2
    assert "mekiki_cameras is empty; name the cameras of this box in the inventory" in done.stdout
    assert not (tmp_path / "box").exists()
