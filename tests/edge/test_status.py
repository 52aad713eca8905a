"""`mekiki-edge status`: what a box says of itself, also when something in it is wrong."""

import json

import pytest

from edge.cli import main
from models.bundle import MODEL_BIN
from models.status import BoxStatus
from models.store import Store
from tests import tiny
from tests.edge.box import Box
from tests.models.disk import flip


@pytest.fixture
def ready(box) -> Box:
    """A box with a store that nothing was put into."""
    box.images("line", [tiny.OK, tiny.NG])
    box.write_folder("line", head='store = "store"')
    return box


@pytest.fixture
def store(ready) -> Store:
    return Store(ready.folder / "store")


@pytest.fixture
def status(ready, capsys):
    def look(*arguments: str) -> BoxStatus:
        assert main(["status", "--config", str(ready.config), "--json", *arguments]) == 0
        return BoxStatus.model_validate_json(capsys.readouterr().out)

    return look


def test_a_new_box_says_that_nothing_is_in_force(status, ready, store):
    said = status()
    assert said.state == str(ready.folder / "state")
    assert said.free_bytes > 0
    assert said.cameras == {"top": None}
    (one,) = said.stores
    assert (one.store, one.cameras, one.standing, one.active) == (str(store.root), ("top",), "empty", None)
    assert not store.root.exists()
    assert not (ready.folder / "state").exists()


def test_the_way_of_a_version_is_seen_at_each_step(status, store, bundle, newer, old, new):  # noqa: PLR0917
    store.activate(store.add(bundle).digest)
    assert status().stores[0].standing == "active"
    store.activate(store.add(newer).digest, on_probation=True)
    (one,) = status().stores
    assert (one.standing, one.active, one.previous, one.about) == ("on probation", new, old, "anomaly/patchcore")
    store.commit(new, "200 parts")
    assert (status().stores[0].standing, status().stores[0].why) == ("committed", "200 parts")
    store.rollback("rejects good parts")
    (one,) = status().stores
    assert (one.standing, one.active, one.why) == ("rolled back", old, f"{new[:12]}: rejects good parts")


def test_a_version_that_failed_is_named_with_its_reason(status, store, bundle, newer, old, new):  # noqa: PLR0917
    store.activate(store.add(bundle).digest)
    store.activate(store.add(newer).digest, on_probation=True)
    store.give_up(new, "ng of 50 parts 100%")
    (one,) = status().stores
    assert (one.standing, one.active) == ("rolled back", old)
    assert one.failed == {new: "ng of 50 parts 100%"}
    assert [step.step for step in one.last][-2:] == ["activated", "rolled_back"]


def test_the_last_verdict_of_each_camera_is_that_of_the_newest_epoch(status, ready, store, bundle):
    store.activate(store.add(bundle).digest)
    for _ in range(2):
        assert ready.run()[0] == 0
    epochs = sorted({epoch for epoch, _, _ in ready.journal()})
    last = status().cameras["top"]
    assert (last.epoch, last.seq, last.outcome, last.reason) == (epochs[-1], 1, "ng", "defect")


def test_what_is_damaged_is_said_in_its_place(status, ready, store, bundle, old):
    store.activate(store.add(bundle).digest)
    flip(store.root / "versions" / old / MODEL_BIN)
    (ready.folder / "state").mkdir()
    (ready.folder / "state" / "journal.db").write_bytes(b"no database " * 1000)
    said = status()
    assert (said.stores[0].standing, said.stores[0].active) == ("damaged", old)
    assert "model.bin: sha256" in said.stores[0].why
    assert said.cameras == {"top": None}
    (store.root / "state.json").write_text("{")
    assert status().stores[0].standing == "damaged"


def test_one_camera_is_one_store(ready, status, capsys):
    one = '[[camera]]\nname = "{0}"\nkind = "folder"\npath = "line"\nstore = "{1}"\n'
    ready.write(one.format("top", "store") + one.format("side", "other"), head="")
    assert len(status().stores) == 2
    assert [one.cameras for one in status("--camera", "side").stores] == [("side",)]
    assert main(["status", "--config", str(ready.config), "--camera", "front"]) == 2
    assert "--camera front: this box has top, side" in capsys.readouterr().err


def test_for_a_person_it_is_a_line_each(ready, store, bundle, old, capsys):
    store.activate(store.add(bundle).digest)
    assert main(["status", "--config", str(ready.config)]) == 0
    of_store, camera, disk = capsys.readouterr().out.splitlines()
    assert of_store == f"store {store.root} (top): {old[:12]} anomaly/patchcore active"
    assert camera == "camera top: no verdict yet"
    assert disk.endswith(" GB free")


def test_readers_take_what_a_newer_box_adds(status):
    said = json.loads(status().model_dump_json()) | {"weather": "fine"}
    assert BoxStatus.model_validate(said).mekiki
