"""A new version on a line: the rules alone, then the real daemon that commits it or goes back by itself."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from edge.cli import main
from edge.config import ProbationConfig
from edge.journal_file import open_file
from edge.metrics import Metrics
from edge.probation import Counts, Seen, Trial, ruling
from models.gate import Gate
from models.store import Store
from tests import tiny
from tests.edge.box import Box, Subscriber, no_holes, wait_for
from tests.signer import Signer

CONFIG = ProbationConfig(parts=200)
OK, NG, REVIEW, LATE = Seen("ok", None), Seen("ng", "defect"), Seen("unknown", "review"), Seen("unknown", "deadline")
NO_PICTURE = Seen("unknown", "camera_fault")
GOOD = Counts.of([OK] * 190 + [NG] * 10)
LINE = """
[[camera]]
name = "top"
kind = "folder"
path = "line"
loop = true
fps = 100
"""
PARTS = "[probation]\nparts = 60\n"


def test_a_version_that_does_as_the_one_before_is_committed_when_it_has_judged_enough():
    assert ruling(Counts.of([OK] * 180 + [NG] * 19), GOOD, CONFIG).is_good is None
    found = ruling(Counts.of([OK] * 180 + [NG] * 20), GOOD, CONFIG)
    assert found.is_good
    assert found.why == "200 parts: late 0.0% (before 0.0%), unknown 0.0% (before 0.0%), ng 10.0% (before 5.0%)"


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ([OK] * 37 + [NG] * 13, "ng of 50 parts 26.0%, before 5.0% of 200"),
        ([OK] * 44 + [REVIEW] * 6, "unknown of 50 parts 12.0%, before 0.0% of 200"),
        ([OK] * 47 + [LATE] * 3, "late of 50 parts 6.0%, before 0.0% of 200"),
    ],
)
def test_one_that_does_worse_goes_back_early(seen, why):
    assert ruling(Counts.of(seen), GOOD, CONFIG) == (False, why)
    assert ruling(Counts.of(seen[:-1]), GOOD, CONFIG).is_good is None, "49 parts prove nothing"


def test_one_that_finds_nothing_any_more_goes_back():
    """A model that passes everything looks like a good day."""
    before = Counts.of([OK] * 100 + [NG] * 100)
    assert ruling(Counts.of([OK] * 60), before, CONFIG).is_good is False


def test_one_that_is_meant_to_reject_less_stays_where_the_settings_say_so():
    before = Counts.of([OK] * 100 + [NG] * 100)
    allowed = ProbationConfig(parts=60, ng_fall=1)
    assert ruling(Counts.of([OK] * 60), before, allowed).is_good
    assert ruling(Counts.of([NG] * 60), before, allowed).is_good is False, "the other way nothing changes"


def test_without_verdicts_of_the_one_before_ng_is_not_compared_but_doubt_and_lateness_are():
    nothing = Counts.of([])
    assert ruling(Counts.of([NG] * 200), nothing, CONFIG).is_good
    assert ruling(Counts.of([REVIEW] * 60), nothing, CONFIG).is_good is False
    assert ruling(Counts.of([LATE] * 60), nothing, CONFIG).is_good is False


def test_pictures_that_no_camera_gave_are_not_the_models_doing():
    assert Counts.of([OK] * 3 + [NO_PICTURE] * 100) == Counts(parts=3, ng=0, unknown=0, late=0)
    assert ruling(Counts.of([OK] * 40 + [NO_PICTURE] * 500), GOOD, CONFIG).is_good is None


def test_a_probation_shorter_than_fifty_parts_is_ruled_at_its_end():
    assert ruling(Counts.of([NG] * 10), GOOD, ProbationConfig(parts=10)).is_good is False
    assert ruling(Counts.of([NG] * 9), GOOD, ProbationConfig(parts=10)).is_good is None


@contextmanager
def flowing(box: Box, tables: str = PARTS) -> Iterator[tuple[Store, Subscriber]]:
    """A daemon that judges good and bad parts by turns, by a store."""
    store = Store(box.folder / "store")
    store.activate(store.add(box.bundle).digest)
    box.images("line", [tiny.OK, tiny.NG])
    box.write(LINE, head='store = "store"', bus="wait_for_subscriber_s = 20", tables=tables)
    with Subscriber(box.address) as subscriber, box.daemon():
        yield store, subscriber


def install(box: Box, source: Path) -> None:
    assert main(["model", "install", str(source), "--config", str(box.config)]) == 0


def test_a_version_that_does_well_is_committed_by_the_daemon(box, newer, new, old):
    with flowing(box) as (store, subscriber):
        verdicts = subscriber.take(80)
        install(box, newer)
        assert store.state().on_probation
        wait_for(lambda: not store.state().on_probation)
        verdicts += subscriber.there()
        assert store.state().active == new
    assert no_holes(verdicts)
    assert {verdict["bundle"] for verdict in verdicts} == {old, new}
    event = store.state().history[-1]
    assert (event.step, event.version) == ("committed", new)
    assert event.why.startswith("60 parts: late 0.0% (before 0.0%), unknown 0.0% (before 0.0%), ng ")


def test_a_version_that_rejects_good_parts_rolls_itself_back_and_no_verdict_is_lost(box, old):
    """Every part is ng to it; its golden images agree, as they were made by it."""
    bad = tiny.make_bundle(box.folder / "bad.bundle", threshold=0.05)
    with flowing(box) as (store, subscriber):
        verdicts = subscriber.take(80)
        install(box, bad)
        wait_for(lambda: store.state().active == old)
        wait_for(lambda: box.metric("mekiki_model_swaps_total", result="switched") == 2)
        verdicts += subscriber.there() + subscriber.take(20)
    assert no_holes(verdicts)
    assert verdicts[-1]["bundle"] == old
    assert {verdict["outcome"] for verdict in verdicts[-10:]} == {"ok", "ng"}
    (why,) = store.state().failed.values()
    assert why.startswith("ng of ")


def test_a_version_on_probation_that_fails_beside_the_old_one_goes_back_in_the_store_too(box, newer, old, new):
    """Else the next start would find it in force."""
    with flowing(box) as (store, subscriber):
        subscriber.take(5)
        wrong = store.add(tiny.make_bundle(box.folder / "wrong.bundle", golden_error=0.1)).digest
        store.activate(wrong, on_probation=True)
        wait_for(lambda: store.state().active == old)
        assert "do not use this bundle on this device" in store.state().failed[wrong]
        assert subscriber.take(5)[-1]["bundle"] == old


def test_a_probation_goes_on_after_a_restart_with_what_was_counted(box, newer, new, old):
    store = Store(box.folder / "store")
    store.activate(store.add(box.bundle).digest)
    box.images("line", [tiny.OK, tiny.NG] * 20)
    one = '[[camera]]\nname = "top"\nkind = "folder"\npath = "line"\nfps = 200\n'
    box.write(one, head='store = "store"', tables=PARTS)
    assert box.run()[0] == 0
    install(box, newer)
    assert box.run()[0] == 0  # 40 parts of 60
    assert (store.state().on_probation, store.state().starts) == (True, 0)
    box.write(one.replace("fps = 200", "fps = 20\nloop = true"), head='store = "store"', tables=PARTS)
    with box.daemon():
        wait_for(lambda: not store.state().on_probation)
    assert store.state().active == new
    parts = {verdict["seq"] for verdict in box.journal().values() if verdict["bundle"] == new}
    assert len(parts) >= 40


def test_where_the_journal_cannot_be_read_nothing_is_committed_and_it_is_said_once(
    tmp_path, bundle, newer, new, caplog
):
    store = Store(tmp_path / "store")
    store.activate(store.add(bundle).digest)
    store.activate(store.add(newer).digest, on_probation=True)
    (tmp_path / "journal.db").write_bytes(b"no database " * 1000)
    trial = Trial(store, ["top"], tmp_path / "journal.db", CONFIG, Metrics(CollectorRegistry(), ["top"]))
    for _ in range(3):
        trial.look(new)
    assert store.state().on_probation
    assert len([record for record in caplog.records if "cannot end" in record.getMessage()]) == 1


@pytest.fixture
def signer(tmp_path) -> Signer:
    return Signer(tmp_path / "keys", "line-2026")


@pytest.fixture
def trial(tmp_path, bundle, newer, signer) -> Trial:
    """Of a store that takes signed bundles only, with a version on probation and a journal without verdicts."""
    store = Store(tmp_path / "store", Gate(signer.trust))
    store.activate(store.add(signer.sign(Path(shutil.copytree(bundle, tmp_path / "a.bundle")))).digest)
    store.activate(
        store.add(signer.sign(Path(shutil.copytree(newer, tmp_path / "b.bundle")))).digest, on_probation=True
    )
    open_file(tmp_path / "journal.db").close()
    return Trial(store, ["top"], tmp_path / "journal.db", CONFIG, Metrics(CollectorRegistry(), ["top"]))


def judge(journal: Path, digest: str, seen: list[Seen], first: int = 0) -> None:
    """Writes verdicts, as the daemon does."""
    with contextlib.closing(open_file(journal)) as connection:
        for seq, (outcome, reason) in enumerate(seen, first):
            verdict = {"bundle": digest, "captured_at_ns": 2**62, "outcome": outcome, "reason": reason}
            row = ("epoch", "top", seq, json.dumps(verdict))
            connection.execute("INSERT INTO verdict (epoch, camera, seq, verdict) VALUES (?, ?, ?, ?)", row)


def test_a_camera_that_fails_now_and_then_does_not_keep_a_probation_from_its_end(trial, tmp_path, new):
    judge(tmp_path / "journal.db", new, ([OK] * 9 + [NO_PICTURE]) * 30)
    trial.look(new)
    assert Store(tmp_path / "store").state().history[-1].why.startswith("200 parts: ")


def test_a_probation_goes_on_with_a_journal_that_was_begun_anew(trial, tmp_path, new):
    judge(tmp_path / "journal.db", new, [OK] * 150)
    trial.look(new)
    for path in tmp_path.glob("journal.db*"):
        path.unlink()
    judge(tmp_path / "journal.db", new, [OK] * 60, first=150)
    trial.look(new)
    assert not Store(tmp_path / "store").state().on_probation


def test_keys_that_are_not_in_order_end_no_thread_and_no_probation(trial, tmp_path, signer, new, caplog):
    signer.pair.public.write_text("half a key")
    judge(tmp_path / "journal.db", new, [NG] * 30 + [REVIEW] * 30)
    trial.look(new)
    assert Store(tmp_path / "store").state().on_probation
    assert "not a trusted key" in caplog.text
