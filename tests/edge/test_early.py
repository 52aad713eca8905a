"""What a start does while its cameras open, and what it leaves for later."""

import pytest

from edge.early import Early
from edge.settings import load_settings
from edge.startup import load_bundles, load_models
from models.errors import ModelError
from models.store import Store
from tests import tiny
from tests.edge.box import Box

SIZES = {"top": (tiny.SIDE_PX, tiny.SIDE_PX)}


def early_of(box: Box) -> Early:
    settings = load_settings(box.config)
    with Early(settings, load_bundles(settings)) as early:
        return early


def test_a_version_that_proved_itself_is_checked_while_cameras_open_and_used_then(stocked):
    early = early_of(stocked)
    (checked,) = early.checked.values()
    settings = load_settings(stocked.config)
    models = load_models(settings, load_bundles(settings), SIZES, early.checked)
    assert models["top"].runners[0] is checked.runner


def test_a_version_on_probation_waits_until_its_start_is_counted(stocked, newer):
    store = Store(stocked.folder / "store")
    store.activate(store.add(newer).digest, on_probation=True)
    assert early_of(stocked).checked == {}
    store.commit(store.state().active, "the test says so")
    assert list(early_of(stocked).checked) == [stocked.folder / "store"]


def test_what_goes_wrong_early_is_told_when_the_model_is_missed(box):
    box.bundle = tiny.make_bundle(box.folder / "wrong", golden_error=0.1)
    box.images("line", [tiny.OK])
    box.write_folder("line")
    early, settings = early_of(box), load_settings(box.config)
    assert early.checked == {}
    with pytest.raises(ModelError, match=r"is not qualified on this box: CPU at f32: .*dark\.png: CPU at f32 says"):
        load_models(settings, load_bundles(settings), SIZES, early.checked)
