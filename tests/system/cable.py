"""A network for a second machine: one wire to here, and at this end of it the mirror of Debian that a plant has."""

import contextlib
import http.server
import os
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.system.debian import needs

HERE, THERE = "169.254.77.1", "169.254.77.2"  # of a network that no router knows


@contextlib.contextmanager
def cable() -> Iterator[Path]:
    """A network namespace in which THERE is, reached from HERE and reaching nothing else. Raises LackingError."""
    name = f"mekiki{os.getpid()}"
    _ip("netns", "add", name)
    try:
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("addr", "add", f"{HERE}/30", "dev", name)
        _ip("link", "set", name, "up")
        _ip("-n", name, "link", "set", "lo", "up")  # which a machine in there may not
        _ip("-n", name, "addr", "add", f"{THERE}/30", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        yield Path("/run/netns") / name
    finally:
        _ip("netns", "del", name)


def _ip(*words: str) -> None:
    needs(["ip", *words], 20, "a network of its own")


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
