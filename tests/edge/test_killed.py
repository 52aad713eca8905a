"""A real kill -9 at every state of a version: what serves afterwards is a model that was known to be good, always.

`test_model_command.py` and `tests/models/test_store_cuts.py` cut at every single step that changes the disk, in one
process; here the processes really die, and a real daemon starts.
"""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge.cli import main
from edge.settings import load_settings
from edge.startup import load_bundles
from models.store import Store
from tests import tiny
from tests.edge.box import ROOT, wait_for
from tests.models.disk import leftovers

STORE = '[[camera]]\nname = "{name}"\nkind = "folder"\npath = "line"\nstore = "{store}"\n'
PARTS = "[probation]\nparts = 20\n"
# What an install leaves when it dies there: the state that the version has reached, by its history.
INSTALL = {
    "copy:2": [],  # received
    "record:1": [],  # verified: it lies there whole, and nobody has written so
    "record:3": ["staged"],
    "record:5": ["staged", "qualified"],
    "record:6": ["staged", "qualified"],  # the copy of the record knows that it is active, which counts for nothing yet
}


def killed(moments: list[str], *arguments: object) -> None:
    command = [sys.executable, "-m", "tests.edge.killed", ",".join(moments), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == (0 if len(moments) > 1 else -signal.SIGKILL), done.stderr.decode()


def history(store: Store, digest: str) -> list[str]:
    return [event.step for event in store.state().history if event.version == digest]


def test_wherever_an_install_is_killed_the_old_version_serves_and_the_next_install_ends_well(box, newer, new, old):
    box.images("line", [tiny.OK, tiny.NG])
    stores = {moment: Store(box.folder / moment) for moment in INSTALL}
    for store in stores.values():
        store.activate(store.add(box.bundle).digest)
    cameras = [STORE.format(name=moment.replace(":", "-"), store=moment) for moment in stores]
    box.write("".join(cameras), head="")
    for moment, store in stores.items():  # one settings file for each, as an install wants to know which store
        box.config.with_name(f"{moment}.toml").write_text(STORE.format(name="top", store=store.root.name))
    killed(list(INSTALL), "model", "install", newer, "--config", box.config.with_name("{moment}.toml"))
    assert {moment: history(store, new) for moment, store in stores.items()} == INSTALL
    assert box.run()[0] == 0
    served = {(camera, verdict["bundle"], verdict["outcome"]) for (_, camera, _), verdict in box.journal().items()}
    assert served == {(moment.replace(":", "-"), old, outcome) for moment in stores for outcome in ("ok", "ng")}
    for moment, store in stores.items():
        store.activate(store.add(newer).digest, on_probation=True)
        assert (store.active().digest, store.state().previous, leftovers(store)) == (new, old, [])
        assert load_bundles(load_settings(box.config.with_name(f"{moment}.toml")))[store.root].digest == new


@pytest.mark.parametrize(("threshold", "step"), [(0.6, "committed"), (0.05, "rolled_back")])
def test_a_daemon_that_is_killed_while_it_rules_on_a_version_rules_again_after_its_restart(box, old, threshold, step):
    """Before the record, whose copy is written, would say it: in the smallest gap there is."""
    store = Store(box.folder / "store")
    store.activate(store.add(box.bundle).digest)
    box.images("line", [tiny.OK, tiny.NG])
    tried = store.add(tiny.make_bundle(box.folder / "tried.bundle", threshold=threshold)).digest
    box.write(STORE.format(name="top", store="store"), head="", tables=PARTS)
    assert box.run()[0] == 0  # so that there is something to compare with
    box.write(STORE.format(name="top", store="store") + "loop = true\nfps = 100\n", head="", tables=PARTS)
    assert main(["model", "activate", tried[:12], "--config", str(box.config)]) == 0
    killed(["record:4"], "run", "--config", box.config)  # 1 and 2 count the start
    assert (store.state().active, store.state().on_probation, store.state().starts) == (tried, True, 1)
    with box.daemon():
        wait_for(lambda: not store.state().on_probation)
    assert history(store, tried)[-1] == step
    assert store.active().digest == (tried if step == "committed" else old)


def test_a_record_that_a_kill_left_behind_its_copy_is_not_taken_for_damage(tmp_path, running_copy_ahead):
    store = running_copy_ahead
    before = store.state()
    assert store.record.damage() is None
    store.note("qualified", str(before.active))
    assert store.state().history[:-1] == before.history


@pytest.fixture
def running_copy_ahead(tmp_path, bundle, newer) -> Store:
    """As `record:6` leaves it."""
    store = Store(tmp_path / "store")
    store.activate(store.add(bundle).digest)
    old = Path(shutil.copy(store.root / "state.json", tmp_path / "old.json"))
    store.activate(store.add(newer).digest)
    old.replace(store.root / "state.json")
    return store
