"""Every alert and every query of the dashboards against a real Prometheus that scrapes real daemons.

All boxes run at once, each with its own fault. First nothing fires anywhere, then every fault is there and its alert
fires, then it is gone and the alert resolves; on the box without a fault nothing fires in all this time.
"""

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.grafana.__main__ import FOLDER as DASHBOARDS
from models.store import Store
from tests import tiny
from tests.deploy.test_prometheus import ALERTS
from tests.edge.box import wait_for
from tests.system.plant import (
    Station,
    by_store,
    good_line,
    install,
    seen_by_camera,
    small_disk,
    triggered,
    used_to,
)
from tests.system.prometheus import Prometheus

pytestmark = pytest.mark.system
NAMES = ("well", "down", "stale", "gone", "idle", "late", "drift", "worse", "disk", "full")
LIMIT_S = 150


@dataclass
class Fault:
    """Done to a box and undone, and the alerts that it brings there."""

    box: str
    alerts: set[str]
    begin: Callable[[], object]
    end: Callable[[], object] = lambda: None


@dataclass
class Plant:
    stations: dict[str, Station]
    faults: list[Fault] = field(default_factory=list)

    def start(self) -> None:
        for station in self.stations.values():
            station.start()

    def dead(self) -> dict[str, str]:
        """Boxes whose daemon has ended, and what it said."""
        return {name: one.said for name, one in self.stations.items() if one.process and one.process.poll() is not None}


@pytest.fixture(scope="module")
def plant(tmp_path_factory) -> Iterator[Plant]:
    if shutil.which("prometheus") is None:
        pytest.skip("no prometheus here; Debian has it in the package prometheus")
    folder = tmp_path_factory.mktemp("plant")
    bundle = tiny.make_bundle(folder / "tiny.bundle")
    made = Plant({name: Station(folder / name, bundle) for name in NAMES if name != "disk" or os.geteuid() == 0})
    with contextlib.ExitStack() as stack:
        for station in made.stations.values():
            stack.callback(station.kill)
        made.faults = list(faults(made.stations, folder, stack))
        made.start()
        yield made


def faults(stations: dict[str, Station], folder: Path, stack: contextlib.ExitStack) -> Iterator[Fault]:
    for name in ("well", "down"):
        good_line(stations[name])
    good_line(stations["full"], "[evidence]\nok_share = 1")
    yield Fault("down", {"MekikiBoxDown"}, stations["down"].kill, lambda: restarted(stations["down"]))
    full = stations["full"]
    yield Fault(
        "full",
        {"MekikiJournalBacklog", "MekikiEvidenceLost"},
        lambda: full.no_file_grows(is_full=True),
        lambda: full.no_file_grows(is_full=False),
    )
    yield from _cameras(stations, folder, stack)
    yield from _models(stations, folder)
    if "disk" in stations:
        state = stations["disk"].box.folder / "state"
        fill = stack.enter_context(small_disk(state))
        good_line(stations["disk"])
        yield Fault("disk", {"MekikiDiskFull"}, fill, (state / "ballast").unlink)


def _cameras(stations: dict[str, Station], folder: Path, stack: contextlib.ExitStack) -> Iterator[Fault]:
    gone = stack.enter_context(seen_by_camera(stations["gone"]))
    yield Fault("gone", {"MekikiCameraDown"}, lambda: setattr(gone, "on", False), lambda: setattr(gone, "on", True))
    camera = stack.enter_context(seen_by_camera(stations["stale"]))
    yield Fault(
        "stale",
        {"MekikiStaleFrames", "MekikiUnknownRatio"},
        lambda: setattr(camera, "still", True),
        lambda: setattr(camera, "still", False),
    )
    stack.enter_context(seen_by_camera(stations["idle"], 'trigger = "external"'))
    wanted = threading.Event()
    wanted.set()
    stack.enter_context(triggered(stations["idle"], wanted))
    yield Fault("idle", {"MekikiNoVerdicts"}, wanted.clear, wanted.set)
    drifting = stack.enter_context(seen_by_camera(stations["drift"], fps=25))
    stations["drift"].box.bundle = used_to(folder / "used", drifting)
    stations["drift"].box.write_source(drifting.url, tables="[drift]\nparts = 50\nleast = 20")
    yield Fault(
        "drift",
        {"MekikiNgShift", "MekikiNgExcess", "MekikiScoreDrift", "MekikiPictureDrift"},
        lambda: setattr(drifting, "image", tiny.frame(tiny.NG)),
        lambda: setattr(drifting, "image", tiny.frame()),
    )


def _models(stations: dict[str, Station], folder: Path) -> Iterator[Fault]:
    late, worse = by_store(stations["late"]), by_store(stations["worse"])
    slow = late.add(tiny.make_bundle(folder / "slow.bundle", slow_s=0.4)).digest
    first = late.state().active
    assert first is not None
    yield Fault("late", {"MekikiDeadlineMisses"}, lambda: late.activate(slow), lambda: late.activate(first))
    strict = tiny.make_bundle(folder / "strict.bundle", threshold=0.05)
    wrong = worse.add(tiny.make_bundle(folder / "wrong.bundle", golden_error=0.1)).digest

    def begin() -> None:
        install(stations["worse"], strict)
        wait_for(lambda: not worse.state().on_probation)
        refused(worse, wrong)

    yield Fault("worse", {"MekikiProbationFailed", "MekikiModelRefused"}, begin)


def refused(store: Store, digest: str) -> None:
    store.activate(digest, on_probation=True)
    wait_for(lambda: store.state().active != digest)


def restarted(station: Station) -> None:
    """Several times, as one that fails again and again."""
    for _ in range(4):
        station.again()
        time.sleep(1)  # a scrape must see each


def await_none(left: Callable[[], dict[str, set[str]]]) -> None:
    """Until no box has any of these alerts left."""
    until_s = time.monotonic() + LIMIT_S
    while some := {box: alerts for box, alerts in left().items() if alerts}:
        assert time.monotonic() < until_s, some
        time.sleep(0.2)


def queries() -> list[str]:
    """Of every panel, with all boxes and cameras chosen."""
    boards = [json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))]
    found = [target["expr"] for board in boards for panel in board["panels"] for target in panel["targets"]]
    return [expr.replace("$line", ".*").replace("$instance", ".*").replace("$camera", ".*") for expr in found]


def test_each_alert_fires_at_its_fault_and_resolves_after_it_and_every_panel_has_something_to_show(plant, tmp_path):
    ports = {name: station.box.metrics_port for name, station in plant.stations.items()}
    with Prometheus(tmp_path / "prometheus", ports) as prometheus:
        wait_for(lambda: len(prometheus.query("mekiki:parts:rate5m > 0")) == len(ports), LIMIT_S)
        wait_for(lambda: not prometheus.query('ALERTS{alertstate="firing"}'), LIMIT_S)
        wait_for(
            lambda: prometheus.query('count_over_time(mekiki:ng_share:ratio1d{instance="drift"}[60s]) > 40'), LIMIT_S
        )
        for fault in plant.faults:
            fault.begin()
        await_none(lambda: {fault.box: fault.alerts - prometheus.fired(fault.box) for fault in plant.faults})
        assert [expr for expr in queries() if not prometheus.query(expr)] == []
        for fault in plant.faults:
            fault.end()
        wait_for(lambda: "MekikiRestarts" in prometheus.fired("down"), LIMIT_S)
        assert plant.dead() == {}
        await_none(lambda: {fault.box: prometheus.firing(fault.box) for fault in plant.faults})
        assert plant.dead() == {}
        assert prometheus.fired("well") == set()
        wanted = ALERTS.keys() if "disk" in plant.stations else ALERTS.keys() - {"MekikiDiskFull"}
        assert set().union(*(prometheus.fired(name) for name in ports)) == wanted
