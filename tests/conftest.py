import shutil
from pathlib import Path

import pytest

from models.bundle import open_bundle
from tests import tiny


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Path:
    """Whole, and shared by all tests: use `spare` to damage one."""
    return tiny.make_bundle(tmp_path_factory.mktemp("bundle") / "tiny.bundle")


@pytest.fixture(scope="session")
def newer(tmp_path_factory) -> Path:
    """A second version of the same model, with another threshold."""
    return tiny.make_bundle(tmp_path_factory.mktemp("newer") / "newer.bundle", threshold=0.6)


@pytest.fixture(scope="session")
def old(bundle) -> str:
    """The digest of `bundle`."""
    return open_bundle(bundle).digest


@pytest.fixture(scope="session")
def new(newer) -> str:
    """The digest of `newer`."""
    return open_bundle(newer).digest


@pytest.fixture
def spare(bundle, tmp_path) -> Path:
    """A bundle of the test's own."""
    return Path(shutil.copytree(bundle, tmp_path / "spare.bundle"))
