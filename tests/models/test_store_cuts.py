"""A power cut, a kill, a full disk at every step of a change; and several writers at once."""

import contextlib
import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.bundle import MODEL_BIN
from models.store import Store
from tests.models.disk import Disk, flip, leftovers, steps

ROOT = Path(__file__).resolve().parents[2]


def add_and_activate(store: Store, source: Path) -> None:
    store.activate(store.add(source).digest)


@pytest.mark.parametrize("lost", [False, True], ids=["killed", "power cut"])
def test_after_a_cut_at_any_step_of_a_push_the_old_or_the_new_version_is_active(running, newer, new, tmp_path, lost):
    old = running.state().active
    disk = Disk(running.root, tmp_path / "cuts", lose_what_is_not_synced=lost)
    with disk.recorded():
        add_and_activate(running, newer)
    seen = []
    for root in disk.cuts:
        cut = Store(root)
        seen.append(cut.active().digest)
        assert set(cut.versions()) <= {old, new}
        assert all(cut.open(digest) for digest in cut.versions())
        add_and_activate(cut, newer)
        assert (cut.active().digest, cut.state().previous) == (new, old)
        assert leftovers(cut) == []
    assert len(seen) > 20
    assert seen == sorted(seen, key=[old, new].index), "once the new version is active it stays so"
    assert set(seen) == {old, new}


def test_after_a_cut_at_any_step_of_the_first_push_there_is_a_version_or_none(store, newer, new, tmp_path):
    disk = Disk(store.root, tmp_path / "cuts", lose_what_is_not_synced=True)
    with disk.recorded():
        add_and_activate(store, newer)
    for root in disk.cuts:
        cut = Store(root)
        assert cut.state().active in (None, new)
        if cut.state().active:
            assert cut.active().digest == new
        add_and_activate(cut, newer)
        assert cut.active().digest == new
        assert leftovers(cut) == []
    assert len(disk.cuts) > 20


@pytest.mark.parametrize("lost", [False, True], ids=["killed", "power cut"])
def test_after_a_cut_at_any_step_of_a_rollback_either_version_is_active(running, newer, new, tmp_path, lost):
    old = running.state().active
    add_and_activate(running, newer)
    disk = Disk(running.root, tmp_path / "cuts", lose_what_is_not_synced=lost)
    with disk.recorded():
        running.rollback()
    seen = [Store(root).active().digest for root in disk.cuts]
    assert (seen[0], seen[-1]) == (new, old)
    assert seen == sorted(seen, key=[new, old].index)


def test_after_a_cut_at_any_step_of_a_repair_another_push_repairs(running, bundle, old, tmp_path):
    flip(running.root / "versions" / old / MODEL_BIN)
    disk = Disk(running.root, tmp_path / "cuts", lose_what_is_not_synced=True)
    with disk.recorded():
        running.add(bundle)
    for root in disk.cuts:
        add_and_activate(Store(root), bundle)
        assert Store(root).active().digest == old
        assert leftovers(Store(root)) == []


def test_a_disk_that_is_full_at_any_step_leaves_the_old_version_active_and_nothing_half_done(
    running, newer, old, new, tmp_path
):
    for n in itertools.count(1):
        store = Store(Path(shutil.copytree(running.root, tmp_path / f"full-{n}")))
        with full_at(n) as failed:
            done = pushed(store, newer)
        assert leftovers(store) == []
        assert set(store.versions()) <= {old, new}
        assert all(store.open(digest) for digest in store.versions())
        assert store.active().digest == (new if done else old) or failed == ["fsync"]  # the last one, after the switch
        if not failed:
            break
    assert n > 20
    assert store.active().digest == new


def pushed(store: Store, source: Path) -> bool:
    try:
        add_and_activate(store, source)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def full_at(n: int) -> Iterator[list[str]]:
    """The n-th step that writes fails with "no space left"; yields that step in a list."""
    count, failed = 0, []

    def before(step: str) -> None:
        nonlocal count
        count += 1
        if count == n:
            failed.append(step)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with steps(before, names=("mkdir", "sendfile", "fsync", "rename", "replace", "chmod")):
        yield failed


def test_a_killed_writer_frees_the_lock_and_the_next_one_clears_what_it_left(running, newer, old, new):
    """A real kill -9, in the middle of the copy."""
    code = (
        "import os, sys, models.store as s, models.versions as v; from pathlib import Path\n"
        "v._refuse_other = lambda *_: os.kill(os.getpid(), 9)\n"
        "s.Store(Path(sys.argv[1])).add(Path(sys.argv[2]))"
    )
    done = subprocess.run([sys.executable, "-c", code, running.root, newer], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(leftovers(running)) == 1
    assert running.versions() == [old]
    assert running.active().digest == old
    running.activate(old)
    assert leftovers(running) == []
    add_and_activate(running, newer)
    assert running.active().digest == new


def test_two_processes_that_activate_at_once_leave_one_of_the_two_and_readers_always_see_one(running, newer, old, new):
    running.add(newer)
    code = (
        "import sys; from pathlib import Path; from models.store import Store\n"
        "for i in range(30): Store(Path(sys.argv[1])).activate(sys.argv[2])"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, running.root, digest], cwd=ROOT, stderr=subprocess.PIPE)
        for digest in (old, new)
    ]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        seen.add(running.active().digest)
    assert [writer.communicate()[1] for writer in writers] == [b"", b""]
    assert seen <= {old, new}
    state = running.state()
    assert {state.active, state.previous} == {old, new}
    assert leftovers(running) == []


def test_threads_that_add_the_same_bundle_at_once_store_it_once(store, bundle, old):
    errors = []

    def add() -> None:
        try:
            store.add(bundle)
        except BaseException as error:  # noqa: BLE001  a thread's exception must reach the test
            errors.append(error)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert store.versions() == [old]
    assert leftovers(store) == []


def test_a_store_that_may_only_be_read_is_read_and_not_written(bundle, newer, old, new, nobodys_folder):
    store = Store(nobodys_folder.path / "store")
    add_and_activate(store, bundle)
    store.add(newer)
    before = sorted(store.root.rglob("*"))
    with nobodys_folder.as_nobody():
        assert store.active().digest == old
        assert store.versions() == sorted([old, new])
        for write in (lambda: store.activate(new), lambda: store.add(bundle), store.rollback):
            with pytest.raises(PermissionError):
                write()
    assert store.active().digest == old
    assert sorted(store.root.rglob("*")) == before


class Nobodys:
    """A folder that everybody may read, and a way to be somebody who may not write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def as_nobody(self) -> Iterator[None]:
        if os.geteuid() == 0:
            os.seteuid(65534)
            try:
                yield
            finally:
                os.seteuid(0)
            return
        folders = [p for p in (self.path, *self.path.rglob("*")) if p.is_dir()]
        files = [p for p in self.path.rglob("*") if p.is_file()]
        for path in (*folders, *files):
            path.chmod(0o555 if path in folders else 0o444)
        try:
            yield
        finally:
            for path in (*folders, *files):
                path.chmod(0o755 if path in folders else 0o644)


@pytest.fixture
def nobodys_folder() -> Iterator[Nobodys]:
    with tempfile.TemporaryDirectory() as folder:  # tmp_path lies in a private folder
        Path(folder).chmod(0o755)
        yield Nobodys(Path(folder))
