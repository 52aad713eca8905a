import os

import cv2
import numpy as np
import pytest

from edge.camera_config import FolderConfig, OpenCVConfig
from edge.cameras import is_live, make_camera
from edge.cameras.opencv import differing, fourcc_text
from models.errors import CameraError, DatasetError
from tests import tiny


class Buffers:
    """Memory for pictures as a slot has it: the same place for every size."""

    def __init__(self) -> None:
        self.memory = np.zeros(1 << 20, np.uint8)

    def __call__(self, height_px, width_px):
        return self.memory[: height_px * width_px * 3].reshape(height_px, width_px, 3)

    def holds(self, image) -> bool:
        return image.ctypes.data == self.memory.ctypes.data


def folder(path, **settings) -> FolderConfig:
    return FolderConfig(kind="folder", name="top", path=path, **settings)


def opencv(source, **settings) -> OpenCVConfig:
    return OpenCVConfig(kind="opencv", name="side", source=str(source), **settings)


def opened(config):
    camera = make_camera(config)
    camera.open(lambda: None)
    return camera


def rest(camera):
    """(name, grey value of the top left pixel) of all pictures to come; "bad" for one that cannot be read."""
    found, buffers = [], Buffers()
    while camera.grab():
        try:
            image = camera.retrieve(buffers)
            assert buffers.holds(image)
            found.append((camera.source, int(image[0, 0, 0])))
        except DatasetError:
            found.append((camera.source, "bad"))
    return found


def write_video(path, patches):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (tiny.SIDE_PX, tiny.SIDE_PX))
    for patch in patches:
        writer.write(tiny.frame(patch))
    writer.release()
    return path


def test_a_folder_gives_its_images_in_the_order_of_their_names_and_nothing_else(tmp_path):
    for name, patch in (("b.png", 50), ("a.png", 40), ("c.bmp", 60), (".hidden.png", 70)):
        tiny.write_image(tmp_path / name, tiny.frame(patch))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    camera = opened(folder(tmp_path))
    assert rest(camera) == [("a.png", 40), ("b.png", 50), ("c.bmp", 60)]
    assert camera.ended
    assert not camera.live


@pytest.mark.parametrize("preload", [False, True])
def test_a_folder_that_loops_begins_again_and_is_entered_anywhere(tmp_path, preload):
    for name, patch in (("a.png", 40), ("b.png", 50), ("c.png", 60)):
        tiny.write_image(tmp_path / name, tiny.frame(patch))
    camera = opened(folder(tmp_path, loop=True, preload=preload))
    camera.skip(7)
    names = []
    for _ in range(4):
        assert camera.grab()
        names.append((camera.source, int(camera.retrieve(Buffers())[0, 0, 0])))
    assert names == [("b.png", 50), ("c.png", 60), ("a.png", 40), ("b.png", 50)]
    assert not camera.ended


def test_a_preloaded_folder_does_not_read_again(tmp_path):
    beats = []
    for name, patch in (("a.png", 40), ("b.png", 50)):
        tiny.write_image(tmp_path / name, tiny.frame(patch))
    (tmp_path / "c.png").write_bytes(b"torn")
    camera = make_camera(folder(tmp_path, preload=True))
    camera.open(lambda: beats.append(1))
    for path in tmp_path.iterdir():
        path.unlink()
    assert camera.frame_size_px() == (64, 64)
    assert rest(camera) == [("a.png", 40), ("b.png", 50), ("c.png", "bad")]
    assert len(beats) == 3  # a large folder is no hang


def test_what_is_skipped_of_a_folder_does_not_come(tmp_path):
    for name in ("a.png", "b.png"):
        tiny.write_image(tmp_path / name, tiny.frame(40))
    camera = opened(folder(tmp_path))
    camera.skip(1)
    assert rest(camera) == [("b.png", 40)]
    camera.skip(5)
    assert not camera.grab()


def test_an_unreadable_image_is_refused_and_the_next_one_comes(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    tiny.write_image(tmp_path / "b.png", tiny.frame(40))
    camera = opened(folder(tmp_path))
    assert camera.frame_size_px() is None
    assert camera.grab()
    with pytest.raises(DatasetError, match="0 bytes"):
        camera.retrieve(Buffers())
    assert rest(camera) == [("b.png", 40)]


def test_a_file_name_that_is_not_utf_8_still_gives_text(tmp_path):
    raw = os.fsencode(tmp_path) + b"/\xff.png"
    with open(raw, "wb") as file:  # noqa: PTH123  a path of bytes
        file.write(cv2.imencode(".png", tiny.frame(40))[1].tobytes())
    assert rest(opened(folder(tmp_path))) == [("\ufffd.png", 40)]


def test_a_missing_and_an_empty_folder_do_not_open(tmp_path):
    with pytest.raises(CameraError, match=r"camera top: .*none: No such file or directory; correct `path`"):
        opened(folder(tmp_path / "none"))
    with pytest.raises(CameraError, match="no image in it; put images there"):
        opened(folder(tmp_path))


def test_a_video_file_gives_every_frame_decoded_in_place_and_then_ends(tmp_path):
    camera = opened(opencv(write_video(tmp_path / "a.avi", range(40, 200, 20))))
    assert camera.frame_size_px() == (tiny.SIDE_PX, tiny.SIDE_PX)
    assert [grey for _, grey in rest(camera)] == pytest.approx(list(range(40, 200, 20)), abs=4)
    assert not camera.live


def test_what_is_skipped_of_a_video_file_does_not_come(tmp_path):
    camera = opened(opencv(write_video(tmp_path / "a.avi", range(40, 200, 20))))
    camera.skip(5)
    assert [grey for _, grey in rest(camera)] == pytest.approx([140, 160, 180], abs=4)


def test_a_stamp_of_the_driver_is_only_taken_from_a_device(tmp_path):
    camera = opened(opencv(write_video(tmp_path / "a.avi", [40])))
    assert camera.grab()
    assert camera.stamp_ns is None


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
        opened(opencv(source, open_timeout_s=1))


def test_a_file_that_is_no_video_does_not_open(tmp_path):
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(CameraError, match="correct `source`"):
        opened(opencv(tmp_path / "a.mp4"))


def test_a_file_of_another_size_than_was_asked_is_refused(tmp_path):
    path = write_video(tmp_path / "a.avi", [40])
    assert opened(opencv(path, width_px=64, height_px=64)).frame_size_px() == (64, 64)
    with pytest.raises(CameraError, match="height_px = 100 was asked, the device says 64"):
        opened(opencv(path, height_px=100))
    with pytest.raises(CameraError, match="only a device takes `exposure`"):
        opened(opencv(path, exposure=100))


def test_a_camera_may_be_closed_twice_and_opened_again(tmp_path):
    camera = opened(opencv(write_video(tmp_path / "a.avi", [40, 60])))
    camera.close()
    camera.close()
    assert camera.frame_size_px() is None
    with pytest.raises(CameraError, match="is not open"):
        camera.grab()
    camera.open(lambda: None)
    assert len(rest(camera)) == 2


TOOK = {"width_px": 1280.0, "height_px": 1024.0, "fps": 29.97, "exposure": 156.0, "pixel_format": "MJPG"}


@pytest.mark.parametrize(
    ("name", "asked", "complaint"),
    [
        ("width_px", 1280, None),
        ("width_px", 1300, "width_px = 1300 was asked, the device says 1280"),
        ("height_px", 1080, "height_px = 1080 was asked, the device says 1024"),
        ("fps", 30.0, None),
        ("fps", 60.0, "fps = 60 was asked, the device says 29.97"),
        ("exposure", 157.0, None),
        ("exposure", 300.0, "exposure = 300 was asked, the device says 156"),
        ("pixel_format", "MJPG", None),
        ("pixel_format", "YUYV", "pixel_format = 'YUYV' was asked, the device says 'MJPG'"),
        ("fps", None, None),
    ],
)
def test_a_device_that_did_not_take_a_setting_is_refused_by_name(name, asked, complaint):
    said = differing({name: asked}, TOOK)
    assert said == complaint or (complaint is not None and said is not None and said.startswith(complaint))
    assert said is None or "v4l2-ctl --list-formats-ext" in said


@pytest.mark.parametrize(("code", "text"), [(0x47504A4D, "MJPG"), (0, "...."), (-1, "....")])
def test_a_pixel_format_is_shown_as_its_four_characters(code, text):
    assert fourcc_text(code) == text


def test_only_devices_and_streams_are_live(tmp_path):
    live = [is_live(config) for config in (folder(tmp_path), opencv("a.mp4"), opencv(0), opencv("rtsp://x/1"))]
    assert live == [False, False, True, True]
