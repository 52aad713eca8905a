import os
from pathlib import Path

import pytest

from tests import tiny
from tests.edge.box import Box


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """A variable of the person who runs the tests must not override a setting."""
    for name in [name for name in os.environ if name.startswith("MEKIKI_") and name != "MEKIKI_SHARED"]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Path:
    return tiny.make_bundle(tmp_path_factory.mktemp("bundle") / "tiny.bundle")


@pytest.fixture
def box(tmp_path, bundle) -> Box:
    return Box(tmp_path, bundle)
