import cv2
import numpy as np
import pytest

from models.manifest import Augmentation
from tests.trainer.plates import plate
from trainer.augment import turned, views_of

CIRCLE = Augmentation(angles_deg=(0, 90, 180, 270), shift=0.01, brightness=0.1)


def views(image, plan, seed=0):
    return list(views_of(image, plan, np.random.default_rng(seed)))


def test_there_is_one_view_for_each_angle_and_the_first_is_the_plain_image():
    image = plate(0)
    made = views(image, CIRCLE)
    assert len(made) == 4
    assert np.array_equal(made[0], image)
    assert all(view.shape == image.shape and view.dtype == np.uint8 for view in made)
    assert not any(np.array_equal(view, image) for view in made[1:])


def test_same_seed_same_views_and_another_seed_others():
    image = plate(0)
    first, again, other = (views(image, CIRCLE, seed) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[1], other[1])


def test_the_image_is_not_written_to():
    image = plate(0)
    before = image.copy()
    views(image, CIRCLE)
    assert np.array_equal(image, before)


def test_a_turn_by_a_right_angle_is_numpys():
    image = plate(3)
    assert np.abs(turned(image, 90).astype(int) - np.rot90(image).astype(int)).max() <= 1


def test_a_shift_is_a_share_of_each_side():
    image = np.full((100, 200, 3), 40, np.uint8)
    image[50, 100] = 240
    moved = turned(image, 0, (0.1, 0.2))
    assert np.argwhere(moved[:, :, 0] > 200).tolist() == [[70, 120]]


@pytest.mark.parametrize("seed", range(5))
def test_no_view_is_brighter_or_darker_than_planned(seed):
    flat = np.full((64, 64, 3), 100, np.uint8)
    plan = Augmentation(angles_deg=tuple(range(0, 360, 15)), shift=0, brightness=0.2)
    means = [view.mean() for view in views(flat, plan, seed)]
    assert means[0] == 100
    assert 79.5 <= min(means) < 95
    assert 105 < max(means) <= 120.5


@pytest.mark.parametrize("seed", range(5))
def test_no_view_is_shifted_further_than_planned(seed):
    image = np.zeros((101, 101, 3), np.uint8)
    cv2.circle(image, (50, 50), 6, (255, 255, 255), -1)
    plan = Augmentation(angles_deg=tuple(range(0, 360, 15)), shift=0.05, brightness=0)
    for view in views(image, plan, seed):
        y, x = np.argwhere(view[:, :, 0] > 127).mean(axis=0)
        assert max(abs(y - 50), abs(x - 50)) <= 0.05 * 101 + 0.5


def test_what_comes_into_the_picture_looks_like_its_surroundings():
    """A flat fill would be a defect that the bank then holds as good."""
    bright = np.full((64, 64, 3), 200, np.uint8)
    assert turned(bright, 45, (0.2, 0.2)).min() == 200


def test_brightness_stays_within_the_range_of_a_pixel():
    assert turned(np.full((8, 8, 3), 250, np.uint8), 0, gain=1.2).max() == 255
