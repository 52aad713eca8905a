"""Tells the service manager how the daemon is: sd_notify(3), the few lines of it that are needed. The main thread.

Where nobody asked for it (no $NOTIFY_SOCKET) nothing is sent, and the daemon is the same.
"""

import logging
import os
import socket
import time
from collections.abc import Mapping

_MORE_US = 10_000_000  # that a start may take from the last word on
_log = logging.getLogger(__name__)


class Notifier:
    """Sends datagrams; a manager that does not take one changes nothing for the line."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Reads $NOTIFY_SOCKET and what systemd wants of a watchdog: $WATCHDOG_USEC, if $WATCHDOG_PID is ours."""
        address = environment.get("NOTIFY_SOCKET", "")
        # "@" begins an abstract address, whose first byte is 0.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._has_complained, self._extend_s = False, 0.0
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        limit_us = environment.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(limit_us) / 1e6 if ours and self._address and limit_us.isdecimal() else None

    def ready(self, status: str) -> None:
        """The start, or a reload, is done."""
        self._send("READY=1", f"STATUS={status}")

    def alive(self, status: str) -> None:
        """Whoever calls this has looked at the pipeline first."""
        self._send("WATCHDOG=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={status}")

    def starting(self, status: str) -> None:
        """The start goes on. Call it as often as you like: the manager is told once a second."""
        if time.monotonic() >= self._extend_s:
            self._extend_s = time.monotonic() + 1
            self._send(f"EXTEND_TIMEOUT_USEC={_MORE_US}", f"STATUS={status}")

    def reloading(self) -> None:
        """`ready` follows. The time is what Type=notify-reload asks for, from systemd 253 on."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """The end has begun."""
        self._send("STOPPING=1", f"STATUS={status}")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        text = "\n".join(" ".join(line.split("\n")) for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as made:
                made.settimeout(0.2)
                made.sendto(text.encode(), self._address)
        except OSError as error:
            if not self._has_complained:
                _log.warning("the service manager does not hear us (%s); it may restart a daemon that is well", error)
            self._has_complained = True
