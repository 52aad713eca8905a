"""Nothing leaves a plant: importing openvino through us starts no telemetry and writes nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Stands in for the real package, installed or not: writes to the home folder as soon as it is imported.
SPY = "from pathlib import Path; (Path.home() / 'spied').touch(); raise ImportError('as if it were absent')"


@pytest.fixture
def run(tmp_path):
    """Runs Python with a home folder of its own; returns what it printed and what lies there after."""
    home, lib = tmp_path / "home", tmp_path / "lib"
    (lib / "openvino_telemetry").mkdir(parents=True)
    (lib / "openvino_telemetry" / "__init__.py").write_text(SPY)
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "PYTHON"))}
    environment = kept | {"HOME": str(home), "PYTHONPATH": f"{lib}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}

    def go(code: str) -> tuple[str, list[str]]:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=home, env=environment, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode(), sorted(path.name for path in home.rglob("*"))

    return go


@pytest.mark.parametrize(
    "code",
    [
        "import models, openvino\n",
        "import models.runner, openvino\nopenvino.Core()\n",
        "import models, openvino.tools.ovc\n",
    ],
    ids=["import", "core", "converter"],
)
def test_openvino_imported_after_models_has_no_telemetry_and_writes_nothing(run, code):
    said, written = run(code + "import sys; print(sys.modules['openvino_telemetry'])")
    assert (said, written) == ("None\n", [])


def test_a_bundle_is_run_without_telemetry(run, bundle):
    code = (
        "import numpy as np; from pathlib import Path; from models.bundle import open_bundle\n"
        "from models.runner import Runner\n"
        f"Runner.of(open_bundle(Path({str(bundle)!r}))).predict(np.zeros((9, 9, 3), np.uint8))\n"
    )
    assert run(code) == ("", [])


def test_this_test_would_see_telemetry(run):
    assert run("import openvino.tools.ovc") == ("", ["spied"])
