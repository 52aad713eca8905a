import pytest

from models.store import Store


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def running(store, bundle) -> Store:
    """A store in which `bundle` is active."""
    store.activate(store.add(bundle).digest)
    return store
