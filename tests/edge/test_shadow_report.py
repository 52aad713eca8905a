"""What candidates said, on disk and summed up."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from scipy.stats import beta

from edge.cli import main
from edge.shadow.records import Dropped, Records
from edge.shadow.report import reports
from edge.shadow.share import Share
from edge.shadow.words import show
from models.errors import MekikiError
from models.verdict import Verdict
from tests.edge.outlet import verdict

A, B, C = "a" * 64, "b" * 64, "c" * 64
REASON = {"ok": None, "ng": "defect", "unknown": "review"}


def said(seq: int, outcome: str, bundle: str, score: float = 0.25, infer_s: float = 0.01) -> Verdict:
    base = verdict(seq, epoch="20261128T000000.000000Z")
    stages = base.stages.__class__(read_s=0, queue_s=0, infer_s=infer_s, decode_s=0, total_s=0)
    update = {"outcome": outcome, "reason": REASON[outcome], "bundle": bundle, "score": score, "stages": stages}
    return base.model_copy(update=update | {"captured_at_ns": 1_795_000_000_000_000_000 + seq})


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "state" / "shadow.db"


@pytest.fixture
def records(path):
    with closing(Records(path)) as records:
        yield records


def both(records: Records, *pairs: tuple[str, str], active: str = A, candidate: str = B) -> None:
    for seq, (one, other) in enumerate(pairs):
        records.add(said(seq, one, active), said(seq, other, candidate, 0.75, infer_s=0.02))


@pytest.mark.parametrize(("hits", "of"), [(0, 10), (5, 5), (1, 2), (3, 50), (499, 1000), (1, 500_000), (7, 9)])
def test_a_share_has_the_clopper_pearson_interval(hits, of):
    share = Share.of_parts(hits, of)
    assert share.low == pytest.approx(0 if hits == 0 else beta.ppf(0.025, hits, of - hits + 1), rel=1e-9)
    assert share.high == pytest.approx(1 if hits == of else beta.ppf(0.975, hits + 1, of - hits), rel=1e-9)


def test_of_no_part_a_share_may_be_anything():
    assert (Share.of_parts(0, 0).low, Share.of_parts(0, 0).high) == (0, 1)
    assert str(Share.of_parts(0, 0)) == "0 of 0, none seen (0.0% to 100.0%)"


def test_a_report_counts_who_said_what_and_lists_where_they_differ(records, path):
    both(records, *[("ok", "ok")] * 6, ("ok", "ng"), ("ng", "ng"), ("ng", "ok"), ("unknown", "ok"))
    records.add_dropped({Dropped(A, B, "top", "line"): 3})
    records.add_dropped({Dropped(A, B, "top", "line"): 1, Dropped(A, B, "side", "shadow"): 2})
    (report,) = reports(path)
    assert report.table == {
        "ok": {"ok": 6, "ng": 1, "unknown": 0},
        "ng": {"ok": 1, "ng": 1, "unknown": 0},
        "unknown": {"ok": 1, "ng": 0, "unknown": 0},
    }
    assert (report.same.hits, report.same.of) == (7, 10)
    assert (report.ok_to_ng.hits, report.ok_to_ng.of, report.ng_to_ok.hits, report.ng_to_ok.of) == (1, 7, 1, 2)
    assert (report.dropped, report.cameras) == ({"line": 4, "shadow": 2}, {"top": 10})
    assert [(one.seq, one.active, one.candidate) for one in report.differences] == [
        (9, "unknown", "ok"), (8, "ng", "ok"), (6, "ok", "ng"),
    ]  # fmt: skip
    assert (report.active_time.p50_s, report.candidate_time.p99_s) == (0.01, 0.02)
    lines: list[str] = []
    show(report, lines.append)
    assert lines[0] == "candidate bbbbbbbbbbbb beside aaaaaaaaaaaa, 2026-11-18 11:06 to 2026-11-18 11:06 UTC"
    assert "judged by both  10; not by the candidate: 4 as the line left no time, 2 as the candidate was" in lines[2]
    assert "ok -> ng        1 of 7, 14.3% (0.4% to 57.9%)" in lines
    assert "top 8: ng 0.25 -> ok 0.75  evidence/2026-11-18/20261128T000000.000000Z_top_8" in lines


def test_what_was_counted_is_there_after_a_restart_and_the_newest_candidate_is_meant(records, path):
    both(records, ("ok", "ok"), ("ok", "ng"))
    records.close()
    with closing(Records(path)) as again:
        both(again, ("ok", "ok"))
        both(again, ("ng", "ng"), active=C)
        both(again, ("ok", "ng"), candidate=C)
        assert [(one.active, one.candidate, one.judged) for one in reports(path)] == [(A, C, 1)]
        assert [(one.active, one.judged) for one in reports(path, "bb")] == [(C, 1), (A, 3)]


@pytest.mark.parametrize(
    ("candidate", "why"), [("f00", "no part was judged by a candidate starting with 'f00'"), (None, "no part was")]
)
def test_a_candidate_that_judged_nothing_is_said_so(records, path, candidate, why):
    records.add_dropped({Dropped(A, B, "top", "line"): 3})
    with pytest.raises(MekikiError, match=why):
        reports(path, candidate)


def test_where_no_candidate_ever_judged_the_command_says_how_it_begins(box, capsys):
    box.write_folder("line")
    command = ["shadow", "report", "--config", str(box.config)]
    assert main(command) == 1
    assert "no candidate has judged here yet; `mekiki-edge model shadow BUNDLE` begins it" in capsys.readouterr().err


def test_the_command_prints_json_of_all_that_is_known(box, capsys):
    box.write_folder("line")
    with closing(Records(box.folder / "state" / "shadow.db")) as records:
        both(records, *[("ok", "ng")] * 30)
    command = ["shadow", "report", "--config", str(box.config)]
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "and 10 more: --json lists them"
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["judged"], found["ok_to_ng"]["hits"], len(found["differences"])) == (30, 30, 30)


def test_the_oldest_parts_go_when_there_are_too_many(path):
    with closing(Records(path, max_parts=100)) as records:
        both(records, *[("ok", "ok")] * 1001)
    assert reports(path)[0].judged == 100


def test_damaged_records_are_set_aside_and_counting_begins_anew(records, path, caplog):
    path.parent.mkdir()
    path.write_bytes(b"no database " * 1000)
    with pytest.raises(MekikiError, match="the daemon begins it anew"):
        reports(path)
    both(records, ("ok", "ok"), ("ok", "ok"), ("ok", "ok"))
    assert reports(path)[0].judged == 2
    assert len(list(path.parent.glob("shadow.damaged-*.db"))) == 1
    assert "what the candidate says is counted in the metrics only" in caplog.text


def test_a_disk_that_takes_nothing_ends_no_thread_and_is_said_once(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    records = Records(tmp_path / "file" / "shadow.db")
    both(records, ("ok", "ok"), ("ok", "ok"))
    assert caplog.text.count("counted in the metrics only") == 1


def test_a_reader_does_not_hold_up_the_writer(records, path):
    both(records, ("ok", "ok"))
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM part").fetchall()
        both(records, ("ok", "ng"))
    assert reports(path)[0].judged == 2
