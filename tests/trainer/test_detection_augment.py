"""Boxes stay on what they were drawn around, whatever is done to the picture."""

import cv2
import numpy as np
import pytest

from models.prediction import Image
from trainer.detection.augment import Strength, augmented, other_background, other_light, posed
from trainer.detection.paste import Patch, Sample, cut_out, pasted

NO_BOXES = Sample(np.zeros((0, 0, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
SIZES = [(128, 128), (90, 160), (160, 90)]


def ground(height_px: int = 128, width_px: int = 128, seed: int = 0) -> Image:
    """A dark part on a light ground."""
    noise = np.random.default_rng(seed).normal(0, 3, (height_px, width_px, 1)).repeat(3, axis=2)
    noise += 190
    noise[8:-8, 8:-8] -= 80
    return noise.clip(0, 255).astype(np.uint8)


def good(height_px: int = 128, width_px: int = 128, seed: int = 0) -> Sample:
    return Sample(ground(height_px, width_px, seed), NO_BOXES.boxes, NO_BOXES.labels)


def marked(height_px: int = 128, width_px: int = 128) -> Sample:
    """A red ellipse away from the edges: that around which a turned box stays tight."""
    image = ground(height_px, width_px)
    cv2.ellipse(image, (width_px // 2 + 6, height_px // 2 - 4), (14, 8), 0, 0, 360, (20, 20, 250), -1)
    box = red(image)
    return Sample(image, np.array([box], np.float32), np.array([1]))


def red(image: Image) -> tuple[int, int, int, int]:
    """Where the mark is, by its colour."""
    rows, columns = np.nonzero(is_red(image))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def is_red(image: Image) -> np.ndarray:
    return (image[:, :, 2].astype(int) - image[:, :, 1] > 100).astype(np.uint8)


def all_red(image: Image) -> np.ndarray:
    """Boxes (n, 4) of all marks that do not touch the picture's edges."""
    boxes = cv2.connectedComponentsWithStats(is_red(image))[2][1:, :4].astype(float)
    boxes[:, 2:] += boxes[:, :2]
    return within(boxes, image)


def within(boxes: np.ndarray, image: Image) -> np.ndarray:
    height, width = image.shape[:2]
    return boxes[(boxes[:, :2] > 0).all(axis=1) & (boxes[:, 2:] < [width, height]).all(axis=1)]


def check_inside(sample: Sample) -> None:
    height, width = sample.image.shape[:2]
    assert (sample.image.dtype, sample.image.ndim) == (np.uint8, 3)
    assert (sample.boxes.dtype, sample.boxes.shape) == (np.float32, (len(sample.labels), 4))
    assert (sample.boxes[:, :2] >= 0).all()
    assert (sample.boxes[:, 2:] <= [width, height]).all()
    assert (sample.boxes[:, 2:] > sample.boxes[:, :2]).all()


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("rotation_deg", [0, 8, 180])
def test_a_box_stays_on_its_mark_when_the_part_is_turned_mirrored_moved_and_scaled(size, rotation_deg):
    sample = marked(*size)
    for seed in range(25):
        moved = posed(sample, np.random.default_rng(seed), Strength(rotation_deg=rotation_deg))
        check_inside(moved)
        assert set(moved.labels.tolist()) <= {1}
        marks, boxes = all_red(moved.image), within(moved.boxes, moved.image)
        for one, others in [*((mark, moved.boxes) for mark in marks), *((box, marks) for box in boxes)]:
            assert np.abs(others - one).max(axis=1).min() <= 2, "each mark has a box and each box a mark"


def test_the_mirror_image_of_a_mark_at_the_edge_of_the_picture_is_boxed_too():
    """Turned by a right angle a picture that is not square shows what lies beyond its edges: itself, mirrored."""
    image = ground(60, 160)
    cv2.ellipse(image, (80, 15), (9, 6), 0, 0, 360, (20, 20, 250), -1)
    sample = Sample(image, np.array([red(image)], np.float32), np.array([0]))
    found = [posed(sample, np.random.default_rng(seed), Strength(rotation_deg=90, shift=0)) for seed in range(30)]
    assert max(len(moved.boxes) for moved in found) >= 2
    for moved in found:
        check_inside(moved)
        for mark in all_red(moved.image):
            assert np.abs(moved.boxes - mark).max(axis=1).min() <= 2


def test_mirrored_and_turned_half_boxes_are_not_a_pixel_aside():
    """Pixels are counted from their middles and boxes from their edges; the two mirror about different points."""
    still = Strength(rotation_deg=0, shift=0, scale=0)
    found = [posed(marked(), np.random.default_rng(seed), still) for seed in range(12)]
    places = {tuple(sample.boxes[0].tolist()) for sample in found}
    assert len(places) == 2, "as it was, and mirrored"
    assert all(np.abs(sample.boxes[0] - red(sample.image)).max() <= 0.51 for sample in found)


def test_a_mark_that_leaves_the_picture_takes_its_box_along():
    image = ground()
    cv2.rectangle(image, (0, 40), (9, 70), (20, 20, 250), -1)
    sample = Sample(image, np.array([red(image)], np.float32), np.array([0]))
    kept = [posed(sample, np.random.default_rng(seed), Strength(shift=0.2)) for seed in range(40)]
    for moved in kept:
        check_inside(moved)
    assert {len(moved.boxes) for moved in kept} >= {0, 1}


def test_a_picture_without_boxes_stays_without_when_it_is_posed():
    moved = posed(good(), np.random.default_rng(0), Strength())
    assert moved.boxes.shape == (0, 4)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_defect_that_is_pasted_is_boxed_where_it_lies(size):
    patch = cut_out(marked().image, marked().boxes[0], 1)
    for seed in range(25):
        new = pasted(good(*size, seed=seed), patch, np.random.default_rng(seed))
        check_inside(new)
        assert new.labels.tolist() == [1]
        assert np.abs(new.boxes[0] - red(new.image)).max() <= 2


def test_a_patch_holds_the_defect_with_its_surroundings_and_knows_where_it_is():
    sample = marked()
    patch = cut_out(sample.image, sample.boxes[0], 1)
    assert np.array_equal(patch.box, red(patch.pixels))
    assert min(patch.box[:2]) >= 4
    patch.pixels[:] = 0
    assert red(sample.image) == tuple(sample.boxes[0]), "a copy, and not a view of the picture"


def test_a_patch_of_a_defect_in_the_corner_ends_where_the_picture_ends():
    image = ground()
    cv2.rectangle(image, (0, 0), (11, 7), (20, 20, 250), -1)
    patch = cut_out(image, np.array([0, 0, 12, 8], np.float32), 0)
    assert patch.box.tolist() == [0, 0, 12, 8]
    assert red(patch.pixels) == (0, 0, 12, 8)


def test_nothing_is_pasted_over_another_box():
    sample, patch = marked(160, 160), cut_out(marked().image, marked().boxes[0], 0)
    pasted_boxes = [pasted(sample, patch, np.random.default_rng(seed)).boxes for seed in range(30)]
    two = [boxes for boxes in pasted_boxes if len(boxes) == 2]
    assert len(two) > 20
    for (left, top, right, bottom), other in two:
        assert other[0] >= right or other[2] <= left or other[1] >= bottom or other[3] <= top


def test_a_patch_larger_than_the_picture_is_not_pasted():
    sample = good(40, 40)
    patch = Patch(ground(48, 48), np.array([5, 5, 15, 35], np.float32), 0)
    for seed in range(8):
        new = pasted(sample, patch, np.random.default_rng(seed))
        assert np.array_equal(new.image, sample.image)
        assert not len(new.boxes)


def test_a_defect_without_surroundings_is_not_pasted(recwarn):
    """It fills its picture: nobody can say where it would fit."""
    sample = good(40, 40)
    whole = cut_out(sample.image, np.array([0, 0, 40, 40], np.float32), 0)
    for seed in range(8):
        assert not len(pasted(sample, whole, np.random.default_rng(seed)).boxes)
    assert not recwarn.list


def test_a_good_picture_stays_without_boxes_when_pieces_of_good_parts_are_pasted():
    sample, decoy = good(), cut_out(ground(seed=9), np.array([50, 50, 70, 60], np.float32), -1)
    often = Strength(paste=1)
    for seed in range(20):
        new = augmented(sample, [decoy], np.random.default_rng(seed), often)
        check_inside(new)
        assert not len(new.boxes)
    new = pasted(sample, decoy, np.random.default_rng(0))
    assert not np.array_equal(new.image, sample.image), "it was pasted"


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_all_together_stay_inside_the_picture_and_same_seed_same_picture(size):
    patches = [cut_out(marked().image, marked().boxes[0], 1)]
    for seed in range(15):
        first, again = (augmented(marked(*size), patches, np.random.default_rng(seed), Strength()) for _ in range(2))
        check_inside(first)
        assert first.image.shape == (*size, 3)
        assert np.array_equal(first.image, again.image)
        assert np.array_equal(first.boxes, again.boxes)
        other = augmented(marked(*size), patches, np.random.default_rng(seed + 100), Strength())
        assert not np.array_equal(first.image, other.image)


def test_what_is_given_is_not_written_to():
    sample, patch = marked(), cut_out(marked().image, marked().boxes[0], 1)
    before = sample.image.copy(), sample.boxes.copy(), patch.pixels.copy()
    for seed in range(10):
        augmented(sample, [patch], np.random.default_rng(seed), Strength(paste=1, background=1))
    for kept, now in zip(before, (sample.image, sample.boxes, patch.pixels), strict=True):
        np.testing.assert_array_equal(kept, now)


def test_another_background_leaves_the_part_as_it_is():
    image = ground()
    cv2.rectangle(image, (30, 30), (98, 98), (30, 30, 30), -1)
    changed = [other_background(image, np.random.default_rng(seed)) for seed in range(10)]
    assert all(new.dtype == np.uint8 for new in changed)
    assert max(np.abs(new[:4].mean() - image[:4].mean()) for new in changed) > 10
    assert max(np.abs(new[50:80, 50:80].astype(int) - 30).max() for new in changed) <= 1


def test_other_light_is_other_light_of_the_same_picture():
    image = marked().image
    for seed in range(20):
        new = other_light(image, np.random.default_rng(seed), 0.25)
        assert (new.dtype, new.shape) == (np.uint8, image.shape)
        assert not np.array_equal(new, image)
        assert np.abs(np.array(red(new)) - red(image)).max() <= 2
