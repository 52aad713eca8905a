import os

import pytest

from models.store import Store
from tests import tiny
from tests.edge.box import Box


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """A variable of the person who runs the tests must not override a setting."""
    for name in [name for name in os.environ if name.startswith("MEKIKI_") and name != "MEKIKI_SHARED"]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session", autouse=True)
def _compile_once(tmp_path_factory):
    """Where Python may leave no byte code in the tree, each of a hundred daemons would compile all that it imports."""
    with pytest.MonkeyPatch.context() as patched:
        if "PYTHONDONTWRITEBYTECODE" in os.environ:
            patched.delenv("PYTHONDONTWRITEBYTECODE")
            patched.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("pycache")))
        yield


@pytest.fixture
def box(tmp_path, bundle) -> Box:
    return Box(tmp_path, bundle)


@pytest.fixture
def ready(box) -> Box:
    """A box that judges a folder of one picture by a bundle."""
    box.images("line", [tiny.OK])
    box.write_folder("line")
    return box


@pytest.fixture
def stocked(box) -> Box:
    """The same by a store, in which the old version is in force and proved itself."""
    box.images("line", [tiny.OK])
    box.write_folder("line", head='store = "store"')
    store = Store(box.folder / "store")
    store.activate(store.add(box.bundle).digest)
    return box
