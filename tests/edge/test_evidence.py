"""Evidence on a real disk: what is kept, what goes first, and what a full disk or a kill leaves."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from edge.config import EvidenceConfig, ReviewConfig
from edge.evidence import MAX_WAITING, MAX_WAITING_BYTES, Evidence, write_frame
from edge.kept import Kept, kind_of
from edge.metrics import Metrics
from models.files import TEMPORARY_PREFIX
from models.prediction import Image, Prediction
from models.review import KeptVerdict
from models.verdict import Stages, Verdict
from tests.edge.box import ROOT, wait_for

NOON_NS = int(datetime(2026, 5, 17, 12, tzinfo=UTC).timestamp()) * 1_000_000_000
DAY = "2026-05-17"
AGES_NS = 86_400_000_000_000
EVER = 1_000_000  # days
STAGES = Stages(read_s=0, queue_s=0, infer_s=0, decode_s=0, total_s=0)


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """The folder of the evidence itself."""
    folder = tmp_path / "evidence"
    folder.mkdir()
    return folder


def picture(seed: int = 0, side_px: int = 64) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)


def verdict(
    seq: int, outcome: str = "ng", score: float | None = 0.9, at_ns: int = NOON_NS, camera: str = "top"
) -> Verdict:
    reason = {"ok": None, "ng": "defect", "unknown": "blurred"}[outcome]
    return Verdict.model_validate(
        {
            "epoch": "20260517T120000Z-ab12",
            "camera": camera,
            "seq": seq,
            "outcome": outcome,
            "reason": reason,
            "score": score,
            "threshold": 0.5,
            "bundle": "0" * 64,
            "device": "CPU",
            "precision": "f32",
            "captured_at_ns": at_ns + seq,
            "captured_ns": 5,
            "stages": STAGES,
        }
    )


OF_KIND = {
    "ok": ("ok", 0.1),
    "borderline": ("ok", 0.49),
    "asked": ("ok", 0.41),
    "unknown": ("unknown", None),
    "ng": ("ng", 0.9),
}
NOBODY = ReviewConfig(band=(1, 1), share=0)


def config(**changed: object) -> EvidenceConfig:
    return EvidenceConfig.model_validate({"ok_share": 1, "max_age_days": EVER} | changed)


class Writer:
    """Evidence with its thread; `folder` is where the frames lie."""

    def __init__(self, folder: Path, review: ReviewConfig = NOBODY, **changed: object) -> None:
        self.metrics = Metrics(CollectorRegistry(), ["top"])
        self.evidence = Evidence(folder.parent, config(**changed), review, self.metrics)
        self.thread = threading.Thread(target=self.evidence.run, name="evidence", daemon=True)

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"mekiki_evidence_{name}", labels) or 0.0

    def kept(self) -> float:
        return sum(self.count("kept_total", kind=kind) for kind in OF_KIND)

    def settled(self, frames: int) -> None:
        """Waits until so many frames in all are kept or lost."""
        wait_for(lambda: self.kept() + self.count("lost_total") >= frames)

    def keep(self, *verdicts: Verdict, image: Image | None = None) -> None:
        for one in verdicts:
            before = self.kept() + self.count("lost_total")
            self.evidence.offer(one, picture(one.seq) if image is None else image)
            self.settled(int(before) + 1)


@contextlib.contextmanager
def writing(folder: Path, review: ReviewConfig = NOBODY, **changed: object) -> Iterator[Writer]:
    writer = Writer(folder, review, **changed)
    writer.thread.start()
    try:
        yield writer
    finally:
        writer.evidence.finish()
        writer.thread.join(20)
        assert not writer.thread.is_alive()


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def seqs(folder: Path) -> set[int]:
    """Of the frames that are whole."""
    return {int(path.stem.rpartition("_")[2]) for path in folder.rglob("*_*.json")}


def place(folder: Path, seq: int, kind: str, *, at_ns: int = NOON_NS, reviewed: bool = False) -> Path:
    """A frame as an earlier daemon has left it."""
    outcome, score = OF_KIND[kind]
    made = verdict(seq, outcome, score, at_ns)
    day = folder / datetime.fromtimestamp(at_ns / 1e9, UTC).strftime("%Y-%m-%d")
    day.mkdir(parents=True, exist_ok=True)
    stem = day / f"{made.epoch}_top_{seq}"
    write_frame(stem, {".png": b"x" * 1000, ".json": made.model_dump_json().encode()})
    if reviewed:
        answer(stem)
    return stem


def answer(stem: Path) -> None:
    """A person has said something of that frame."""
    answers = stem.parents[2] / "review" / stem.parent.name / stem.name
    answers.mkdir(parents=True)
    (answers / "1.json").write_text("{}")


def loaded(folder: Path) -> Kept:
    kept = Kept(folder, folder.parent / "review", 0.1)
    for _ in kept.load():
        pass
    return kept


def test_a_kept_frame_is_the_picture_to_the_last_bit_and_the_verdict_as_it_was_sent(tmp_path):
    with writing(tmp_path) as writer:
        writer.keep(verdict(7))
    stem = f"{DAY}/20260517T120000Z-ab12_top_7"
    assert names(tmp_path) == [f"{stem}.json", f"{stem}.png"]
    assert Verdict.model_validate_json((tmp_path / f"{stem}.json").read_text()) == verdict(7)
    assert np.array_equal(cv2.imread(str(tmp_path / f"{stem}.png")), picture(7))
    assert writer.count("bytes") == sum((tmp_path / name).stat().st_size for name in names(tmp_path))


def test_the_heatmap_lies_beside_the_picture_to_the_last_bit_and_goes_with_it(tmp_path):
    heat = np.random.default_rng(1).random((8, 8), np.float32)
    with writing(tmp_path) as writer:
        writer.evidence.offer(verdict(7), picture(7), Prediction(0.9, heat, 64, 64, 0, 0))
        writer.settled(1)
    stem = tmp_path / DAY / "20260517T120000Z-ab12_top_7"
    assert np.array_equal(np.load(stem.with_name(f"{stem.name}.heatmap.npy"), allow_pickle=False), heat)
    kept = loaded(tmp_path)
    assert kept.total_bytes == writer.count("bytes") == sum(path.stat().st_size for path in stem.parent.iterdir())
    assert kept.make_room("ng", 1, kept.total_bytes)
    assert names(tmp_path) == []


def test_parts_that_a_person_is_asked_about_are_kept_and_say_why(tmp_path):
    with writing(tmp_path, ReviewConfig(band=(0.8, 1.2), share=0), ok_share=0, borderline=0) as writer:
        writer.keep(verdict(0, "ok", 0.41), verdict(1, "ng", 0.59), verdict(2, "ng", 0.9))
        writer.evidence.offer(verdict(3, "ok", 0.39), picture())
        writer.keep(verdict(4, "unknown", None))
    kept = [KeptVerdict.model_validate_json(path.read_bytes()) for path in sorted(tmp_path.rglob("*.json"))]
    assert [(one.seq, one.asked_for) for one in kept] == [(0, "band"), (1, "band"), (2, None), (4, None)]
    assert writer.count("kept_total", kind="asked") == 1


def test_the_day_is_that_of_the_capture_in_utc(tmp_path):
    last_ns = NOON_NS + AGES_NS // 2 - 1000
    with writing(tmp_path) as writer:
        writer.keep(verdict(0, at_ns=last_ns), verdict(1, at_ns=last_ns + 1000))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2026-05-17", "2026-05-18"]


def test_a_name_that_could_lead_elsewhere_stays_in_the_folder(tmp_path):
    with writing(tmp_path / "evidence") as writer:
        writer.keep(verdict(0, camera="../../x/ü y"))
    assert len(names(tmp_path)) == 2
    assert all(name.startswith(f"evidence/{DAY}/") and name.count("/") == 2 for name in names(tmp_path))


@pytest.mark.parametrize(
    ("outcome", "score", "kind"),
    [
        ("ng", 0.9, "ng"),
        ("unknown", None, "unknown"),
        ("unknown", 0.45, "unknown"),  # for review
        ("ok", 0.45, "borderline"),
        ("ok", 0.4499, "ok"),
        ("ok", None, "ok"),
    ],
)
def test_frames_are_of_the_kind_that_their_verdict_says(outcome, score, kind):
    assert kind_of(outcome, score, 0.5, 0.1) == kind


def test_without_a_share_of_ok_frames_all_others_are_kept(tmp_path):
    with writing(tmp_path, ok_share=0) as writer:
        writer.keep(verdict(1), verdict(2, "unknown", None), verdict(3, "ok", 0.49))
        for seq in range(10, 40):
            writer.evidence.offer(verdict(seq, "ok", 0.1), picture())
        writer.keep(verdict(4))
    assert seqs(tmp_path) == {1, 2, 3, 4}
    assert [writer.count("kept_total", kind=kind) for kind in OF_KIND] == [0, 1, 0, 1, 2]


def test_the_sample_of_ok_frames_is_a_share_of_them_and_the_same_with_the_same_seed(tmp_path):
    def sample(seed: int) -> list[bool]:
        evidence = Evidence(tmp_path, config(ok_share=0.2), NOBODY, Metrics(CollectorRegistry(), ["top"]), seed)
        return [evidence._wanted(verdict(seq, "ok", 0.1), None) is not None for seq in range(2000)]

    assert sum(sample(1)) == pytest.approx(400, abs=80)
    assert sample(1) == sample(1) != sample(2)


def test_an_unknown_part_without_a_picture_is_not_evidence_and_not_lost(tmp_path):
    with writing(tmp_path) as writer:
        writer.evidence.offer(verdict(0, "unknown", None), None)
        writer.keep(verdict(1))
    assert seqs(tmp_path) == {1}
    assert writer.count("lost_total") == 0


def test_with_no_bytes_allowed_nothing_is_kept_and_nothing_is_lost(tmp_path):
    with writing(tmp_path / "evidence", max_bytes=0) as writer:
        writer.evidence.offer(verdict(0), picture())
    assert not (tmp_path / "evidence").exists()
    assert writer.count("lost_total") == 0


def test_the_picture_is_a_copy_that_the_camera_may_overwrite(tmp_path):
    writer, image = Writer(tmp_path), picture(3)
    writer.evidence.offer(verdict(0), image)
    image[:] = 0
    writer.thread.start()
    writer.evidence.finish()
    writer.thread.join(20)
    (png,) = tmp_path.rglob("*.png")
    assert np.array_equal(cv2.imread(str(png)), picture(3))


def test_more_frames_than_the_queue_takes_are_lost_and_counted_and_the_first_are_kept(tmp_path):
    writer = Writer(tmp_path)
    for seq in range(MAX_WAITING + 5):
        writer.evidence.offer(verdict(seq), picture())
    assert writer.count("lost_total") == 5
    writer.thread.start()
    writer.evidence.finish()
    writer.thread.join(20)
    assert seqs(tmp_path) == set(range(MAX_WAITING))


def test_the_queue_is_bounded_by_bytes_too_and_takes_one_frame_of_any_size(tmp_path):
    writer = Writer(tmp_path)
    large = np.broadcast_to(np.uint8(0), (MAX_WAITING_BYTES // 3 + 1, 1, 3))
    for seq in range(3):
        writer.evidence.offer(verdict(seq), large)
    assert writer.count("lost_total") == 2


def test_what_waits_is_written_at_the_end_and_what_comes_later_is_lost(tmp_path):
    with writing(tmp_path) as writer:
        for seq in range(10):
            writer.evidence.offer(verdict(seq), picture())
        writer.evidence.finish(10)
        writer.evidence.offer(verdict(10), picture())
    assert seqs(tmp_path) == set(range(10))
    assert writer.count("lost_total") == 1


def test_an_end_without_time_leaves_at_once_and_counts_what_it_leaves(tmp_path):
    writer = Writer(tmp_path)
    for seq in range(10):
        writer.evidence.offer(verdict(seq), picture())
    writer.evidence.finish(0)
    writer.thread.start()
    writer.thread.join(10)
    assert not writer.thread.is_alive()
    assert writer.count("lost_total") == 10
    assert names(tmp_path) == []


def test_the_quota_takes_ok_frames_first_then_borderline_unknown_ng_and_reviewed_ones_last(tmp_path):
    kinds = ["ng", "unknown", "borderline", "ok", "ng", "unknown", "borderline", "ok"]
    for seq, kind in enumerate(kinds):
        place(tmp_path, seq, kind)
    place(tmp_path, 8, "ok", reviewed=True)
    kept = loaded(tmp_path)
    gone: list[int] = []
    while len(kept):
        before = seqs(tmp_path)
        assert kept.make_room("ng", 1, kept.total_bytes)
        gone += before - seqs(tmp_path)
    assert gone == [3, 7, 2, 6, 1, 5, 0, 4, 8]
    assert names(tmp_path) == []
    assert kept.total_bytes == 0


def test_a_frame_replaces_none_that_matters_more(tmp_path):
    for seq, kind in enumerate(["ng", "unknown", "borderline"]):
        place(tmp_path, seq, kind)
    kept = loaded(tmp_path)
    assert not kept.make_room("ok", 1, kept.total_bytes)
    assert seqs(tmp_path) == {0, 1, 2}
    assert kept.make_room("unknown", 1500, kept.total_bytes)
    assert seqs(tmp_path) == {0}


def test_what_a_person_reviewed_is_not_given_for_an_ok_frame(tmp_path):
    place(tmp_path, 0, "ok", reviewed=True)
    kept = loaded(tmp_path)
    assert not kept.make_room("borderline", 1, kept.total_bytes)
    assert kept.make_room("ng", 1, kept.total_bytes)


def test_a_review_written_after_the_start_protects_its_frame(tmp_path):
    stems = [place(tmp_path, seq, "ng") for seq in range(3)]
    kept = loaded(tmp_path)
    answer(stems[0])
    assert kept.make_room("ng", 1, kept.total_bytes)
    assert seqs(tmp_path) == {0, 2}


def test_a_frame_larger_than_the_quota_costs_no_other_frame(tmp_path):
    place(tmp_path, 0, "ok")
    kept = loaded(tmp_path)
    assert not kept.make_room("ng", 10_000, 5_000)
    assert seqs(tmp_path) == {0}


def test_while_it_runs_the_quota_is_never_exceeded(tmp_path):
    limit = 100_000  # about seven frames of 13 kB
    with writing(tmp_path, max_bytes=limit) as writer:
        for seq in range(20):
            writer.keep(verdict(seq))
            assert sum((tmp_path / name).stat().st_size for name in names(tmp_path)) <= limit
    assert len(seqs(tmp_path)) >= 5
    assert seqs(tmp_path) == set(range(20 - len(seqs(tmp_path)), 20)), "the oldest go"
    assert writer.count("lost_total") == 0


def test_frames_past_their_age_go_at_the_start_save_those_that_were_reviewed(tmp_path):
    old_ns, young_ns = time.time_ns() - 10 * AGES_NS, time.time_ns() - 8 * AGES_NS
    for seq, kind in enumerate(["ng", "ok", "unknown"]):
        place(tmp_path, seq, kind, at_ns=old_ns)
    place(tmp_path, 3, "ng", at_ns=old_ns, reviewed=True)
    place(tmp_path, 4, "ok", at_ns=young_ns)
    with writing(tmp_path, max_age_days=9):
        wait_for(lambda: len(seqs(tmp_path)) == 2)
    assert seqs(tmp_path) == {3, 4}


def test_a_folder_of_a_day_goes_with_its_last_frame(tmp_path):
    place(tmp_path, 0, "ok", at_ns=NOON_NS)
    kept = loaded(tmp_path)
    kept.drop_older(NOON_NS + AGES_NS)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_writer_go_when_they_are_old_and_whole_pairs_stay(tmp_path):
    stem = place(tmp_path, 0, "ng")
    long_ago_s = time.time() - 100
    for name in (f"{TEMPORARY_PREFIX}abc", "x_top_1.png"):
        (stem.parent / name).write_bytes(b"half")
        os.utime(stem.parent / name, (long_ago_s, long_ago_s))
    (stem.parent / "x_top_2.png").write_bytes(b"just now")
    os.utime(stem.with_name(f"{stem.name}.png"), (long_ago_s, long_ago_s))
    kept = loaded(tmp_path)
    kept.clear_leftovers()
    assert names(tmp_path) == [f"{DAY}/{stem.name}.json", f"{DAY}/{stem.name}.png", f"{DAY}/x_top_2.png"]
    os.utime(stem.parent / "x_top_2.png", (long_ago_s, long_ago_s))
    kept.clear_leftovers()
    assert f"{DAY}/x_top_2.png" not in names(tmp_path), "looked at again once it is old enough"


def test_what_is_not_evidence_is_left_alone(tmp_path):
    place(tmp_path, 0, "ok")
    (tmp_path / "notes").mkdir()
    for name in ("notes/mine.png", "README.json", f"{DAY}/a.txt"):
        (tmp_path / name).write_text("mine")
        os.utime(tmp_path / name, (0, 0))
    kept = loaded(tmp_path)
    kept.clear_leftovers()
    kept.drop_older(time.time_ns())
    assert names(tmp_path) == [f"{DAY}/a.txt", "README.json", "notes/mine.png"]


def test_a_verdict_that_cannot_be_read_still_counts_and_can_go(tmp_path):
    stem = place(tmp_path, 0, "ok")
    stem.with_name(f"{stem.name}.json").write_text("[")
    kept = loaded(tmp_path)
    assert (len(kept), kept.total_bytes) == (1, 1001)
    assert kept.make_room("ng", 1, 1001)
    assert names(tmp_path) == []


def test_a_frame_that_cannot_be_listed_does_not_hide_the_others(tmp_path):
    for seq in range(3):
        place(tmp_path, seq, "ok")
    broken = next(tmp_path.rglob("*_top_0.json"))
    broken.unlink()
    broken.mkdir()
    (tmp_path / "2026-05-16").write_text("no folder")
    assert len(loaded(tmp_path)) == 2


def test_a_thousand_kept_frames_are_listed_while_new_ones_are_written(tmp_path):
    day = tmp_path / DAY
    day.mkdir()
    for seq in range(1000):
        (day / f"e_top_{seq}.png").write_bytes(b"x" * 10)
        (day / f"e_top_{seq}.json").write_text(verdict(seq).model_dump_json())
    kept = Kept(tmp_path, tmp_path.parent / "review", 0.1)
    steps = 0
    for _ in kept.load():
        if steps == 5:
            place(tmp_path, 5000, "ng")
            kept.add(f"{DAY}/{verdict(0).epoch}_top_5000", "ng", NOON_NS, 1500)
        steps += 1
    assert len(kept) == 1001
    assert steps >= 20
    with writing(tmp_path) as writer:
        start_s = time.monotonic()
        writer.keep(verdict(6000))
        assert time.monotonic() - start_s < 5
    assert len(seqs(tmp_path)) == 1002


def test_a_folder_that_cannot_be_written_loses_frames_says_so_once_and_recovers(tmp_path, caplog):
    (tmp_path / "evidence").write_text("a file where the folder should be")
    caplog.set_level(logging.INFO, "edge.evidence")
    with writing(tmp_path / "evidence") as writer:
        writer.keep(verdict(0), verdict(1), verdict(2))
        (tmp_path / "evidence").unlink()
        writer.keep(verdict(3), verdict(4))
    assert seqs(tmp_path / "evidence") == {3, 4}
    assert writer.count("lost_total") == 3
    said = [record for record in caplog.records if record.name == "edge.evidence"]
    levels = [record.levelname for record in said]
    assert levels == ["ERROR", "INFO"]
    assert "frames are lost until it takes them again" in said[0].getMessage()


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of one megabyte, or a skipped test where that needs root."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mounted]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("may not mount a tmpfs here")
    yield mounted
    subprocess.run(["umount", "--lazy", mounted], check=True)


def test_a_full_disk_loses_frames_leaves_no_half_of_one_and_takes_them_again_when_there_is_room(small_disk):
    with writing(small_disk / "evidence") as writer:
        (small_disk / "filler").write_bytes(b"x" * 850_000)
        large = picture(side_px=200)  # 120 kB
        writer.keep(verdict(0), verdict(1), image=large)
        assert (writer.kept(), writer.count("lost_total")) == (1, 1)
        assert seqs(small_disk) == {0}
        assert len(names(small_disk / "evidence")) == 2, "nothing half-written"
        (small_disk / "filler").unlink()
        writer.keep(verdict(2), image=large)
        assert seqs(small_disk) == {0, 2}


CHILD = """
import sys, threading
from tests.edge.test_evidence import *
{before}
writer = Writer(Path({folder!r}))
writer.thread.start()
{after}
"""


def child(folder: Path, before: str, after: str, **more: object) -> "subprocess.Popen[str]":
    code = CHILD.format(folder=str(folder), before=before, after=after)
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, **more)  # type: ignore[call-overload]


def test_a_file_that_the_system_refuses_to_grow_is_lost_and_leaves_nothing(tmp_path):
    before = "import resource; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nlimit = resource.RLIMIT_FSIZE"
    after = """
resource.setrlimit(limit, (5000, resource.RLIM_INFINITY))
writer.keep(verdict(0))
print(writer.kept(), writer.count("lost_total"), len(names(Path({folder!r}))))
resource.setrlimit(limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.keep(verdict(1))
print(writer.kept(), writer.count("lost_total"), len(names(Path({folder!r}))))
""".format(folder=str(tmp_path))
    out, _ = child(tmp_path, before, after).communicate(timeout=30)
    assert out.split() == ["0.0", "1.0", "0", "1.0", "1.0", "2"]


def test_a_kill_in_the_middle_of_writing_leaves_whole_pairs_and_leftovers_that_the_next_start_clears(tmp_path):
    process = child(tmp_path, "", "print('up', flush=True)\nfor seq in range(100000): writer.keep(verdict(seq))")
    try:
        wait_for(lambda: len(seqs(tmp_path)) >= 20 if tmp_path.exists() else False)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)
    for path in tmp_path.rglob("*_top_*.json"):
        assert json.loads(path.read_bytes())["camera"] == "top"
        assert cv2.imread(str(path.with_suffix(".png"))).shape == (64, 64, 3)
    day = next(tmp_path.iterdir())
    (day / f"{TEMPORARY_PREFIX}xyz").write_bytes(b"half")  # what a kill a moment earlier would have left
    for path in day.iterdir():
        os.utime(path, (1, 1))
    whole = seqs(tmp_path)
    with writing(tmp_path) as writer:
        wait_for(lambda: len(names(tmp_path)) == 2 * len(whole))
        writer.keep(verdict(200_000))
    assert seqs(tmp_path) == whole | {200_000}
    assert writer.count("bytes") == sum((tmp_path / name).stat().st_size for name in names(tmp_path))


def test_of_the_files_of_a_frame_the_verdict_comes_last(tmp_path, monkeypatch):
    order = []
    replace = os.replace

    def noted(source: object, target: object) -> None:
        order.append(Path(str(target)).suffix)
        replace(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", noted)
    write_frame(tmp_path / "e_top_0", {".png": b"picture", ".heatmap.npy": b"heat", ".json": b"{}"})
    assert order == [".png", ".npy", ".json"]


@pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads")
def test_the_thread_steps_back_behind_those_that_judge(tmp_path):
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with writing(tmp_path) as writer:
        wait_for(lambda: os.getpriority(os.PRIO_PROCESS, writer.thread.native_id or 0) == 10)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
