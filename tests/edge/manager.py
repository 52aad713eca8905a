"""A service manager's end of sd_notify, for tests: a real datagram socket that hears what a daemon says."""

import os
import socket
import time
from pathlib import Path


class Manager:
    def __init__(self, address: str | Path, watchdog_s: float | None = None) -> None:
        """A path, or a name that begins with "@" in the abstract space."""
        self._address, self._watchdog_s = str(address), watchdog_s
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self._address[1:] if self._address.startswith("@") else self._address)
        self.heard: list[str] = []  # lines, in order

    @property
    def environment(self) -> dict[str, str]:
        watchdog = {} if self._watchdog_s is None else {"WATCHDOG_USEC": str(int(self._watchdog_s * 1e6))}
        return {"NOTIFY_SOCKET": self._address} | watchdog

    def __enter__(self) -> "Manager":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def hear(self, limit_s: float = 0.0) -> list[str]:
        """The next message's lines, [] when none comes in time."""
        self._socket.settimeout(limit_s or 0.001)
        try:
            lines = self._socket.recv(8192).decode().split("\n")
        except TimeoutError:
            return []
        self.heard += lines
        return lines

    def wait_for(self, line: str, limit_s: float = 30.0) -> list[str]:
        """The message in which that line stands."""
        until_s = time.monotonic() + limit_s
        while time.monotonic() < until_s:
            if line in (lines := self.hear(0.1)):
                return lines
        raise AssertionError(f"no {line} within {limit_s} s; heard {self.heard[-8:]}")


def own_watchdog(watchdog_s: float) -> dict[str, str]:
    """What systemd sets for this very process."""
    return {"WATCHDOG_USEC": str(int(watchdog_s * 1e6)), "WATCHDOG_PID": str(os.getpid())}
