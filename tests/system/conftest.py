import json
import shutil
import time
from collections.abc import Callable, Iterator

import pytest

from tests.edge.box import ROOT
from tests.system.debian import LackingError
from tests.system.machine import Machine, boot_first
from tests.system.prepared import Prepared, prepare
from tests.system.service import Service

_LOOSE = 6  # times what is wanted of a machine that is not busy; no test may fail for being run on a slow one
_BUDGET_S = 540  # what has not begun by then is left out
_BEGAN_S = time.monotonic()
_TIMES = ROOT / "out" / "bench" / "system.json"


@pytest.fixture(autouse=True)
def _in_time(request) -> None:
    if request.node.get_closest_marker("system") and time.monotonic() - _BEGAN_S > _BUDGET_S:
        pytest.skip(f"this machine is too slow: {_BUDGET_S} s are over")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Iterator[Prepared]:
    folder = tmp_path_factory.mktemp("prepared")
    try:
        yield prepare(folder)
    except LackingError as why:
        pytest.skip(str(why))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def machine(prepared, tmp_path_factory) -> Iterator[Machine]:
    """Booted, with the installer in /root/mekiki.run, and nothing of ours installed."""
    folder = tmp_path_factory.mktemp("machine")
    made = Machine(prepared.copy(folder / "root"))
    shutil.copy(prepared.installer, made.path("/root/mekiki.run"))
    try:
        boot_first(made)
        yield made
    finally:
        made.power_off()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def measured(request) -> Callable[..., None]:
    """Notes a time in seconds for the end of the run, with what is wanted of it on a machine that is not busy."""

    def note(what: str, seconds: float, wanted: float | None = None) -> None:
        request.node.user_properties.append(("seconds", (what, seconds, wanted)))
        assert wanted is None or seconds <= _LOOSE * wanted, f"{what}: {seconds:.1f} s, wanted {wanted:g} s"

    return note


@pytest.fixture(scope="session")
def installed(machine, tmp_path_factory) -> Service:
    """The service of a machine on which the installer has run, with a camera and a signed model; not started."""
    service = Service(machine, tmp_path_factory.mktemp("signer") / "keys")
    if not machine.path("/opt/mekiki/current").is_symlink():
        machine.sh("sh /root/mekiki.run --no-start")
    service.furnish()
    return service


@pytest.fixture
def service(installed) -> Iterator[Service]:
    """The same, judging."""
    installed.start()
    yield installed
    installed.reset()


def pytest_terminal_summary(terminalreporter):
    reports = [one for some in terminalreporter.stats.values() for one in some if getattr(one, "when", "") == "call"]
    times = [value for report in reports for name, value in report.user_properties if name == "seconds"]
    for what, seconds, wanted in times:
        compared = "" if wanted is None else f"   wanted {wanted:g}   {'ok' if seconds <= wanted else 'MISSED'}"
        terminalreporter.write_line(f"{what:<60} {seconds:6.2f} s{compared}")
    if times:
        _TIMES.parent.mkdir(parents=True, exist_ok=True)
        keys = ("what", "seconds", "wanted_s")
        _TIMES.write_text(json.dumps([dict(zip(keys, one, strict=True)) for one in times], indent=1) + "\n")
