import json
import shutil
from pathlib import Path

import pytest

from models.bundle import MANIFEST, MODEL_BIN, open_bundle
from models.errors import BundleError
from models.store import State
from tests.models.disk import flip, leftovers

ABSENT = "0" * 64


def test_a_new_store_is_empty_and_says_how_to_fill_it(store):
    assert store.versions() == []
    assert store.state() == State()
    with pytest.raises(BundleError, match=r"no active version; `mekiki-deploy push BUNDLE --to .*` first"):
        store.active()
    with pytest.raises(BundleError, match="no version before the active one; push another bundle"):
        store.rollback()
    assert store.versions() == []


def test_looking_at_a_store_makes_none(store):
    store.versions(), store.state()
    assert not store.root.exists()


def test_adding_stores_a_whole_copy_and_activates_nothing(store, bundle, old):
    added = store.add(bundle)
    assert (added.digest, added.path) == (old, store.root / "versions" / old)
    assert store.versions() == [old]
    assert store.state().active is None
    assert [event.step for event in store.state().history] == ["staged"]
    assert (added.path / MANIFEST).read_bytes() == (bundle / MANIFEST).read_bytes()


def test_adding_twice_changes_nothing(store, bundle, old):
    first = store.add(bundle)
    inode = (first.path / MODEL_BIN).stat().st_ino
    assert store.add(bundle) == first
    assert (first.path / MODEL_BIN).stat().st_ino == inode
    assert store.versions() == [old]


def test_the_copy_does_not_depend_on_the_source(store, spare, old):
    store.activate(store.add(spare).digest)
    flip(spare / MODEL_BIN)
    assert store.active().digest == old


def test_activating_remembers_the_version_before(running, newer, old, new):
    running.activate(running.add(newer).digest)
    assert running.active().digest == new
    assert (running.state().active, running.state().previous) == (new, old)
    assert running.versions() == sorted([old, new])


def test_activating_the_active_version_again_keeps_the_way_back(running, newer, old, new):
    running.activate(running.add(newer).digest)
    running.activate(new)
    assert (running.state().active, running.state().previous) == (new, old)


def test_rolling_back_goes_to_the_version_before_and_a_second_time_returns(running, newer, old, new):
    running.activate(running.add(newer).digest)
    assert running.rollback().digest == old
    assert running.active().digest == old
    assert running.rollback().digest == new
    assert (running.state().active, running.state().previous) == (new, old)


def test_rolling_back_without_a_version_before_is_refused_and_the_active_one_stays(running, old):
    with pytest.raises(BundleError, match="no version before the active one"):
        running.rollback()
    assert running.active().digest == old


def test_rolling_back_to_a_damaged_version_is_refused_and_the_active_one_stays(running, newer, old, new):
    running.activate(running.add(newer).digest)
    flip(running.root / "versions" / old / MODEL_BIN)
    with pytest.raises(BundleError, match=r"model\.bin: sha256"):
        running.rollback()
    assert running.active().digest == new
    assert running.state().previous == old


def test_a_version_is_found_by_the_start_of_its_digest(running, newer, old, new):
    running.add(newer)
    assert running.find(old[:8]) == old
    assert running.find(new) == new
    assert running.activate(new[:8]).digest == new


@pytest.mark.parametrize("start", ["", "zz", ABSENT, "../", "/", "*"])
def test_what_names_no_version_is_refused(running, start, old):
    with pytest.raises(BundleError, match="no version starting with"):
        running.activate(start)
    assert running.active().digest == old


def test_a_start_of_two_digests_is_refused(store):
    for digest in ("ab" * 32, "ac" * 32):
        (store.root / "versions" / digest).mkdir(parents=True)
    with pytest.raises(BundleError, match="2 versions starting with 'a'"):
        store.find("a")


def test_a_tampered_bundle_is_refused_and_the_old_one_stays_active(running, spare, old):
    flip(spare / MODEL_BIN)
    with pytest.raises(BundleError, match=r"spare\.bundle/model\.bin: sha256"):
        running.add(spare)
    assert running.active().digest == old
    assert running.versions() == [old]
    assert leftovers(running) == []


def test_a_source_that_changes_while_it_is_copied_is_refused_and_nothing_stays(running, newer, old, monkeypatch):
    """The copy is what is verified: a bad medium gives other bytes the second time."""
    real = shutil.copyfile

    def bad_medium(source, target):
        real(source, target)
        if Path(source).name == MODEL_BIN:
            flip(Path(target))

    monkeypatch.setattr("models.versions.shutil.copyfile", bad_medium)
    with pytest.raises(BundleError, match=r"model\.bin: sha256"):
        running.add(newer)
    assert running.active().digest == old
    assert running.versions() == [old]
    assert leftovers(running) == []


def test_a_source_that_becomes_another_bundle_while_it_is_copied_is_refused(running, spare, newer, old, monkeypatch):
    monkeypatch.setattr("models.store.open_bundle", lambda path: open_bundle(newer if path == spare else path))
    monkeypatch.setattr("models.versions._copy", lambda _, to: [_write(to, spare, name) for name in _names(spare)])
    with pytest.raises(BundleError, match=f"holds version {old[:12]}, not .*; push the bundle again"):
        running.add(spare)
    assert running.versions() == [old]
    assert leftovers(running) == []


def _names(folder: Path) -> list[str]:
    return [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]


def _write(to: Path, source: Path, name: str) -> None:
    (to / name).parent.mkdir(exist_ok=True)
    (to / name).write_bytes((source / name).read_bytes())


def test_a_version_damaged_on_this_disk_is_refused_and_pushing_it_again_repairs_it(running, bundle, old):
    flip(running.root / "versions" / old / MODEL_BIN)
    with pytest.raises(BundleError, match="push the bundle again"):
        running.active()
    with pytest.raises(BundleError, match=r"model\.bin: sha256"):
        running.activate(old)
    running.add(bundle)
    assert running.active().digest == old
    assert leftovers(running) == []


def test_a_stored_version_that_is_another_whole_bundle_is_refused(running, newer, old, new):
    """Its hashes are right, but not for this name."""
    running.add(newer)
    versions = running.root / "versions"
    (versions / old).rename(versions / "away")
    (versions / new).rename(versions / old)
    with pytest.raises(BundleError, match=f"holds version {new[:12]}, not {old[:12]}; push the bundle again"):
        running.active()


BAD_STATES = {
    "empty": b"",
    "cut short": b'{"active": "',
    "zeros": bytes(100),
    "a list": b"[]",
    "no digest": b'{"active": "yes", "previous": null}',
    "a path": b'{"active": "../../../etc", "previous": null}',
    "unknown key": b'{"active": null, "previous": null, "horoscope": null}',
    "not text": b"\xff\xfe",
}


@pytest.mark.parametrize("text", BAD_STATES.values(), ids=BAD_STATES)
def test_a_damaged_record_is_read_from_its_copy_and_forgets_nothing(running, newer, old, new, text):
    running.activate(running.add(newer).digest, on_probation=True)
    running.give_up(new, "ng 40%")
    before = running.state()
    (running.root / "state.json").write_bytes(text)
    assert running.state() == before
    assert (running.active().digest, running.state().failed) == (old, {new: "ng 40%"})
    assert "state.json: " in running.record.damage()
    running.note("qualified", old)  # the next change writes both
    assert running.record.damage() is None
    assert running.state().history[:-1] == before.history


def test_a_record_that_is_gone_is_read_from_its_copy(running, old):
    (running.root / "state.json").unlink()
    assert running.state().active == old
    assert running.record.damage().endswith("state.json: gone; state.copy.json serves, the next change writes both")


def test_a_damaged_copy_is_not_even_missed(running, newer, new):
    (running.root / "state.copy.json").write_bytes(b"{")
    running.activate(running.add(newer).digest)
    assert running.state() == running.record.read()
    assert (running.root / "state.copy.json").read_bytes() == (running.root / "state.json").read_bytes()


@pytest.mark.parametrize("copy", [b"{", None], ids=["both damaged", "from before there was a copy"])
@pytest.mark.parametrize("text", BAD_STATES.values(), ids=BAD_STATES)
def test_without_a_whole_record_nothing_new_comes_in_and_one_line_says_what_to_do(  # noqa: PLR0917
    running, newer, new, old, text, copy
):
    """An empty one in its place would have forgotten what failed here, and that older versions are refused."""
    (running.root / "state.json").write_bytes(text)
    (running.root / "state.copy.json").write_bytes(copy) if copy else (running.root / "state.copy.json").unlink()
    running.add(newer)
    for ask in (running.state, running.active, running.rollback, lambda: running.activate(new)):
        with pytest.raises(BundleError, match=r"state\.json: .*; what judges goes on, and no other version") as caught:
            ask()
        assert "\n" not in str(caught.value)
    assert (running.root / "state.json").read_bytes() == text
    for name in ("state.json", "state.copy.json"):  # what the message says
        (running.root / name).unlink(missing_ok=True)
    assert running.activate(old).digest == running.state().active == old


def test_a_record_of_a_version_that_is_gone_is_refused(running):
    (running.root / "state.json").write_text(json.dumps({"active": ABSENT, "previous": None}))
    with pytest.raises(BundleError, match=f"{ABSENT}: nothing there"):
        running.active()


def test_modes_of_a_read_only_medium_do_not_come_along(store, spare, old):
    for path in (*spare.rglob("*"), spare):
        path.chmod(0o500 if path.is_dir() else 0o400)
    added = store.add(spare)
    for path in (*spare.rglob("*"), spare):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert {path.stat().st_mode & 0o777 for path in added.path.rglob("*") if path.is_file()} == {0o644}
    assert {path.stat().st_mode & 0o777 for path in (added.path, added.path / "golden")} == {0o755}
