"""Where a new box is made from: keys, an inventory, and the commands and playbooks of deploy/README.md."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import tiny
from tests.deploy.sshd import make_key
from tests.deploy.test_role import playbook
from tests.edge.box import ROOT
from tests.signer import Signer
from tests.system.cable import THERE
from tests.system.machine import Machine

BOX = "line3-d"
FPS = 20
_CAMERA = {"name": "top", "kind": "folder", "path": "/srv/line", "loop": True, "fps": FPS}


class Workstation:
    """It reaches the box over SSH, and by nothing else."""

    def __init__(self, folder: Path, installer: Path) -> None:
        self.folder, self._installer = folder, installer
        self._signer = Signer(folder / "keys", "line-2026")
        self._admin, self._push = make_key(folder / "ssh/admin"), make_key(folder / "ssh/mekiki-push")
        self._known, self.inventory = folder / "known_hosts", folder / "line.yml"
        self._home = Path(tempfile.mkdtemp(prefix="mk-"))  # short: sockets of SSH lie in it

    def meet(self, machine: Machine) -> None:
        """What a person does at the box: lets the administrator in, reads its host key; and the line begins."""
        place = machine.path("/root/.ssh")
        place.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(f"{self._admin}.pub", place / "authorized_keys")
        kind, key = machine.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2]
        self._known.write_text(f"{THERE} {kind} {key}\n")
        for i, patch in enumerate([tiny.OK] * 9 + [tiny.NG]):
            tiny.write_image(machine.path(f"/srv/line/{i:04}.png"), tiny.frame(patch))
        self.write_inventory()

    def write_inventory(self, **changed: object) -> None:
        """With other variables of the box, where they are given."""
        box = {
            "ansible_host": THERE,
            "ansible_user": "mekiki",
            "ansible_ssh_private_key_file": str(self._push),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self._known} -o IdentitiesOnly=yes",
            "mekiki_installer": str(self._installer),
            "mekiki_trust": str(self._signer.trust),
            "mekiki_push_keys": [Path(f"{self._push}.pub").read_text().strip()],
            "mekiki_cameras": [_CAMERA],
            "mekiki_tables": {"probation": {"parts": FPS}},
            "mekiki_wait_every_s": 1,
        }
        self.inventory.write_text(json.dumps({"line3": {"hosts": {BOX: box | changed}}}))

    def box_yml(self, *more: str) -> "subprocess.CompletedProcess[str]":
        """As the administrator."""
        admin = ["-e", "ansible_user=root", "-e", f"ansible_ssh_private_key_file={self._admin}"]
        return playbook("-i", self.inventory, "box.yml", "--limit", BOX, *admin, *more)

    def bundle(self, name: str, **options: object) -> Path:
        """A signed one."""
        return self._signer.sign(tiny.make_bundle(self.folder / f"{name}.bundle", **options))

    def deploy(self, *arguments: object) -> str:
        """What `mekiki-deploy` says."""
        environment = os.environ | {"PYTHONPATH": str(ROOT), "ANSIBLE_HOME": str(self._home)}
        command = [sys.executable, "-m", "deploy.cli", *map(str, arguments)]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ssh(self, command: str) -> "subprocess.CompletedProcess[str]":
        """As who pushes."""
        options = ["-i", self._push, "-o", f"UserKnownHostsFile={self._known}", "-o", "BatchMode=yes"]
        words = ["ssh", *map(str, options), f"mekiki@{THERE}", command]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)

    def close(self) -> None:
        shutil.rmtree(self._home, ignore_errors=True)
