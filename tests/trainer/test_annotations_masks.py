import numpy as np
import pytest

from models.errors import DatasetError
from models.images import read_image
from tests import tiny
from tests.shared import find_shared
from tests.trainer.test_annotations import HEIGHT_PX, WIDTH_PX, boxes_by_name, write_images
from trainer.annotations import as_dataset, check_enough, read_annotations
from trainer.annotations.masks import boxes_of
from trainer.annotations.problems import RecordError
from trainer.dataset import scan

SHARED = find_shared()
DATA = SHARED / "data/mvtec_screw" if SHARED else None


def mask(*boxes, height_px=HEIGHT_PX, width_px=WIDTH_PX, value=255):
    """A mask with a bright rectangle at each (left, top, right, bottom)."""
    pixels = np.zeros((height_px, width_px), np.uint8)
    for left, top, right, bottom in boxes:
        pixels[top:bottom, left:right] = value
    return pixels


@pytest.fixture
def put(tmp_path):
    """Writes good/g.png, cut/a.png and its mask, and returns the folder."""

    def write(pixels, place="ground_truth/cut/a_mask.png"):
        write_images(tmp_path, "good/g.png", "cut/a.png")
        tiny.write_image(tmp_path / place, pixels)
        return tmp_path

    return write


def refused(root, match):
    with pytest.raises(DatasetError, match=match):
        read_annotations(root)


def test_each_connected_part_of_a_mask_is_a_box_of_the_class_of_its_folder(put):
    found = read_annotations(put(mask((2, 3, 8, 7), (20, 10, 30, 25))))
    assert found.source == "masks"
    assert found.classes == ("cut",)
    assert boxes_by_name(found) == {"a.png": [("cut", 2, 3, 8, 7), ("cut", 20, 10, 30, 25)], "g.png": []}


def test_good_pictures_of_the_folder_test_are_held_out_and_bad_ones_are_not(tmp_path):
    write_images(tmp_path, "train/good/a.png", "test/good/b.png", "test/cut/c.png")
    tiny.write_image(tmp_path / "ground_truth/cut/c_mask.png", mask((2, 3, 8, 7)))
    found = read_annotations(tmp_path)
    assert {p.path.name: p.held_out for p in found.pictures} == {"a.png": False, "b.png": True, "c.png": False}
    assert as_dataset(found).test_good == scan(tmp_path).test_good


def test_parts_nearer_than_the_merge_are_one_box_and_others_are_not():
    pixels = mask((0, 0, 5, 5), (8, 0, 12, 5))
    assert boxes_of(pixels, 3).tolist() == [[0, 0, 5, 5], [8, 0, 12, 5]]
    assert boxes_of(pixels, 3.1).tolist() == [[0, 0, 12, 5]]


def test_the_gap_of_parts_that_lie_across_is_between_their_corners():
    pixels = mask((0, 0, 5, 5), (8, 9, 12, 14))  # 3 and 4 px apart: 5
    assert len(boxes_of(pixels, 5)) == 2
    assert len(boxes_of(pixels, 5.1)) == 1


def test_a_merged_box_that_reaches_a_next_part_is_merged_again():
    pixels = mask((0, 0, 4, 4), (5, 20, 9, 24), (20, 0, 24, 4), (11, 11, 13, 13), height_px=40)
    assert len(boxes_of(pixels, 15)) == 1  # first three of them around the fourth
    ring = mask((0, 0, 30, 2), (28, 0, 30, 30), (12, 12, 16, 16))
    assert boxes_of(ring, 1).tolist() == [[0, 0, 30, 30]]  # the small part lies inside of the box of the corner


def test_without_a_merge_only_parts_that_touch_are_one():
    pixels = mask((0, 0, 5, 5), (5, 5, 9, 9), (10, 0, 14, 4))
    assert boxes_of(pixels, 0).tolist() == [[0, 0, 9, 9], [10, 0, 14, 4]]


@pytest.mark.parametrize(("gap_px", "count"), [(7, 1), (9, 2)])
def test_by_default_parts_nearer_than_two_percent_of_the_longer_side_are_one(tmp_path, gap_px, count):
    write_images(tmp_path, "good/g.png", "cut/a.png", width_px=400)
    pixels = mask((0, 0, 5, 5), (5 + gap_px, 0, 20 + gap_px, 5), width_px=400)
    tiny.write_image(tmp_path / "ground_truth/cut/a.png", pixels)
    assert len(read_annotations(tmp_path).bad[0].boxes) == count
    assert len(read_annotations(tmp_path, merge_px=8).bad[0].boxes) == count
    assert len(read_annotations(tmp_path, merge_px=1).bad[0].boxes) == 2


def test_specks_are_dropped_before_parts_are_merged():
    assert boxes_of(mask((0, 0, 5, 5), (7, 0, 8, 3)), 4).tolist() == [[0, 0, 5, 5]]
    assert boxes_of(mask((0, 0, 5, 5), (7, 0, 9, 2)), 4).tolist() == [[0, 0, 9, 5]]


def test_only_what_is_brighter_than_127_is_the_defect():
    assert boxes_of(mask((0, 0, 5, 5), value=128), 0).tolist() == [[0, 0, 5, 5]]
    with pytest.raises(
        RecordError, match="the mask is empty: its brightest pixel is 127, the defect must be above 127"
    ):
        boxes_of(mask((0, 0, 5, 5), value=127), 0)


@pytest.mark.parametrize("value", [0, 1])
def test_an_empty_mask_is_refused_with_its_brightest_pixel(put, value):
    refused(put(mask((0, 0, 5, 5), value=value)), rf"cut/a\.png: the mask is empty: its brightest pixel is {value},")


def test_a_mask_of_specks_only_is_refused(put):
    refused(put(mask((0, 0, 1, 3))), r"cut/a\.png: the mask is empty: it has specks only")


def test_a_mask_of_more_parts_than_any_has_is_refused():
    pixels = np.zeros((200, 200), np.uint8)
    pixels.reshape(50, 4, 50, 4)[:, :2, :, :2] = 255
    with pytest.raises(RecordError, match=r"the mask has 2500 parts, at most 2000 were wanted: is it a photograph"):
        boxes_of(pixels, 0)


def test_two_thousand_parts_are_merged_in_good_time():
    pixels = np.zeros((400, 1000), np.uint8)
    for row in range(0, 400, 10):
        for column in range(0, 1000, 20):
            pixels[row : row + 2, column : column + 2] = 255
    assert len(boxes_of(pixels, 8)) == 2000
    assert boxes_of(pixels, 19).tolist() == [[0, 0, 982, 392]]


def test_a_mask_of_another_size_than_its_image_is_refused(put):
    refused(
        put(mask((0, 0, 5, 5), width_px=20)), r"a_mask\.png has 20 x 30 px, the image 40 x 30 px; export it in full"
    )


def test_defects_without_masks_are_refused_each_with_what_was_wanted(put):
    root = write_images(put(mask((0, 0, 5, 5))), "cut/b.png", "bent/c.png")
    refused(root, r"2 problems .*bent/c\.png: no mask, .*wanted ground_truth/bent/c_mask\.png.*cut/b\.png: no mask")


def test_defects_of_which_none_has_a_mask_are_refused(tmp_path):
    refused(write_images(tmp_path, "good/g.png", "cut/a.png"), r"cut/a\.png: no mask, so nobody knows where")


def test_a_mask_without_its_image_is_refused(put):
    root = put(mask((0, 0, 5, 5)))
    tiny.write_image(root / "ground_truth/cut/gone.png", mask((0, 0, 5, 5)))
    refused(root, r"ground_truth/cut/gone\.png: no image belongs to this mask")


def test_a_mask_that_is_no_image_is_refused(put):
    root = put(mask((0, 0, 5, 5)))
    (root / "ground_truth/cut/a_mask.png").write_bytes(b"no image")
    refused(root, r"cut/a\.png: .*a_mask\.png: 8 bytes that are no whole image")


def test_masks_without_a_good_part_are_refused(tmp_path):
    write_images(tmp_path, "test/cut/a.png", "ground_truth/cut/a_mask.png")
    refused(tmp_path, r"defects only \(cut\), good parts are what is learned from")


def test_the_masks_of_real_screws_are_read():
    if DATA is None or not DATA.is_dir():
        pytest.skip("no data/mvtec_screw in ../shared or MEKIKI_SHARED")
    found = read_annotations(DATA)
    check_enough(found)
    necks = [p for p in found.bad if "scratch_neck" in p.labels]
    assert len(necks) == 25
    for picture in found.bad:
        assert (picture.height_px, picture.width_px) == read_image(picture.path).shape[:2]
        left, top, right, bottom = picture.boxes.T
        assert min(left.min(), top.min()) >= 0
        assert right.max() <= picture.width_px
        assert bottom.max() <= picture.height_px
        assert min((right - left).min(), (bottom - top).min()) >= 2
