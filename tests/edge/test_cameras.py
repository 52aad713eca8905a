import os
import time

import cv2
import numpy as np
import pytest

from edge.cameras import open_camera
from edge.config import FolderConfig, OpenCVConfig
from models.errors import CameraError
from tests import tiny


def folder(path, **settings) -> FolderConfig:
    return FolderConfig(kind="folder", name="top", path=path, **settings)


def opencv(source, **settings) -> OpenCVConfig:
    return OpenCVConfig(kind="opencv", name="side", source=str(source), **settings)


def write_video(path, n_frames: int, bright: int | None = None):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (tiny.SIDE_PX, tiny.SIDE_PX))
    for i in range(n_frames):
        writer.write(tiny.frame(tiny.NG if i == bright else tiny.OK))
    writer.release()
    return path


def test_a_folder_gives_its_images_in_the_order_of_their_names_and_nothing_else(tmp_path):
    for name in ("b.png", "a.png", "c.jpg", ".hidden.png"):
        tiny.write_image(tmp_path / name, tiny.frame())
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    camera = open_camera(folder(tmp_path))
    assert [camera.read().source for _ in range(3)] == ["a.png", "b.png", "c.jpg"]
    assert camera.read() is None
    assert not camera.live


def test_a_folder_that_loops_begins_again(tmp_path):
    for name in ("a.png", "b.png"):
        tiny.write_image(tmp_path / name, tiny.frame())
    camera = open_camera(folder(tmp_path, loop=True))
    assert [camera.read().source for _ in range(5)] == ["a.png", "b.png", "a.png", "b.png", "a.png"]


def test_an_unreadable_image_is_a_fault_and_the_next_one_comes(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    tiny.write_image(tmp_path / "b.png", tiny.frame())
    camera = open_camera(folder(tmp_path))
    assert camera.frame_size_px() is None
    bad = camera.read()
    assert (bad.image, bad.source, bad.fault.reason) == (None, "a.png", "bad_frame")
    assert "0 bytes" in bad.fault.detail
    assert camera.read().image.shape == (tiny.SIDE_PX, tiny.SIDE_PX, 3)


def test_a_file_name_that_is_not_utf_8_still_gives_text(tmp_path):
    raw = os.fsencode(tmp_path) + b"/\xff.png"
    with open(raw, "wb") as file:  # noqa: PTH123  a path of bytes
        file.write(cv2.imencode(".png", tiny.frame())[1].tobytes())
    assert open_camera(folder(tmp_path)).read().source == "\ufffd.png"


def test_a_missing_and_an_empty_folder_do_not_open(tmp_path):
    with pytest.raises(CameraError, match=r"camera top: .*none: No such file or directory; correct `path`"):
        open_camera(folder(tmp_path / "none"))
    with pytest.raises(CameraError, match="no image in it; put images there"):
        open_camera(folder(tmp_path))


def test_time_is_taken_at_the_grab_on_both_clocks(tmp_path):
    tiny.write_image(tmp_path / "a.png", tiny.frame())
    camera = open_camera(folder(tmp_path))
    before = time.monotonic_ns(), time.time_ns()
    grab = camera.read()
    assert before[0] <= grab.captured_ns <= time.monotonic_ns()
    assert before[1] <= grab.captured_at_ns <= time.time_ns()


def test_a_video_file_gives_every_frame_and_then_ends(tmp_path):
    camera = open_camera(opencv(write_video(tmp_path / "a.avi", 7, bright=2)))
    assert camera.frame_size_px() == (tiny.SIDE_PX, tiny.SIDE_PX)
    means = []
    while (grab := camera.read()) is not None:
        assert grab.image.dtype == np.uint8
        means.append(grab.image.mean())
    assert len(means) == 7
    assert np.argmax(means) == 2
    assert not camera.live


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        (97, "check the cable"),
        ("/dev/video97", "check the cable"),
        ("http://127.0.0.1:9/none", "check the address"),
        ("none.mp4", "correct `source`"),
    ],
)
def test_a_source_that_does_not_open_says_what_to_check(source, advice):
    with pytest.raises(CameraError, match=f"camera side: {source}: does not open; {advice}"):
        open_camera(opencv(source, read_timeout_s=1))


def test_a_file_that_is_no_video_does_not_open(tmp_path):
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(CameraError, match="correct `source`"):
        open_camera(opencv(tmp_path / "a.mp4"))


def test_a_camera_may_be_closed_twice_and_opened_again(tmp_path):
    camera = open_camera(opencv(write_video(tmp_path / "a.avi", 2)))
    camera.close()
    camera.close()
    assert camera.frame_size_px() is None
    camera.open()
    assert camera.read() is not None
