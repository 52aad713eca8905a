"""The data sheet: the same picture on both sides of a split is found, and different parts are not mistaken for it."""

import cv2
import numpy as np
import pytest

from tests import tiny
from tests.trainer.plates import plate
from trainer.study.pool import read_pool
from trainer.study.sheet import look_bits, sheet_of
from trainer.study.splits import Wanted, make_splits


@pytest.fixture
def data(tmp_path):
    for i in range(4):
        tiny.write_image(tmp_path / f"data/train/good/{i}.png", plate(i))
    for i in range(3):
        tiny.write_image(tmp_path / f"data/test/good/{i}.png", plate(10 + i))
        tiny.write_image(tmp_path / f"data/test/hole/{i}.png", plate(20 + i, hole=True))
    return tmp_path / "data"


def sheet(data, **wanted):
    pool = read_pool(data)
    return sheet_of(pool, make_splits(pool, Wanted(**wanted)))


def test_it_counts_what_is_learned_and_tested_and_names_every_image(data):
    found = sheet(data, limit=3)
    assert (found.root, found.n_learn_good, found.n_test_good, found.defects) == ("data", 3, 3, {"hole": 3})
    assert (found.sizes_px, found.has_boxes, found.has_masks) == (((128, 128),), False, False)
    assert sorted(found.images.values())[0] == "test/good/0.png"
    assert len(found.images) == 10


def test_different_parts_are_no_duplicates(data):
    found = sheet(data)
    assert (found.duplicates, found.near_duplicates) == ((), ())


def test_the_same_pixels_in_another_file_are_found_though_its_bytes_differ(data):
    (data / "test/good/0.png").unlink()
    tiny.write_image(data / "test/good/0.bmp", plate(2))
    found = sheet(data)
    assert found.duplicates == (("train/good/2.png", "test/good/0.bmp"),)
    assert found.near_duplicates == ()


def test_twins_on_the_same_side_are_nobodys_business(data):
    tiny.write_image(data / "train/good/9.png", plate(2))
    tiny.write_image(data / "test/hole/9.png", plate(20, hole=True))
    assert sheet(data).duplicates == ()


def noisy(image):
    return (image + np.random.default_rng(0).normal(0, 3, image.shape)).clip(0, 255).astype(np.uint8)


def compressed(image):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)


def brighter(image):
    return (image * 1.08).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("change", [noisy, compressed, brighter])
def test_a_picture_taken_twice_is_nearly_the_same(data, change):
    tiny.write_image(data / "test/good/0.png", change(plate(2)))
    found = sheet(data)
    assert found.near_duplicates == (("train/good/2.png", "test/good/0.png"),)
    assert found.duplicates == ()


def test_the_bits_are_255_and_half_of_them_are_set():
    bits = look_bits(plate(0))
    assert (bits.shape, int(bits.sum())) == ((255,), 127)
