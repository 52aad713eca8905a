"""A Debian of our own with a real systemd: made by debootstrap, booted by systemd-nspawn, entered by nsenter.

It has this machine's network, so that what listens on a port in there is reached from here. One at a time.
"""

import os
import shutil
import subprocess
from pathlib import Path

from tests.edge.box import wait_for

PACKAGES = "systemd,systemd-sysv,dbus,python3"  # Debian's minimal base, an init, and what the installer asks for
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAMESPACES = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
_STATES = ("running", "degraded")


def lacking() -> str | None:
    """Why no machine can be made here, None when it can."""
    if os.geteuid() != 0:
        return "root is wanted, for debootstrap and systemd-nspawn"
    tools = [tool for tool in ("debootstrap", "systemd-nspawn", "nsenter") if shutil.which(tool) is None]
    return f"no {', '.join(tools)} here (apt-get install debootstrap systemd-container)" if tools else None


def make_root(folder: Path, release: str = "bookworm") -> Path:
    """Debian's minimal base and PACKAGES, from the mirror that this machine's own apt uses."""
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", release, str(folder), *_mirror()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder


def _mirror() -> list[str]:
    """The first of this machine's sources that has Debian's main archive; debootstrap's own choice without any."""
    words = ["apt-get", "indextargets", "--format", "$(SITE) $(LABEL)", "Created-By: Packages"]
    told = subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()
    return [line.split()[0] for line in told if line.split()[1:] == ["Debian"]][:1]


class Machine:
    """From `boot` to `power_off`, as often as wanted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._nspawn: subprocess.Popen[bytes] | None = None

    def boot(self) -> None:
        """Returns when its systemd has started all that it should."""
        self.switch_on()
        wait_for(lambda: self.try_sh("systemctl is-system-running").stdout.strip() in _STATES)

    def switch_on(self) -> None:
        """The same, without waiting for more than its first process."""
        options = ["--boot", "--register=no", "--keep-unit", "--console=pipe", "--quiet"]
        self._nspawn = subprocess.Popen(
            ["systemd-nspawn", "-D", str(self.root), *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for(lambda: self._init() is not None)

    def _init(self) -> str | None:
        """Its first process, as this machine counts. Asked anew each time: nspawn's first child is another."""
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, "systemd-nspawn ended; run it by hand to see why"
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        return children[0] if children else None

    def power_off(self, limit_s: float = 30) -> None:
        """In order: every unit is stopped. nspawn itself answers SIGTERM that way."""
        if self._nspawn is not None:
            self._nspawn.terminate()
            try:
                self._nspawn.wait(limit_s)
            finally:
                self._nspawn.kill()
                self._nspawn.wait()
        self._nspawn = None

    def try_sh(self, command: str, limit_s: float = 120) -> "subprocess.CompletedProcess[str]":
        """A shell in there, as root."""
        enter = ["nsenter", "--target", str(self._init()), *_NAMESPACES, "--", "env", "-i", _PATH, "sh", "-c", command]
        return subprocess.run(
            enter, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=limit_s
        )

    def sh(self, command: str, limit_s: float = 120) -> str:
        """The same, for what must succeed: its stdout."""
        done = self.try_sh(command, limit_s)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def path(self, inside: str) -> Path:
        """A file of it, seen from here."""
        return self.root / inside.lstrip("/")
