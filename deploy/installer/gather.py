"""`mekiki-deploy installer`: one file with everything that a box without a network needs. On the caller's thread.

The file is a shell script (`head.sh`) with a tar behind it: our wheel, those of `requirements/edge.txt`, pip to
install them, the units, and `install.sh`, which does the work on the box. The same sources give the same bytes.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.installer.archive import EPOCH_S, HERE, join, pack
from models import __version__
from models.errors import MekikiError
from models.files import sha256_of

CHECKOUT = Path(__file__).resolve().parents[2]
_GLIBC = 36  # 2.36, of Debian 12: wheels for newer ones would not start on a box
_BYTE_CODE = 1.25  # what Python compiles comes on top
_BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "edge", "trainer", "models", "deploy")


@dataclass(frozen=True, slots=True)
class Installer:
    """What was made."""

    path: Path
    name: str  # of the version, on the box
    python: str  # "3.11": the box needs this one
    bytes: int
    sha256: str
    installed_bytes: int  # on the disk of a box, about


def make_installer(out: Path, checkout: Path = CHECKOUT) -> Installer:
    """Writes `out`, whole or not at all. Raises MekikiError when this is no checkout, or a package cannot be had."""
    for name in (*_BUILT_FROM, "requirements/edge.txt", "requirements/pip.txt", "systemd"):
        if not (checkout / name).exists():
            raise MekikiError(f"{checkout}: no {name}; run this from a checkout of mekiki after `make install`")
    with tempfile.TemporaryDirectory() as temporary:
        payload = Path(temporary) / "payload"
        _collect(payload, checkout)
        name, needs = _describe(payload)
        tar = pack(payload, Path(temporary) / "payload.tar")
        join(tar, out, name, _python())
    return Installer(out, name, _python(), out.stat().st_size, sha256_of(out), needs)


def _collect(payload: Path, checkout: Path) -> None:
    (payload / "wheels").mkdir(parents=True)
    shutil.copytree(checkout / "systemd", payload / "systemd")
    for name in ("install.sh", "edge.toml"):
        shutil.copy(HERE / name, payload / name)
    lock = checkout / "requirements"
    _pip("download", "-r", str(lock / "edge.txt"), "--dest", str(payload / "wheels"), *_for_boxes())
    _pip("download", "-r", str(lock / "pip.txt"), "--dest", str(payload / "pip"), *_for_boxes())
    ours = _build(payload / "wheels", checkout)
    line = f"mekiki=={__version__} --hash=sha256:{sha256_of(ours)}\n"
    (payload / "lock.txt").write_text((lock / "edge.txt").read_text(encoding="utf-8") + line, encoding="utf-8")


def _for_boxes() -> list[str]:
    """Wheels only, and only such as start on the oldest system that is installed on."""
    tags = [f"manylinux_2_{minor}" for minor in range(_GLIBC, 4, -1)] + ["manylinux2014", "manylinux2010", "manylinux1"]
    platforms = [word for tag in tags for word in ("--platform", f"{tag}_{platform.machine()}")]
    return ["--require-hashes", "--no-deps", "--only-binary=:all:", "--python-version", _python(), *platforms]


def _build(folder: Path, checkout: Path) -> Path:
    """Our wheel, made from a copy: a build leaves things in its sources."""
    with tempfile.TemporaryDirectory() as temporary:
        copy, ignored = Path(temporary), shutil.ignore_patterns("__pycache__", "*.pyc")
        for name in _BUILT_FROM:
            if (checkout / name).is_dir():
                shutil.copytree(checkout / name, copy / name, ignore=ignored)
            else:
                shutil.copy(checkout / name, copy / name)
        _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(copy))
    return next(folder.glob("mekiki-*.whl"))


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check", "--no-input"]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(EPOCH_S)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise MekikiError(f"pip {arguments[0]}: {last}; a package index and `make install` are wanted here")


def _describe(payload: Path) -> tuple[str, int]:
    """Writes `about`, which the shell reads. The version's name, and the bytes that it takes on a box."""
    files = sorted(path for path in payload.rglob("*") if path.is_file())
    told = "\n".join(f"{sha256_of(path)}  {path.relative_to(payload)}" for path in files)
    name = f"{__version__}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"
    needs = int(_BYTE_CODE * sum(_unpacked(wheel) for wheel in payload.glob("wheels/*.whl")))
    about = {"NAME": name, "PYTHON": _python(), "MACHINE": platform.machine(), "NEEDS_KB": needs // 1000}
    (payload / "about").write_text("".join(f"{key}={value}\n" for key, value in about.items()))
    return name, needs


def _unpacked(wheel: Path) -> int:
    with zipfile.ZipFile(wheel) as opened:
        return sum(member.file_size for member in opened.infolist())


def _python() -> str:
    return ".".join(map(str, sys.version_info[:2]))


def words_of(made: Installer) -> Sequence[str]:
    """What a person must know of it."""
    size_mb, installed_mb = round(made.bytes / 1e6), round(made.installed_bytes / 1e6)
    return (
        f"{made.path}: {made.name}, {size_mb} MB, takes about {installed_mb} MB on a box",
        f"sha256 {made.sha256}",
        f"for Linux on {platform.machine()} with Python {made.python}; on the box: sudo sh {made.path.name}",
    )
