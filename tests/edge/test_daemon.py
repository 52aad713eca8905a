"""The real daemon as its own process, with a real subscriber and a real scrape."""

import signal
import subprocess
import sys
import time

import pytest

from tests import tiny
from tests.edge.box import ROOT, Subscriber, free_port, no_holes, shared, wait_for
from tests.edge.stream import NetworkCamera
from tests.edge.test_cameras import write_video

WAIT = "wait_for_subscriber_s = 20"
LOOP = "loop = true\nfps = 200"


def test_every_image_of_a_folder_gets_its_verdict_and_the_daemon_ends(box):
    """Good, bad, white (NaN), unreadable and odd ones, of several sizes and kinds."""
    box.bundle = tiny.make_bundle(box.folder / "nan.bundle", nan=True)
    line = box.images("line", [tiny.OK, tiny.NG, tiny.WHITE])
    (line / "0003.png").write_bytes(b"")
    (line / "0004.png").write_text("no image")
    tiny.write_image(line / "0005.png", tiny.frame(tiny.OK, 40, 120)[:, :, 0])
    tiny.write_image(line / "0006.png", tiny.frame(tiny.NG, 120, 40).astype("uint16") * 257)
    box.write_folder("line", bus=WAIT)
    verdicts = box.judge()
    assert [(v["source"], v["outcome"], v["reason"]) for v in verdicts] == [
        ("0000.png", "ok", None),
        ("0001.png", "ng", "defect"),
        ("0002.png", "unknown", "not_finite"),
        ("0003.png", "unknown", "bad_frame"),
        ("0004.png", "unknown", "bad_frame"),
        ("0005.png", "ok", None),
        ("0006.png", "ng", "defect"),
    ]
    assert "0 bytes" in verdicts[3]["detail"]


def test_500_frames_of_two_cameras_reach_the_subscriber_without_a_hole(box):
    kinds = [box.images("kinds", [tiny.OK, tiny.NG]) / f"{i:04}.png" for i in range(2)]
    for camera in ("top", "side"):
        (box.folder / camera).mkdir()
        for i in range(250):
            (box.folder / camera / f"{i:06}.png").symlink_to(kinds[i % 2])
    one = '[[camera]]\nname = "{0}"\nkind = "folder"\npath = "{0}"\n'
    box.write(one.format("top") + one.format("side"), bus=WAIT)
    with Subscriber(box.address) as subscriber, box.daemon() as process:
        verdicts = subscriber.take(500)
        assert subscriber.rest() == []
        assert process.wait(10) == 0
    assert no_holes(verdicts)
    assert [v["outcome"] for v in verdicts if v["camera"] == "top"] == ["ok", "ng"] * 125
    half = [v["camera"] for v in verdicts[:250]]
    assert 75 < half.count("top") < 175, "one camera starves the other"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_ends_with_0_and_everything_judged_is_published(box, number):
    box.images("line", [tiny.OK, tiny.NG])
    box.write_folder("line", "loop = true", bus=WAIT)
    with Subscriber(box.address) as subscriber, box.daemon() as process:
        verdicts = subscriber.take(50)
        sent_s = time.monotonic()
        process.send_signal(number)
        verdicts += subscriber.rest(1.0)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert time.monotonic() - sent_s < 10
    assert no_holes(verdicts)
    assert f"stopped: {number.name}" in err
    assert "Traceback" not in err


def test_a_signal_while_it_waits_for_a_subscriber_ends_with_0(box):
    box.images("line", [tiny.OK])
    box.write_folder("line", bus="wait_for_subscriber_s = 600")
    with box.daemon() as process:
        wait_for(box.answers)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_the_endpoint_tells_what_happened_and_goes_with_the_daemon(box):
    line = box.images("line", [tiny.OK, tiny.NG, tiny.OK])
    (line / "0003.png").write_bytes(b"")
    box.write_folder("line", LOOP, bus=WAIT)
    with Subscriber(box.address) as subscriber, box.daemon() as process:
        verdicts = subscriber.take(8)
        wait_for(lambda: box.metric("mekiki_verdicts_total") >= 8)  # a verdict is counted when it has left
        text = box.scrape()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    top = 'camera="top"'
    assert float(samples[f'mekiki_verdicts_total{{{top},outcome="ok",reason="none"}}']) >= 4
    assert float(samples[f'mekiki_verdicts_total{{{top},outcome="ng",reason="defect"}}']) >= 2
    assert float(samples[f'mekiki_verdicts_total{{{top},outcome="unknown",reason="bad_frame"}}']) >= 2
    for stage in ("read", "queue", "infer", "decode", "total"):
        assert float(samples[f'mekiki_stage_seconds_count{{{top},stage="{stage}"}}']) >= 6
    for how in ("undecoded", "replaced"):
        assert float(samples[f'mekiki_frames_dropped_total{{{top},how="{how}"}}']) == 0
    assert float(samples["mekiki_journal_ok"]) == 1
    assert float(samples["mekiki_heartbeats_total"]) >= 1
    assert float(samples['mekiki_publish_seconds_count{step="journal"}']) >= 6
    assert abs(float(samples[f"mekiki_last_frame_timestamp_seconds{{{top}}}"]) - time.time()) < 30
    assert f'bundle="{verdicts[0]["bundle"]}",{top},device="CPU",family="anomaly"' in text
    assert f'mekiki_epoch_info{{epoch="{verdicts[0]["epoch"]}"}} 1.0' in text
    assert not box.answers()


def test_a_video_file_is_judged_to_its_end(box):
    write_video(box.folder / "a.avi", [tiny.OK] * 10 + [tiny.NG] + [tiny.OK] * 14)
    box.write_source("a.avi", bus=WAIT)
    with Subscriber(box.address) as subscriber:
        assert box.run()[0] == 0
        verdicts = subscriber.rest()
    assert [v["seq"] for v in verdicts if v["outcome"] == "ng"] == [10]
    assert len(verdicts) == 25
    assert no_holes(verdicts)


def test_a_real_clip_of_a_line_is_judged_to_its_end(box):
    import cv2

    clip = shared("data/line_clips/bolt-multi-size-detection.gif")
    box.write_source(clip, bus=WAIT)
    with Subscriber(box.address) as subscriber:
        assert box.run()[0] == 0
        verdicts = subscriber.rest()
    assert len(verdicts) == int(cv2.VideoCapture(str(clip)).get(cv2.CAP_PROP_FRAME_COUNT))
    assert no_holes(verdicts)


def test_a_finite_camera_that_ends_does_not_end_the_daemon_while_a_live_one_runs(box):
    box.images("line", [tiny.OK])
    with NetworkCamera(tiny.frame()) as camera:
        folder = '[[camera]]\nname = "top"\nkind = "folder"\npath = "line"\n'
        live = f'[[camera]]\nname = "side"\nkind = "opencv"\nsource = "{camera.url}"\n'
        box.write(folder + live, bus=WAIT)
        with Subscriber(box.address) as subscriber, box.daemon() as process:
            verdicts = subscriber.take(30)
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
    assert {v["camera"] for v in verdicts} == {"top", "side"}
    assert no_holes(verdicts)


def test_a_variable_overrides_the_file_of_the_daemon(box):
    box.images("line", [tiny.OK])
    box.write_folder("line", bus=WAIT)
    port = free_port()
    with Subscriber(f"tcp://127.0.0.1:{port}") as subscriber:
        assert box.run(MEKIKI_BUS__BIND=f"tcp://127.0.0.1:{port}")[0] == 0
        assert len(subscriber.rest()) == 1


def test_the_active_version_of_a_store_is_used(box):
    from models.store import Store

    store = Store(box.folder / "store")
    digest = store.add(box.bundle).digest
    store.activate(digest)
    box.images("line", [tiny.OK])
    box.write_folder("line", head='store = "store"', bus=WAIT)
    with Subscriber(box.address) as subscriber:
        assert box.run()[0] == 0
        assert subscriber.next(1)["bundle"] == digest


def test_the_edge_loads_no_torch_no_trainer_and_nothing_that_calls_home():
    code = (
        "import edge.cli, edge.daemon, edge.check, edge.listen, edge.cameras.opencv, edge.cameras.folder, sys;"
        "import openvino;"
        "bad = ('torch', 'anomalib', 'trainer', 'deploy', 'openvino_telemetry', 'matplotlib', 'scipy');"
        "print([name for name in bad if sys.modules.get(name) is not None])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_help_loads_neither_openvino_nor_opencv():
    code = "import edge.cli, sys; print([n for n in ('openvino', 'cv2', 'zmq', 'numpy') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
