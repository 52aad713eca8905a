import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from edge import journal as journal_module
from edge.checkpoints import Checkpoints
from edge.epoch import new_epoch, next_epoch
from edge.history import History
from edge.journal import Journal, Row
from edge.journal_file import damage
from models.errors import MekikiError
from tests.edge.box import ROOT, wait_for
from tests.edge.outlet import make_metrics

E1, E2 = "20260101T000000.000000Z", "20260102T000000.000000Z"
MANY = 1_000_000


def row(seq: int, camera: str = "top", epoch: str = E1) -> Row:
    return Row(epoch, camera, seq, f'{{"epoch":"{epoch}","camera":"{camera}","seq":{seq}}}')


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def opened(path):
    """Opens journals of one file; whatever is open at the end is closed."""
    made = []

    def open_one(most: int = MANY) -> Journal:
        made.append(Journal(path, most, make_metrics()))
        return made[-1]

    yield open_one
    for journal in made:
        if journal._connection is not None or journal._owned >= 0:
            close(journal)


def close(journal: Journal) -> None:
    if journal._owned >= 0:
        journal.close()
        journal._owned = -1


def rows_of(path) -> list[tuple]:
    with sqlite3.connect(path) as connection:
        return connection.execute("SELECT epoch, camera, seq FROM verdict ORDER BY id").fetchall()


def value(journal: Journal, name: str) -> float:
    return journal._metrics.registry.get_sample_value(name)


def fill(path, count: int = 300) -> None:
    journal = Journal(path, MANY, make_metrics())
    for seq in range(count):
        journal.write([row(seq)])
    journal.close()


def test_what_was_written_is_there_for_a_reader_beside_the_writer(opened, path):
    journal = opened()
    journal.write([row(0), row(1, "side")])
    assert rows_of(path) == [(E1, "top", 0), (E1, "side", 1)]
    assert History(journal).after("top", None, 10, 10**6).rows == [row(0)]
    assert journal.pending() == []
    assert value(journal, "mekiki_journal_ok") == 1


def test_it_holds_at_most_what_was_set_and_drops_the_oldest(opened, path):
    journal = opened(100)
    for seq in range(0, 1000, 10):
        journal.write([row(seq + i) for i in range(10)])
        assert len(rows_of(path)) <= 100
    seqs = [seq for _, _, seq in rows_of(path)]
    assert seqs == list(range(seqs[0], 1000))
    assert len(seqs) >= 80


def test_a_smaller_limit_is_reached_in_small_steps(opened, path):
    fill(path, 2000)
    journal = opened(100)
    counts = []
    for seq in range(2000, 2030):
        journal.write([row(seq)])
        counts.append(len(rows_of(path)))
    assert all(before - after < 300 for before, after in itertools.pairwise(counts))
    assert counts[-1] <= 100


def test_two_daemons_do_not_share_a_journal(opened, path):
    opened()
    with pytest.raises(MekikiError, match="in use; stop the other mekiki-edge"):
        Journal(path, MANY, make_metrics())


def test_a_folder_that_may_not_be_made_is_named(tmp_path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises(MekikiError, match="give the daemon's user the folder `state`"):
        Journal(tmp_path / "state" / "journal.db", MANY, make_metrics())


# --- epochs


def test_the_epoch_grows_though_the_clock_jumped_back(opened, path):
    far = "29990101T000000.999999Z"
    journal = opened()
    journal.write([row(0, epoch=far)])
    assert next_epoch(journal) == "29990101T000001.000000Z"
    close(journal)
    assert next_epoch(opened()) == "29990101T000001.000001Z"  # though that start published nothing


def test_without_history_the_epoch_is_the_clock():
    first = new_epoch()
    assert first.startswith("20")
    assert new_epoch(first) > first
    assert new_epoch("no epoch of ours").startswith("20")


# --- a kill at any moment

WRITER = """
import sys
from pathlib import Path
from edge.checkpoints import Checkpoints
from edge.journal import Journal, Row
from tests.edge.outlet import make_metrics
journal = Journal(Path(sys.argv[1]), 1_000_000, make_metrics())
import threading
threading.Thread(target=Checkpoints(journal, every_s=0.01).run, daemon=True).start()
for seq in range(1_000_000):
    journal.write([Row("e", "top", seq, '{"seq": %d}' % seq)])
    sys.stdout.write(f"{seq}\\n")  # published
    sys.stdout.flush()
"""


@pytest.mark.parametrize("after", [1, 300, 1500])
def test_every_verdict_that_went_out_before_a_kill_is_in_the_journal(path, after):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    for _ in range(after):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    rest = writer.stdout.read().split("\n")
    writer.wait()
    writer.stdout.close()
    out = after + sum(line.isdigit() for line in rest[:-1])
    assert damage(path) is None
    seqs = [seq for _, _, seq in rows_of(path)]
    assert seqs == list(range(len(seqs)))
    assert out <= len(seqs) <= out + 1


# --- a disk that takes nothing

FULL = """
import resource, sys, time
from pathlib import Path
from edge.history import History
from edge.journal import Journal, Row
from tests.edge.outlet import make_metrics
path, metrics = Path(sys.argv[1]), make_metrics()
journal = Journal(path, 1_000_000, metrics)
history = History(journal)
text = '{"x": "' + "y" * 1000 + '"}'
journal.write([Row("e", "top", 0, text)])
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
for seq in range(1, 2000):
    journal.write([Row("e", "top", seq, text)])
ok = metrics.registry.get_sample_value
assert ok("mekiki_journal_ok") == 0, "the disk was never full"
assert ok("mekiki_journal_errors_total") < 10, "it was tried for each verdict"
waiting = len(journal.pending())
assert waiting > 1000, waiting
page = history.after("top", ("e", 0), 5000, 10**9)
assert [row.seq for row in page.rows] == list(range(1, 2000)) and page.complete
assert history.last()["top"].seq == 1999
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
until = time.monotonic() + 20
while journal.pending() and time.monotonic() < until:
    journal.write([])
    time.sleep(0.05)
assert ok("mekiki_journal_ok") == 1 and ok("mekiki_journal_pending") == 0
assert [row.seq for row in history.after("top", None, 5000, 10**9).rows] == list(range(2000))
journal.close()
print("caught up")
"""


def test_while_the_disk_is_full_verdicts_wait_and_can_be_replayed_and_are_written_after(path):
    command = [sys.executable, "-c", FULL, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "caught up\n"), done.stderr
    assert done.stderr.count("wait in memory") == 1  # once for the whole time


@pytest.fixture
def tiny_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", folder]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root mounts")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_is_full_at_the_start_does_not_stop_the_line(tiny_disk):
    ballast = tiny_disk / "ballast"
    (tiny_disk / "journal.db.lock").touch()
    with ballast.open("wb", buffering=0) as file:
        file.write(bytes(1_000_000))  # what fits of it
    journal = Journal(tiny_disk / "journal.db", MANY, make_metrics())
    journal.write([row(0)])
    assert [found.seq for found in History(journal).after("top", None, 10, 10**6).rows] == [0]
    ballast.unlink()
    wait_for(lambda: journal.write([]) or not journal.pending(), 10)
    assert rows_of(journal.path) == [(E1, "top", 0)]
    journal.close()


def test_what_waits_in_memory_is_bounded_and_the_oldest_goes(opened, path, monkeypatch):
    monkeypatch.setattr(journal_module, "MAX_PENDING", 50)
    journal = opened()
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")  # a person's shell holds the file
    for seq in range(200):
        journal.write([row(seq)])
    assert [waiting.seq for waiting in journal.pending()] == list(range(150, 200))
    blocker.execute("ROLLBACK")
    blocker.close()
    wait_for(lambda: journal.write([]) or not journal.pending(), 10)
    assert [seq for _, _, seq in rows_of(path)] == list(range(150, 200))


# --- the write-ahead log


def test_the_log_does_not_grow_without_bound_while_verdicts_never_stop(opened, path):
    journal = opened(5000)
    checkpoints = Checkpoints(journal, every_s=0.02, wal_bytes=1_000_000)
    thread = threading.Thread(target=checkpoints.run)
    thread.start()
    wal, largest = path.with_name("journal.db-wal"), 0
    for seq in range(6000):
        journal.write([row(seq)])
        if seq % 100 == 0:
            journal.write(())  # as the publisher does with its heartbeats
        largest = max(largest, wal.stat().st_size)
    checkpoints.finish()
    thread.join(10)
    assert not thread.is_alive()
    assert largest < 20_000_000  # without checkpoints it is over 70 MB
    assert len(rows_of(path)) <= 5000


def test_a_write_of_a_verdict_does_not_wait_for_the_disk_to_end_a_long_log(opened, path, monkeypatch):
    """It is published only after the write; the one without verdicts, with the heartbeat, has the time."""
    journal, ended = opened(5000), []
    monkeypatch.setattr(journal, "_end_checkpoint", lambda: ended.append(1))
    journal.end_log_soon()
    journal.write([row(0)])
    assert ended == []
    journal.write(())
    journal.write(())
    assert ended == [1]


# --- damage


def scribble(path, start: int, count: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(os.urandom(count))


def random_bytes(path):
    path.write_bytes(os.urandom(50_000))


def cut_off(path):
    os.truncate(path, path.stat().st_size // 2)


def odd_cut(path):
    os.truncate(path, 5000)


def spoilt_header(path):
    scribble(path, 0, 100)


def spoilt_schema_page(path):
    scribble(path, 100, 3000)


def spoilt_rows(path):
    scribble(path, 4096, path.stat().st_size - 4096)


def other_schema(path):
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE verdict (id INTEGER)")


def other_version(path):
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")


def garbage_log(path):
    path.with_name("journal.db-wal").write_bytes(os.urandom(20_000))


def log_alone(path):
    path.unlink()
    path.with_name("journal.db-wal").write_bytes(os.urandom(20_000))


@pytest.mark.parametrize(
    "spoil",
    [random_bytes, cut_off, odd_cut, spoilt_header, spoilt_schema_page, spoilt_rows, other_schema, other_version,
     garbage_log, log_alone],
)  # fmt: skip
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(path, opened, spoil, caplog):
    fill(path)
    spoil(path)
    journal = opened()
    journal.write([row(0, epoch=E2)])
    assert rows_of(path) == [(E2, "top", 0)]
    aside = [found.name for found in path.parent.glob("journal.damaged-*")]
    assert any("Z.db" in name for name in aside)
    assert value(journal, "mekiki_journal_damaged_total") == 1
    assert "damaged" in caplog.text


def test_a_sound_file_an_empty_one_and_a_zeroed_log_are_kept(path):
    fill(path, 3)
    assert damage(path) is None
    path.with_name("journal.db-wal").write_bytes(bytes(5000))  # what a power cut leaves
    assert damage(path) is None
    assert len(rows_of(path)) == 3
    path.write_bytes(b"")
    assert damage(path) is None


def test_at_most_three_damaged_files_are_kept(path):
    for _ in range(5):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no database" * 1000)
        Journal(path, MANY, make_metrics()).close()
    assert len(list(path.parent.glob("journal.damaged-*.db"))) == 3


def test_damage_that_shows_while_writing_is_set_aside_and_no_verdict_is_lost(opened, path):
    fill(path, 2000)
    journal = opened()
    history = History(journal)
    spoilt_rows(path)
    for seq in range(50):
        journal.write([row(seq, "side", E2)])
    wait_for(lambda: journal.write([]) or not journal.pending(), 10)
    assert [found.seq for found in history.after("side", None, 100, 10**6).rows] == list(range(50))
    journal.write([row(50, "side", E2)])
    assert value(journal, "mekiki_journal_ok") == 1


# --- what a replay reads


def seqs_after(journal: Journal, at, limit: int = 1000, camera: str = "top") -> tuple[list, bool, bool]:
    page = History(journal).after(camera, at, limit, 10**6)
    return [(found.epoch, found.seq) for found in page.rows], page.more, page.complete


def test_a_camera_is_read_in_publish_order_across_epochs(opened):
    journal = opened()
    journal.write([row(seq, camera, epoch) for epoch in (E1, E2) for seq in range(3) for camera in ("top", "side")])
    every = [(epoch, seq) for epoch in (E1, E2) for seq in range(3)]
    assert seqs_after(journal, None) == (every, False, True)
    assert seqs_after(journal, (E1, 1)) == (every[2:], False, True)
    assert seqs_after(journal, (E1, 99)) == (every[3:], False, True)
    assert seqs_after(journal, (E2, 2)) == ([], False, True)
    assert seqs_after(journal, (E1, -1), limit=2) == (every[:2], True, True)


def test_a_start_that_is_held_no_more_is_said_to_be_incomplete(opened):
    journal = opened(100)
    for seq in range(300):
        journal.write([row(seq), row(seq, "rare")] if seq == 0 else [row(seq)])
    found, _, complete = seqs_after(journal, (E1, 5))
    assert not complete
    assert found[-1] == (E1, 299)
    assert seqs_after(journal, found[0])[2]
    assert not seqs_after(journal, None)[2]
    assert not seqs_after(journal, (E1, -1), camera="rare")[2]
    assert seqs_after(journal, (E1, 0), camera="rare") == ([], False, True)
    assert not seqs_after(journal, ("20250101T000000.000000Z", 3), camera="rare")[2]


def test_an_answer_is_bounded_in_bytes_too_and_never_empty(opened):
    journal = opened()
    journal.write([row(seq) for seq in range(10)])
    page = History(journal).after("top", None, 10, 10)
    assert ([found.seq for found in page.rows], page.more) == ([0], True)


def test_the_last_and_the_oldest_of_each_camera_are_found(opened):
    journal = opened()
    journal.write([row(0), row(1), row(7, "side", E2)])
    history = History(journal)
    assert {name: found.seq for name, found in history.last().items()} == {"top": 1, "side": 7}
    assert {name: found.seq for name, found in history.oldest().items()} == {"top": 0, "side": 7}
    assert History(opened_nothing := journal).last()  # a second reader beside the first
    assert opened_nothing.generation == 0
