import errno
import os
import stat
from pathlib import Path

import pytest

from models import files
from models.files import TEMPORARY_PREFIX, make_folder, remove_folder, sha256_of, whole_folder, write_whole


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def raising(error: BaseException | type[BaseException]) -> None:
    raise error


def write_file(path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"a")


def fill(target, then=lambda: None) -> None:
    with whole_folder(target) as folder:
        write_file(folder / "golden" / "a.png")
        then()


def names(folder) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """Every rename and every fsync (with what it was of), in order."""
    done = []
    fsync, replace, rename = os.fsync, os.replace, os.rename

    def note_fsync(descriptor):
        done.append("fsync " + os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))  # noqa: PTH119, PTH115
        fsync(descriptor)

    def note(name, real):
        def do(source, target):
            done.append(f"{name} {os.path.basename(target)}")  # noqa: PTH119
            real(source, target)

        return do

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note("rename", replace))
    monkeypatch.setattr(os, "rename", note("rename", rename))
    return done


def test_the_hash_is_that_of_sha256sum(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_write_whole_makes_a_file_and_replaces_it(tmp_path):
    write_whole(tmp_path / "state", b"one")
    write_whole(tmp_path / "state", b"two")
    assert (tmp_path / "state").read_bytes() == b"two"
    assert names(tmp_path) == ["state"]
    assert mode(tmp_path / "state") == 0o644


def test_write_whole_syncs_the_content_before_the_name_and_the_name_after(tmp_path, calls):
    write_whole(tmp_path / "state", b"one")
    assert len(calls) == 3
    assert calls[0].startswith(f"fsync {TEMPORARY_PREFIX}")
    assert calls[1:] == ["rename state", f"fsync {tmp_path.name}"]


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_write_whole_on_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    write_whole(tmp_path / "state", b"one")
    monkeypatch.setattr(os, step, full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "state", b"two")
    assert names(tmp_path) == ["state"]
    assert (tmp_path / "state").read_bytes() == b"one"


def test_what_a_killed_writer_leaves_lies_in_the_staging_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "replace", lambda *_: os._exit(9))
    for name in ("staging", "beside"):
        (tmp_path / name).mkdir()
    if (child := os.fork()) == 0:
        write_whole(tmp_path / "beside" / "a", b"new", staging=tmp_path / "staging")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert [len(list((tmp_path / name).iterdir())) for name in ("staging", "beside")] == [1, 0]


def test_write_whole_over_a_folder_is_refused_and_the_folder_stays(tmp_path):
    (tmp_path / "state").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "state", b"one")
    assert names(tmp_path) == ["state"]


def test_a_reader_of_the_old_file_keeps_reading_the_old_file(tmp_path):
    write_whole(tmp_path / "state", b"one")
    with (tmp_path / "state").open("rb") as reader:
        write_whole(tmp_path / "state", b"two")
        assert reader.read() == b"one"


def test_a_folder_appears_when_its_block_ends(tmp_path):
    with whole_folder(tmp_path / "deep" / "b") as folder:
        (folder / "golden").mkdir()
        (folder / "golden" / "a.png").write_bytes(b"a")
        assert not (tmp_path / "deep" / "b").exists()
        assert folder.parent == tmp_path / "deep", "a rename between two disks is no rename"
    assert names(tmp_path) == ["deep", "deep/b", "deep/b/golden", "deep/b/golden/a.png"]


def test_everything_in_a_folder_is_synced_before_its_name_and_the_name_after(tmp_path, calls):
    fill(tmp_path / "b")
    assert sorted(calls[:2]) == ["fsync a.png", "fsync golden"]
    assert calls[2].startswith(f"fsync {TEMPORARY_PREFIX}b-")
    assert calls[3:] == ["rename b", f"fsync {tmp_path.name}"]


def test_a_folder_is_readable_for_the_daemons_user_whatever_the_writers_umask(tmp_path):
    before = os.umask(0o077)
    try:
        fill(tmp_path / "b")
    finally:
        os.umask(before)
    assert [mode(tmp_path / name) for name in ("b", "b/golden", "b/golden/a.png")] == [0o755, 0o755, 0o644]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError("x"), OSError(errno.ENOSPC, "full")])
def test_whatever_ends_the_block_early_no_folder_stays(tmp_path, error):
    with pytest.raises(error if isinstance(error, type) else type(error)):
        fill(tmp_path / "b", lambda: raising(error))
    assert names(tmp_path) == []


@pytest.mark.parametrize("step", ["fsync", "rename", "chmod"])
def test_a_disk_that_fills_while_a_folder_is_finished_leaves_nothing(tmp_path, monkeypatch, step):
    with pytest.raises(OSError, match="No space left"):
        fill(tmp_path / "b", lambda: monkeypatch.setattr(os, step, full_disk))
    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", ["folder", "empty folder", "file", "link"])
def test_a_target_that_is_there_is_refused_before_the_work_and_not_touched(tmp_path, kind):
    target = tmp_path / "b"
    match kind:
        case "file":
            target.write_text("mine")
        case "link":
            target.symlink_to("nowhere")
        case _:
            target.mkdir()
            if kind == "folder":
                (target / "mine").touch()
    before = names(tmp_path)
    with pytest.raises(FileExistsError) as caught, whole_folder(target):
        pytest.fail("the block must not run")
    assert caught.value.filename == str(target)
    assert names(tmp_path) == before


def test_a_target_that_appears_meanwhile_is_not_overwritten(tmp_path):
    with pytest.raises(OSError, match="not empty"):
        fill(tmp_path / "b", lambda: write_file(tmp_path / "b" / "mine"))
    assert names(tmp_path) == ["b", "b/mine"]


def test_make_folder_syncs_the_name_of_each_folder_that_it_makes(tmp_path, calls):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert calls == [f"fsync {tmp_path.name}", "fsync a"]
    assert names(tmp_path) == ["a", "a/b"]


def test_remove_folder_takes_the_name_away_before_the_content(tmp_path, monkeypatch):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a").touch()
    monkeypatch.setattr(files.shutil, "rmtree", lambda _: raising(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        remove_folder(tmp_path / "b")
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(TEMPORARY_PREFIX)
    monkeypatch.undo()
    remove_folder(left)
    assert names(tmp_path) == []
