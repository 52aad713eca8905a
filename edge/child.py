"""A process of the daemon's own: how it is started, and how it ends with the daemon."""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_PR_SET_PDEATHSIG = 1


def spawn(module: str, memory: int, end: int) -> subprocess.Popen[bytes]:
    """Starts `python -m MODULE MEMORY SOCKET PARENT`, which has both file descriptors. Raises OSError.

    It dies with the thread that calls this: call it on one that lives as long as the process is needed.
    """
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    # -P: a folder named `edge` where the daemon was started is none of ours.
    python = [sys.executable, "-P", "-X", "faulthandler"]
    return subprocess.Popen(
        [*python, "-m", module, str(memory), str(end), str(os.getpid())],
        # Ctrl-C in a terminal is for the daemon. No session of its own: Linux gives each as much of the processor as
        # any other (sched_autogroup), whatever the priorities within; a candidate would get as much as the daemon.
        process_group=0,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": path},
        pass_fds=(memory, end),
    )


def die_with(parent: int) -> None:
    """A stop goes to the daemon, which ends us; systemd and a terminal send it to every process."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def death_of(popen: subprocess.Popen[bytes], wait_s: float) -> str:
    """How a process ended, in words; it has so long for it."""
    try:
        code = popen.wait(wait_s)
    except subprocess.TimeoutExpired:
        return "no exit code yet"
    if code < 0 and -code in {number.value for number in signal.Signals}:
        return signal.Signals(-code).name
    return f"exit code {code}"
