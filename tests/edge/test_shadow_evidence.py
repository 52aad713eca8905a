"""Frames of which a candidate said otherwise, among the evidence."""

import os
import time
from pathlib import Path

import pytest

from edge.evidence import Beside, png
from tests.edge.test_evidence import DAY, Writer, loaded, names, picture, place, verdict, writing

STEM = f"{DAY}/20260517T120000Z-ab12_top_7"
BESIDE = {".active.jpg": b"a" * 50, ".shadow.jpg": b"b" * 60}


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """The folder of the evidence itself."""
    folder = tmp_path / "evidence"
    folder.mkdir()
    return folder


def differs(writer: Writer, seq: int = 7, outcome: str = "ok") -> None:
    """The active model calls a part so, the candidate does not."""
    other = verdict(seq, "ng" if outcome == "ok" else "ok", 0.4)
    writer.evidence.offer_beside(verdict(seq, outcome, 0.1), Beside(other, png(picture(seq)), BESIDE))


def bytes_of(folder: Path) -> int:
    return sum((folder / name).stat().st_size for name in names(folder))


def test_a_frame_of_which_a_candidate_says_otherwise_is_kept_whatever_the_verdict(tmp_path):
    with writing(tmp_path, ok_share=0) as writer:
        differs(writer)
    assert names(tmp_path) == [f"{STEM}{end}" for end in (".active.jpg", ".json", ".png", ".shadow", ".shadow.jpg")]
    assert '"outcome":"ok"' in (tmp_path / f"{STEM}.json").read_text()
    assert '"outcome":"ng"' in (tmp_path / f"{STEM}.shadow").read_text()
    assert writer.count("kept_total", kind="shadow") == 1
    assert writer.count("bytes") == loaded(tmp_path).total_bytes == bytes_of(tmp_path)


def test_a_frame_that_was_kept_already_gets_what_the_candidate_said_and_is_not_written_twice(tmp_path):
    with writing(tmp_path) as writer:
        writer.keep(verdict(7, "ng"))
        before = (tmp_path / f"{STEM}.png").stat().st_ino
        differs(writer, outcome="ng")
    assert (tmp_path / f"{STEM}.png").stat().st_ino == before
    assert writer.count("bytes") == loaded(tmp_path).total_bytes == bytes_of(tmp_path)
    assert len(loaded(tmp_path)) == 1


def test_what_a_model_has_nothing_to_show_for_leaves_no_empty_picture(tmp_path):
    with writing(tmp_path) as writer:
        nothing = {".active.jpg": b"", ".shadow.jpg": b"x"}
        writer.evidence.offer_beside(verdict(7), Beside(verdict(7, "ok"), png(picture(7)), nothing))
    assert not (tmp_path / f"{STEM}.active.jpg").exists()


def test_where_nothing_is_kept_no_difference_is_either(tmp_path):
    with writing(tmp_path, max_bytes=0) as writer:
        differs(writer)
    assert (names(tmp_path), writer.count("lost_total")) == ([], 0)


def test_a_difference_stays_longer_than_an_ok_frame_and_goes_with_all_its_files(tmp_path):
    with writing(tmp_path) as writer:
        differs(writer)
    for seq in (1, 2):
        place(tmp_path, seq, "ok")
    kept = loaded(tmp_path)
    assert kept.make_room("ng", 100, kept.total_bytes - 1)
    assert {Path(name).name.partition(".")[0] for name in names(tmp_path)} >= {Path(STEM).name}
    assert kept.make_room("ng", 100, 101)
    assert names(tmp_path) == []


def test_half_of_what_a_killed_writer_left_of_a_difference_goes(tmp_path):
    (tmp_path / DAY).mkdir()
    for ending in (".active.jpg", ".shadow"):
        left = tmp_path / f"{STEM}{ending}"
        left.write_bytes(b"x")
        os.utime(left, (time.time() - 1000,) * 2)
    loaded(tmp_path).clear_leftovers()
    assert names(tmp_path) == []
