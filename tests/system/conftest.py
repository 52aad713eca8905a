import os
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from deploy.installer.gather import make_installer
from tests.system.machine import Machine, lacking, make_root
from tests.system.service import Service

_BUSY = 3  # other programs on this machine make everything slower; no test may fail for that
_MEASURED: list[tuple[str, float, float | None]] = []


@pytest.fixture(scope="session")
def machine(tmp_path_factory) -> Iterator[Machine]:
    """Booted, with the installer in /root/mekiki.run, and nothing of ours installed.

    DEBIAN_ROOT may name a root that debootstrap made before: a copy of it saves that minute.
    """
    if (why := lacking()) is not None:
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("machine")
    root, began_s = folder / "root", time.monotonic()
    if ready := os.environ.get("DEBIAN_ROOT"):
        subprocess.run(["cp", "-a", ready, str(root)], check=True)
    else:
        make_root(root)
    _MEASURED.append(("a Debian made", time.monotonic() - began_s, None))
    began_s = time.monotonic()
    make_installer(root / "root/mekiki.run")
    _MEASURED.append(("the installer made", time.monotonic() - began_s, None))
    made = Machine(root)
    try:
        made.boot()
        yield made
    finally:
        made.power_off()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def measured():
    """Notes a time in seconds for the end of the run, with what it may be at most on a machine that is not busy."""

    def note(what: str, seconds: float, most: float | None = None) -> None:
        _MEASURED.append((what, seconds, most))
        assert most is None or seconds <= _BUSY * most, f"{what}: {seconds:.1f} s, at most {most:g} s"

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
    for what, seconds, most in _MEASURED:
        wanted = "" if most is None else f"   at most {most:g}   {'ok' if seconds <= most else 'MISSED'}"
        terminalreporter.write_line(f"{what:<60} {seconds:6.2f} s{wanted}")
