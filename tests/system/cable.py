"""A network for a second machine: one wire to here, and at this end of it the mirror of Debian that a plant has."""

import contextlib
import http.server
import os
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.system.debian import LackingError, needs
from tests.system.machine import wait_for

_NET = f"169.254.{16 + os.getpid() % 200}"  # of link-local addresses, which no router knows; another for each run
HERE, THERE = f"{_NET}.1", f"{_NET}.2"


@contextlib.contextmanager
def cable() -> Iterator[Path]:
    """A network namespace in which THERE is, reached from HERE and reaching nothing else. Raises LackingError."""
    # It lives as long as a process that sleeps in it, and that one as long as this process, however it ends.
    sleeps = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"]
    with subprocess.Popen(sleeps, stderr=subprocess.DEVNULL) as holder:
        try:
            wait_for(lambda: _is_apart(holder))
            _connect(str(holder.pid))
            yield _network_of(holder.pid)
        finally:
            holder.kill()


def _network_of(pid: int) -> Path:
    return Path(f"/proc/{pid}/ns/net")


def _is_apart(holder: "subprocess.Popen[bytes]") -> bool:
    if holder.poll() is not None:
        raise LackingError(f"a network of its own: unshare ended with {holder.returncode}")
    return _network_of(holder.pid).readlink() != _network_of(os.getpid()).readlink()


def _connect(pid: str) -> None:
    near = f"mekiki{os.getpid()}"
    _ip("ip", "link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", pid)
    _ip("ip", "addr", "add", f"{HERE}/30", "dev", near)
    _ip("ip", "link", "set", near, "up")
    inside = ("nsenter", f"--net={_network_of(int(pid))}", "ip")
    _ip(*inside, "link", "set", "lo", "up")  # which a machine in there may not
    _ip(*inside, "addr", "add", f"{THERE}/30", "dev", "eth0")
    _ip(*inside, "link", "set", "eth0", "up")


def _ip(*command: str) -> None:
    needs(command, 20, "a network of its own")


@contextlib.contextmanager
def mirror_at_hand(mirror: str) -> Iterator[str]:
    """Serves at HERE what that mirror has. The address for sources.list."""
    server = http.server.ThreadingHTTPServer((HERE, 0), _Passing)
    server.mirror = mirror
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HERE}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(20)


class _Passing(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        try:
            with urllib.request.urlopen(self.server.mirror + self.path, timeout=60) as answer:  # noqa: S310 - whatever this machine gets its packages from
                self.send_response(200)
                self.send_header("Content-Length", answer.headers["Content-Length"])
                self.end_headers()
                shutil.copyfileobj(answer, self.wfile)
        except urllib.error.HTTPError as error:
            self.send_error(error.code)
        except OSError as error:
            self.send_error(502, str(error))

    def log_message(self, *_: object) -> None:
        """Nothing is said of each request."""
