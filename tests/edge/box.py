"""A box for tests: a folder with settings, free ports, the real daemon as its own process, a real subscriber."""

import contextlib
import itertools
import json
import os
import random
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq
from prometheus_client.parser import text_string_to_metric_families

from tests import tiny

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 30


# Below the ports that systems lend to outgoing connections, each given once: a system asked twice may lend one twice.
_PORTS = itertools.cycle(random.Random(os.getpid()).sample(range(18_000, 32_000), 14_000))


def free_port() -> int:
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable: the ports go round")


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
        self.replay_port, self.trigger_port = free_port(), free_port()
        self.config = folder / "edge.toml"

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.bus_port}"

    @property
    def replay(self) -> str:
        return f"tcp://127.0.0.1:{self.replay_port}"

    @property
    def trigger(self) -> str:
        return f"tcp://127.0.0.1:{self.trigger_port}"

    def images(self, name: str, patches: list[int]) -> Path:
        for i, patch in enumerate(patches):
            tiny.write_image(self.folder / name / f"{i:04}.png", tiny.frame(patch))
        return self.folder / name

    def write(self, cameras: str, head: str | None = None, bus: str = "", metrics: str = "", tables: str = "") -> Path:
        head = f'bundle = "{self.bundle}"' if head is None else head
        self.config.write_text(
            f'{head}\n{cameras}\n[bus]\nbind = "{self.address}"\nreplay = "{self.replay}"\n'
            f'trigger = "{self.trigger}"\n{bus}\n'
            f"[metrics]\nport = {self.metrics_port}\n{metrics}\n{tables}\n"
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
            stdin=subprocess.DEVNULL,  # in a terminal SIGHUP would be a stop
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def popen_to(self, out: Path, *arguments: str) -> subprocess.Popen[str]:
        """As `popen`, with stdout at the end of a file."""
        command = [sys.executable, "-m", "edge.cli", *arguments]
        with out.open("a") as file:
            return subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.DEVNULL, text=True)

    def run(self, **environment: str) -> tuple[int, str, str]:
        """Runs the daemon to its own end: exit code, stdout, stderr."""
        process = self.popen("run", "--config", str(self.config), **environment)
        try:
            out, err = process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()
        return process.returncode, out, err

    def judge(self) -> list[dict]:
        """All verdicts of a daemon that runs to its own end, without a hole and without a word."""
        with Subscriber(self.address) as subscriber:
            code, out, err = self.run()
            verdicts = subscriber.rest()
        assert (code, out) == (0, ""), err
        assert "Traceback" not in err
        assert no_holes(verdicts)
        return verdicts

    def check(self) -> str:
        """What `mekiki-edge check` says where all is in order."""
        process = self.popen("check", "--config", str(self.config))
        out, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, out + err
        return out

    @contextlib.contextmanager
    def daemon(self, **environment: str) -> Iterator[subprocess.Popen[str]]:
        process = self.popen("run", "--config", str(self.config), **environment)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def heatmap(self, patch: int) -> np.ndarray:
        """The first that a daemon of this box shows of such frames, uint8 (H, W, 3) BGR."""
        import cv2

        address = f"tcp://127.0.0.1:{free_port()}"
        self.images("line", [patch])
        self.write_folder("line", "loop = true\nfps = 20", bus=f'pictures = "{address}"')
        with zmq.Context() as context, context.socket(zmq.SUB) as subscriber, self.daemon():
            subscriber.linger = 0
            subscriber.subscribe("heatmap/top")
            subscriber.connect(address)
            assert subscriber.poll(LIMIT_S * 1000), "no heatmap came"
            return cv2.imdecode(np.frombuffer(subscriber.recv_multipart()[2], np.uint8), cv2.IMREAD_COLOR)

    def answers(self) -> bool:
        """Whether the daemon is up: its endpoint is there before it waits for a subscriber."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.metrics_port)) == 0

    def scrape(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            return answer.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over all its series that have these labels, 0 without any."""
        families = text_string_to_metric_families(self.scrape())
        samples = (sample for family in families for sample in family.samples if sample.name == name)
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def journal(self) -> dict[tuple[str, str, int], dict]:
        """Every verdict on disk, by epoch, camera and seq, in the order in which they were written."""
        with contextlib.closing(sqlite3.connect(self.folder / "state" / "journal.db")) as journal:
            rows = journal.execute("SELECT epoch, camera, seq, verdict FROM verdict ORDER BY id").fetchall()
        return {(epoch, camera, seq): json.loads(text) for epoch, camera, seq, text in rows}


class Subscriber:
    """Verdicts as they come, oldest first: no heartbeat, and none twice, as a newcomer is sent the last ones again."""

    def __init__(self, address: str, limit_s: float = LIMIT_S) -> None:
        """`limit_s` is how long a verdict may take, where nothing else is said."""
        self._limit_s = limit_s
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, 100_000)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"verdict/")
        self._socket.connect(address)
        self._seen: set[tuple[str, str, int]] = set()

    def __enter__(self) -> "Subscriber":
        return self

    def __exit__(self, *_: object) -> None:
        self._context.destroy(linger=0)

    def next(self, limit_s: float | None = None) -> dict:
        limit_s = self._limit_s if limit_s is None else limit_s
        verdict = self.poll(limit_s)
        assert verdict is not None, f"no verdict within {limit_s} s"
        return verdict

    def poll(self, limit_s: float) -> dict | None:
        until_s = time.monotonic() + limit_s
        while self._socket.poll(max(0, int((until_s - time.monotonic()) * 1000))):
            topic, text = self._socket.recv_multipart()
            self.read_ns = time.monotonic_ns()
            verdict = json.loads(text)
            assert topic.decode() == f"verdict/{verdict['camera']}"
            name = (verdict["epoch"], verdict["camera"], verdict["seq"])
            if name not in self._seen:
                self._seen.add(name)
                return verdict
        return None

    def take(self, count: int) -> list[dict]:
        return [self.next() for _ in range(count)]

    def there(self) -> list[dict]:
        """What has come already."""
        return self.rest(0)

    def rest(self, quiet_s: float = 0.3) -> list[dict]:
        """What still comes until nothing does."""
        verdicts = []
        while (verdict := self.poll(quiet_s)) is not None:
            verdicts.append(verdict)
        return verdicts


def wait_for(condition: object, limit_s: float = LIMIT_S) -> None:
    until_s = time.monotonic() + limit_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until_s, "it did not happen in time"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still run, a zombie among them."""
    stats = [path / "stat" for path in Path("/proc").iterdir() if path.name.isdigit()]
    found = []
    for stat in stats:
        with contextlib.suppress(OSError):  # it ended meanwhile
            number, _, after = stat.read_text().partition(" (")
            if int(after.rpartition(") ")[2].split()[1]) == pid:
                found.append(int(number))
    return found


def no_holes(verdicts: list[dict]) -> bool:
    """Per camera of one epoch: seq is 0, 1, 2, ..."""
    assert len({verdict["epoch"] for verdict in verdicts}) == 1
    by_camera: dict[str, list[int]] = {}
    for verdict in verdicts:
        by_camera.setdefault(verdict["camera"], []).append(verdict["seq"])
    return all(seqs == list(range(len(seqs))) for seqs in by_camera.values())
