"""Installs what an industrial PC needs, and nothing else, into a fresh venv, and weighs it."""

import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT_MB = 520
ROOT = Path(__file__).parents[2]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        python = install(Path(folder) / "venv")
        size_mb = weigh(Path(folder) / "venv")
        loaded = subprocess.run(
            [python, "-c", "import sys, edge.cli, edge.daemon, models.runner; print('torch' in sys.modules)"],
            check=True, capture_output=True, text=True, cwd=folder,
        ).stdout.strip()  # fmt: skip
    print(f"edge-only venv        {size_mb:6.0f} MB   at most {LIMIT_MB}   {'ok' if size_mb <= LIMIT_MB else 'MISSED'}")
    print(f"torch imported        {loaded}")
    return 0 if size_mb <= LIMIT_MB and loaded == "False" else 1


def install(venv: Path) -> Path:
    """The edge install of README, from the hashed lock file. Returns the venv's python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    uv = [str(Path(sys.executable).parent / "uv"), "pip", "install", "--quiet", "--python", str(venv / "bin/python")]
    subprocess.run([*uv, "--require-hashes", "-r", str(ROOT / "requirements/edge.txt")], check=True)
    subprocess.run([*uv, "--no-deps", str(ROOT)], check=True)
    return venv / "bin/python"


def weigh(folder: Path) -> float:
    """Size on disk in MB of 10**6 bytes."""
    return sum(p.stat().st_blocks * 512 for p in folder.rglob("*") if p.is_file() and not p.is_symlink()) / 1e6


if __name__ == "__main__":
    raise SystemExit(main())
