"""The root folder of a Debian of our own, made by debootstrap, and what that and booting it want of this machine.

What this machine lacks is found out before anything is made, every step has its limit, and none of it is a failure.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path

RELEASE = "bookworm"
# Debian's minimal base, an init, what the installer asks for, and how people come in.
PACKAGES = "systemd,systemd-sysv,dbus,python3,openssh-server"
TOOLS = ("debootstrap", "systemd-nspawn", "nsenter", "unshare", "setpriv", "ip")
_DEFAULT_MIRROR = "http://deb.debian.org/debian"
# What is mounted and started in there is gone when it ends, however that is.
_APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


class LackingError(Exception):
    """This machine cannot do it, and this is why: a reason to skip."""


def refuse_here(folder: Path, room_bytes: int) -> None:
    """Raises LackingError where no Debian can be made or booted, as far as that can be told at once."""
    if os.geteuid() != 0:
        raise LackingError("root is wanted, for debootstrap and systemd-nspawn")
    if tools := [tool for tool in TOOLS if shutil.which(tool) is None]:
        raise LackingError(f"no {', '.join(tools)} here (apt-get install debootstrap systemd-container iproute2)")
    if (free := shutil.disk_usage(folder).free) < room_bytes:
        raise LackingError(f"{free / 1e9:.1f} GB free at {folder}, {room_bytes / 1e9:.1f} GB are wanted")
    needs([*_APART, "mount", "-t", "tmpfs", "tmpfs", tempfile.gettempdir()], 20, "a namespace with mounts of its own")


def make_root(folder: Path, mirror: str | None = None, limit_s: float = 240) -> Path:
    """Debian's minimal base and PACKAGES. Raises LackingError where they cannot be had, or not in time."""
    mirror = own_mirror() if mirror is None else mirror
    _refuse_silent(mirror, min(15, limit_s))
    what = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, str(folder), mirror]
    needs([*_APART, *what], limit_s, f"a Debian from {mirror}")
    return folder


def own_mirror() -> str:
    """The first of this machine's own sources that has Debian's main archive."""
    words = ["apt-get", "indextargets", "--format", "$(SITE) $(LABEL)", "Created-By: Packages"]
    with contextlib.suppress(OSError):
        told = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20).stdout.splitlines()
        return next((line.split()[0] for line in told if line.split()[1:] == ["Debian"]), _DEFAULT_MIRROR)
    return _DEFAULT_MIRROR


def _refuse_silent(mirror: str, limit_s: float) -> None:
    """Debootstrap would try for hours."""
    try:
        with urllib.request.urlopen(f"{mirror}/dists/{RELEASE}/Release", timeout=limit_s) as answer:  # noqa: S310 - whatever this machine gets its packages from
            answer.read(1)
    except OSError as error:
        raise LackingError(f"{mirror} does not answer ({error}); a mirror of Debian is wanted") from error


def needs(command: Sequence[str], limit_s: float, what: str) -> None:
    """Runs what this machine may not be able to do. Raises LackingError where it fails, or takes longer."""
    code, lines = bounded(command, limit_s, what)
    if code != 0:
        raise LackingError(f"{what}: {command[0]} ended with {code}: {' / '.join(lines[-3:]) or 'no word'}")


def bounded(command: Sequence[str], limit_s: float, what: str) -> tuple[int, list[str]]:
    """Exit code, and the lines that it said. Raises LackingError where it takes longer. Leaves nothing running."""
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=told, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired as error:
            raise LackingError(f"{what}: not there within {limit_s:g} s") from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        told.seek(0)
        return code, told.read().decode(errors="replace").strip().splitlines()
