"""Boxes behind a real sshd: each its own port, host key, settings and state, here and as the current user."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from models.store import Store
from tests import tiny
from tests.edge.box import ROOT, Box, children, free_port, wait_for

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
_CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {keys}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp
"""


def need_sshd() -> None:
    """Skips where boxes cannot be reached as they are on a line."""
    need_ansible()
    for tool in ("sshd", "ssh", "ssh-keygen", "rsync"):
        if SSHD is None or (tool != "sshd" and shutil.which(tool) is None):
            pytest.skip(f"no {tool} here; install openssh-server and rsync")


def need_ansible() -> None:
    """Skips where nothing but a store of this machine can be reached."""
    pytest.importorskip("ansible", reason="ansible-core is not installed (the extra `deploy`)")


def make_key(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


class Far:
    """One box that is reached over SSH."""

    def __init__(self, name: str, folder: Path, keys: Path, bundle: Path) -> None:
        self.name, self.port, self.ssh_port = name, free_port(), 0
        self.ssh_port = self.port
        folder.mkdir()
        self.box = Box(folder, bundle)
        self.box.images("line", [tiny.OK, tiny.NG])
        self.box.write_folder("line", head='store = "store"')
        make_key(folder / "host_key")
        (folder / "sshd_config").write_text(_CONFIG.format(port=self.port, folder=folder, keys=keys))
        self.command = folder / "mekiki-edge"
        self.command.write_text(f'#!/bin/sh\ncd {ROOT} && PYTHONPATH={ROOT} exec {sys.executable} -m edge.cli "$@"\n')
        self.command.chmod(0o755)
        self.log = folder / "sshd.log"
        self.sshd: subprocess.Popen[bytes] | None = None

    @property
    def store(self) -> Store:
        return Store(self.box.folder / "store")

    @property
    def active(self) -> str | None:
        return self.store.state().active

    @property
    def incoming(self) -> list[Path]:
        folder = self.box.folder / "state" / "incoming"
        return list(folder.iterdir()) if folder.is_dir() else []

    def host_line(self) -> str:
        key = (self.box.folder / "host_key.pub").read_text().split()
        return f"[127.0.0.1]:{self.ssh_port} {key[0]} {key[1]}\n"

    def start(self) -> None:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where it drops its privileges
        command = [str(SSHD), "-D", "-f", str(self.box.folder / "sshd_config"), "-E", str(self.log)]
        self.sshd = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        wait_for(self._answers)

    def stop(self) -> None:
        """Ends it with all of its connections."""
        if self.sshd is not None:
            for pid in children(self.sshd.pid):
                os.kill(pid, signal.SIGKILL)
            self.sshd.kill()
            self.sshd.wait()
            self.sshd = None

    def _answers(self) -> bool:
        assert self.sshd is not None
        assert self.sshd.poll() is None, self.log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Plant:
    """Boxes with an inventory, and the command that is run on them."""

    def __init__(self, folder: Path, bundle: Path, names: list[str]) -> None:
        self.folder = folder
        self.key = make_key(folder / "keys" / "id")
        shutil.copyfile(folder / "keys" / "id.pub", folder / "keys" / "authorized_keys")
        self.boxes = {name: Far(name, folder / name, folder / "keys", bundle) for name in names}
        self.home = Path(tempfile.mkdtemp(prefix="mk-"))  # short: sockets of SSH lie in it
        self.inventory = folder / "line.yml"
        self.write_inventory()

    def write_inventory(self, **changed: str) -> None:
        known = self.folder / "known_hosts"
        known.write_text("".join(box.host_line() for box in self.boxes.values()))
        lines = [
            "line3:",
            "  vars:",
            "    ansible_host: 127.0.0.1",
            f"    ansible_user: {getpass.getuser()}",
            f"    ansible_ssh_private_key_file: {self.key}",
            f"    ansible_ssh_common_args: -o UserKnownHostsFile={known} -o IdentitiesOnly=yes",
            "    mekiki_wait_every_s: 1",
            *(f"    {name}: {value}" for name, value in changed.items()),
            "  hosts:",
        ]
        for name, box in self.boxes.items():
            lines += [
                f"    {name}:",
                f"      ansible_port: {box.ssh_port}",
                f"      mekiki_edge: {box.command}",
                f"      mekiki_config: {box.box.config}",
            ]
        self.inventory.write_text("\n".join(lines) + "\n")

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(ROOT), "ANSIBLE_HOME": str(self.home), "MEKIKI_TEST": "1"}

    def popen(self, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "deploy.cli", *map(str, arguments)]
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip

    def run(self, *arguments: object) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        process = self.popen(*arguments)
        try:
            out, err = process.communicate(timeout=170)
        finally:
            process.kill()
        return process.returncode, out, err

    def close(self) -> None:
        for box in self.boxes.values():
            box.stop()
        shutil.rmtree(self.home, ignore_errors=True)
