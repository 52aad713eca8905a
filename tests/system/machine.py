"""A Debian with a real systemd: a root folder booted by systemd-nspawn, entered by nsenter.

One at a time, as two would share their control groups. Without a network of its own it has this machine's, so that what
listens on a port in there is reached from here.
"""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.edge import box
from tests.system.debian import LackingError

LIMIT_S = 120  # for what takes a second: a state is waited for however busy this machine is
_BOOT_S = 60
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAMESPACES = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
_STATES = ("running", "degraded")


def wait_for(condition: object, limit_s: float = LIMIT_S) -> None:
    """As on a box, and longer."""
    box.wait_for(condition, limit_s)


class Machine:
    """From `boot` to `power_off`, as often as wanted."""

    def __init__(self, root: Path, network: Path | None = None) -> None:
        """`network` is the namespace that it gets as its own."""
        self.root, self._network = root, network
        self._console = root.parent / f"{root.name}.console"
        self._nspawn: subprocess.Popen[bytes] | None = None

    def boot(self, limit_s: float = _BOOT_S) -> None:
        """Returns when its systemd has started all that it should. Raises LackingError when it has not in that time."""
        try:
            self.switch_on(limit_s)
            wait_for(lambda: self.try_sh("systemctl is-system-running").stdout.strip() in _STATES, limit_s)
        except AssertionError as error:
            self.power_off(0)
            raise LackingError(f"no Debian boots here within {limit_s:g} s{self._said()}") from error

    def switch_on(self, limit_s: float = LIMIT_S) -> None:
        """The same, without waiting for more than its first process."""
        options = ["--boot", "--register=no", "--keep-unit", "--console=pipe", "--quiet"]
        if self._network is not None:
            options.append(f"--network-namespace-path={self._network}")
        with self._console.open("wb") as console:
            self._nspawn = subprocess.Popen(  # which ends when this process does, however that is
                ["setpriv", "--pdeathsig", "TERM", "systemd-nspawn", "-D", str(self.root), *options],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
            )  # fmt: skip
        wait_for(lambda: self._init() is not None, limit_s)

    def _init(self) -> str | None:
        """Its first process, as this machine counts, once it is in there: nspawn's own children are still out here."""
        assert self._nspawn is not None
        if self._nspawn.poll() is not None:
            raise LackingError(f"systemd-nspawn ended with {self._nspawn.returncode}{self._said()}")
        with contextlib.suppress(OSError):  # one of nspawn's own has ended meanwhile
            children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
            return next((pid for pid in children if Path(f"/proc/{pid}/comm").read_text() == "systemd\n"), None)
        return None

    def _said(self) -> str:
        """The end of what came on its console."""
        lines = self._console.read_text(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()][-3:]
        return f": {' / '.join(said)}" if said else ", and says nothing"

    def power_off(self, limit_s: float = LIMIT_S) -> None:
        """In order: every unit is stopped, as nspawn answers SIGTERM. What takes longer than that is cut off."""
        if self._nspawn is not None:
            self._nspawn.terminate()
            try:
                self._nspawn.wait(limit_s)
            except subprocess.TimeoutExpired:
                self._cut_off(self._nspawn)
        self._nspawn = None

    def _cut_off(self, nspawn: "subprocess.Popen[bytes]") -> None:
        """Its first process too, and with it all others in there: it may outlive an nspawn that is killed."""
        with contextlib.suppress(LackingError, ProcessLookupError):
            if (first := self._init()) is not None:
                os.kill(int(first), signal.SIGKILL)
        nspawn.kill()
        nspawn.wait()

    def try_sh(self, command: str, limit_s: float = LIMIT_S) -> "subprocess.CompletedProcess[str]":
        """A shell in there, as root."""
        enter = ["nsenter", "--target", str(self._init()), *_NAMESPACES, "--", "env", "-i", _PATH, "sh", "-c", command]
        return subprocess.run(
            enter, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=limit_s
        )

    def sh(self, command: str, limit_s: float = LIMIT_S) -> str:
        """The same, for what must succeed: its stdout."""
        done = self.try_sh(command, limit_s)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def path(self, inside: str) -> Path:
        """A file of it, seen from here."""
        return self.root / inside.lstrip("/")


def boot_first(machine: Machine) -> None:
    """Skips where a plain Debian does not boot: then the machine under it is the reason."""
    try:
        machine.boot()
    except LackingError as why:
        pytest.skip(str(why))
