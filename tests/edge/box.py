"""A box for tests: a folder with settings, free ports, the real daemon as its own process, a real subscriber."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from tests import tiny

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def shared(name: str) -> Path:
    """A file of the development data, or a skipped test."""
    for folder in (os.environ.get("MEKIKI_SHARED"), ROOT.parent / "shared"):
        if folder and (Path(folder) / name).exists():
            return Path(folder) / name
    return pytest.skip(f"no {name} at MEKIKI_SHARED or {ROOT.parent / 'shared'}")


class Box:
    def __init__(self, folder: Path, bundle: Path) -> None:
        self.folder, self.bundle = folder, bundle
        self.bus_port, self.metrics_port = free_port(), free_port()
        self.config = folder / "edge.toml"

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.bus_port}"

    def images(self, name: str, patches: list[int]) -> Path:
        for i, patch in enumerate(patches):
            tiny.write_image(self.folder / name / f"{i:04}.png", tiny.frame(patch))
        return self.folder / name

    def write(self, cameras: str, head: str | None = None, bus: str = "", metrics: str = "") -> Path:
        head = f'bundle = "{self.bundle}"' if head is None else head
        self.config.write_text(
            f'{head}\n{cameras}\n[bus]\nbind = "{self.address}"\n{bus}\n'
            f"[metrics]\nport = {self.metrics_port}\n{metrics}\n"
        )
        return self.config

    def write_folder(self, path: str, extra: str = "", **settings: str) -> Path:
        return self.write(f'[[camera]]\nname = "top"\nkind = "folder"\npath = "{path}"\n{extra}', **settings)

    def write_source(self, source: object, extra: str = "", **settings: str) -> Path:
        text = json.dumps(str(source))
        return self.write(f'[[camera]]\nname = "side"\nkind = "opencv"\nsource = {text}\n{extra}', **settings)

    def popen(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "edge.cli", *arguments],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, **environment: str) -> tuple[int, str, str]:
        """Runs the daemon to its own end: exit code, stdout, stderr."""
        process = self.popen("run", "--config", str(self.config), **environment)
        try:
            out, err = process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()
        return process.returncode, out, err

    @contextlib.contextmanager
    def daemon(self, **environment: str) -> Iterator[subprocess.Popen[str]]:
        process = self.popen("run", "--config", str(self.config), **environment)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def answers(self) -> bool:
        """Whether the daemon is up: its endpoint is there before it waits for a subscriber."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.metrics_port)) == 0

    def scrape(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            return answer.read().decode()


class Subscriber:
    """Verdicts as they come, oldest first."""

    def __init__(self, address: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, 100_000)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        self._socket.connect(address)

    def __enter__(self) -> "Subscriber":
        return self

    def __exit__(self, *_: object) -> None:
        self._context.destroy(linger=0)

    def next(self, limit_s: float = LIMIT_S) -> dict:
        assert self._socket.poll(int(limit_s * 1000)), f"no verdict within {limit_s} s"
        topic, text = self._socket.recv_multipart()
        verdict = json.loads(text)
        assert topic.decode() == verdict["camera"]
        return verdict

    def take(self, count: int) -> list[dict]:
        return [self.next() for _ in range(count)]

    def rest(self, quiet_s: float = 0.3) -> list[dict]:
        """What still comes until nothing does."""
        verdicts = []
        while self._socket.poll(int(quiet_s * 1000)):
            verdicts.append(json.loads(self._socket.recv_multipart()[1]))
        return verdicts


def wait_for(condition: object, limit_s: float = LIMIT_S) -> None:
    until_s = time.monotonic() + limit_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until_s, "it did not happen in time"
        time.sleep(0.02)


def no_holes(verdicts: list[dict]) -> bool:
    """Per camera of one epoch: seq is 0, 1, 2, ..."""
    assert len({verdict["epoch"] for verdict in verdicts}) == 1
    by_camera: dict[str, list[int]] = {}
    for verdict in verdicts:
        by_camera.setdefault(verdict["camera"], []).append(verdict["seq"])
    return all(seqs == list(range(len(seqs))) for seqs in by_camera.values())
