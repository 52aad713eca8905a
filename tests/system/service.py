"""mekiki-edge as a service of a machine: its settings, its line, its verdicts."""

import contextlib
import json
import shutil
import sqlite3
import time
import tomllib
import urllib.request
from pathlib import Path

from tests import tiny
from tests.edge.box import Subscriber, free_port
from tests.signer import Signer
from tests.system.machine import LIMIT_S, Machine, wait_for

UNIT = "mekiki-edge"
CONFIG = "/etc/mekiki/edge.toml"
FPS = 20
_HEAD = 'store = "/var/lib/mekiki/store"\ntrust = "trust"\nstate = "/var/lib/mekiki"\n'
_CAMERA = '[[camera]]\nname = "top"\nkind = "folder"\npath = "/srv/{line}"\nloop = true\nfps = {fps}\n{more}\n'


class Service:
    """Ports of this machine's network, which the machine shares."""

    def __init__(self, machine: Machine, keys: Path) -> None:
        """`keys` is a folder to be made, of who signs the bundles."""
        self.machine, self._signer = machine, Signer(keys, "line-2026")
        self.ports = {name: free_port() for name in ("bind", "replay", "trigger", "metrics")}

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.ports['bind']}"

    def furnish(self) -> None:
        """Lines to look at, bundles to judge by, settings; one bundle in force."""
        for line, patches in (("line", [tiny.OK] * 19 + [tiny.NG]), ("hangs", [tiny.OK] * 30 + [tiny.WHITE])):
            for i, patch in enumerate(patches):
                tiny.write_image(self.machine.path(f"/srv/{line}/{i:04}.png"), tiny.frame(patch, 480, 640))
        for name, options in (("a", {}), ("b", {"threshold": 0.6}), ("hangs", {"hangs": True})):
            shutil.rmtree(self.machine.path(f"/srv/{name}.bundle"), ignore_errors=True)
            self._signer.sign(tiny.make_bundle(self.machine.path(f"/srv/{name}.bundle"), **options))
        shutil.copytree(self._signer.trust, self.machine.path("/etc/mekiki/trust"), dirs_exist_ok=True)
        self.configure()
        self.install_model("a")

    def configure(self, line: str = "line", more: str = "", tables: str = "") -> None:
        """Writes the settings."""
        bus = "\n".join(f'{name} = "tcp://127.0.0.1:{port}"' for name, port in self.ports.items() if name != "metrics")
        text = _HEAD + _CAMERA.format(line=line, fps=FPS, more=more)
        text += f"[bus]\n{bus}\n[metrics]\nport = {self.ports['metrics']}\n[probation]\nparts = 0\n{tables}\n"
        tomllib.loads(text)
        self.machine.path(CONFIG).write_text(text)

    def install_model(self, name: str) -> str:
        """Puts a bundle in force. Its digest."""
        told = self.machine.sh(f"mekiki-edge model install /srv/{name}.bundle --config {CONFIG}")
        return told.split()[1].rstrip(",")

    def start(self) -> float:
        """Until it is ready; time.monotonic() of the beginning."""
        began_s = time.monotonic()
        self.machine.sh(f"systemctl start {UNIT}")
        return began_s

    def reset(self) -> None:
        """Stopped, with the settings and the model that it had at first."""
        self.machine.sh(f"systemctl stop {UNIT}; systemctl reset-failed {UNIT} 2>/dev/null || true")
        self.configure()
        self.install_model("a")

    def show(self, name: str) -> str:
        """A property of the unit."""
        return self.machine.sh(f"systemctl show --property {name} --value {UNIT}")

    def pid(self) -> int:
        """Of the daemon, as the machine counts."""
        return int(self.show("MainPID"))

    def camera_pid(self) -> int:
        """Of its camera's process."""
        found = self.machine.sh("cd /proc && grep -la edge.cameras.child [0-9]*/cmdline 2>/dev/null | head -1")
        return int(found.split("/")[0])

    def journal(self, since: str = "") -> str:
        """What it and systemd said of it, since a cursor."""
        after = f"--after-cursor '{since}'" if since else ""
        return self.machine.sh(f"journalctl --unit {UNIT} --output cat --no-pager --quiet {after}")

    def now(self) -> str:
        """Where the journal is: what comes later is since then."""
        told = self.machine.sh("journalctl --no-pager --quiet --lines 1 --output json --output-fields __CURSOR")
        return json.loads(told)["__CURSOR"]

    def metric(self, name: str) -> float:
        """One without labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['metrics']}/metrics", timeout=LIMIT_S) as answer:
            lines = answer.read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    def replayed(self, epoch: str) -> int:
        """How many verdicts of that epoch a subscriber gets that begins with the oldest in the journal."""
        with contextlib.closing(sqlite3.connect(self.machine.path("/var/lib/mekiki/journal.db"))) as journal:
            (count,) = journal.execute("SELECT COUNT(*) FROM verdict").fetchone()
        replay = f"tcp://127.0.0.1:{self.ports['replay']}"
        listen = f"mekiki-edge listen --connect {self.address} --replay {replay} --from-start --count {count}"
        return int(self.machine.sh(f"{listen} | grep -c {epoch}"))

    def subscriber(self) -> Subscriber:
        return Subscriber(self.address, LIMIT_S)

    def evidence(self) -> Path:
        return self.machine.path("/var/lib/mekiki/evidence")


def next_epoch(subscriber: Subscriber, epoch: str) -> dict:
    """The first verdict of another epoch; those before it are let pass."""
    until_s = time.monotonic() + LIMIT_S
    while (verdict := subscriber.next())["epoch"] == epoch:
        assert time.monotonic() < until_s, f"still {epoch}"
    return verdict


def gone(machine: Machine, pid: int) -> None:
    """Waits for the end of a process."""
    wait_for(lambda: machine.try_sh(f"kill -0 {pid}").returncode != 0)
