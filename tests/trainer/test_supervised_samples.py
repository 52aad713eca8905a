"""What the families with bad images learn from: how images are held out, read, varied and drawn."""

import itertools
from collections import Counter

import numpy as np
import pytest

from models.errors import DatasetError
from tests.tiny import write_image
from tests.trainer.plates import SIDE_PX, mask_of, plate
from trainer.dataset import Dataset, scan
from trainer.pose import Pose
from trainer.size import spec_for
from trainer.supervised.augment import Strength, strength_for, varied
from trainer.supervised.learn import _drawn, _share
from trainer.supervised.pictures import Picture, load, read_mask, scaled_mask
from trainer.supervised.samples import Sample, check_masks, split


def folders(root, **counts):
    """Plain folders with so many pictures of each."""
    for label, count in counts.items():
        for i in range(count):
            write_image(root / label / f"{i:03}.png", plate(i, height_px=32, width_px=32))
    return root


def test_a_fifth_of_the_good_and_of_each_kind_is_held_out_and_nothing_is_in_both(tmp_path):
    parts = split(scan(folders(tmp_path, good=20, hole=10, dent=2)), seed=3)
    assert Counter(sample.label for sample in parts.held_out) == {"good": 4, "hole": 2, "dent": 1}
    assert Counter(sample.label for sample in parts.learn) == {"good": 16, "hole": 8, "dent": 1}
    assert not {s.path for s in parts.learn} & {s.path for s in parts.held_out}
    assert parts.kinds == ("dent", "hole")


def test_the_same_seed_holds_out_the_same_and_another_seed_others(tmp_path):
    dataset = scan(folders(tmp_path, good=20, hole=10))
    assert split(dataset, seed=3) == split(dataset, seed=3)
    assert split(dataset, seed=3) != split(dataset, seed=4)


def test_the_datas_own_good_test_images_are_held_out(plates):
    parts = split(scan(plates.root), seed=0)
    assert [s.path for s in parts.held_out if s.is_good] == plates.good
    assert [s.path for s in parts.learn if s.is_good] == plates.train
    assert sum(not s.is_good for s in parts.held_out) == 1


@pytest.mark.parametrize(
    ("counts", "complaint"),
    [
        ({"good": 3, "hole": 1}, r"1 image\(s\) of hole, at least 2 were wanted"),
        ({"good": 1, "hole": 3}, r"1 image\(s\) of good, at least 2 were wanted"),
        ({"good": 3}, "good images only, defects were wanted to learn from; .* --family anomaly"),
    ],
)
def test_too_few_images_are_refused_with_what_to_do(tmp_path, counts, complaint):
    with pytest.raises(DatasetError, match=complaint):
        split(scan(folders(tmp_path, **counts)), seed=0)


def test_without_masks_segmentation_says_which_files_it_wants(tmp_path):
    with pytest.raises(DatasetError, match=r"no masks.*ground_truth/<defect>/<image>_mask.png.*--family detection"):
        check_masks(scan(folders(tmp_path, good=2, hole=2)))


def test_one_image_without_a_mask_is_named_with_the_mask_that_it_lacks(plates):
    dataset = scan(plates.root)
    check_masks(dataset)
    fewer = {image: mask for image, mask in dataset.masks.items() if image.stem != "002"}
    broken = Dataset(dataset.root, dataset.train_good, dataset.test_good, dataset.defects, fewer)
    with pytest.raises(DatasetError, match=r"002.png: no mask.* wanted ground_truth/hole/002_mask.png \(1 image"):
        check_masks(broken)


def test_pictures_are_as_large_as_the_network_sees_them_and_masks_lie_on_the_defects(plates):
    spec = spec_for(64, plate(0))
    samples = split(scan(plates.root), seed=0).learn
    loaded = load(samples, spec)
    assert loaded.sizes_px == ((SIDE_PX, SIDE_PX),)
    assert len(loaded.health) == sum(sample.is_good for sample in samples)
    assert {p.image.shape for p in loaded.pictures} == {(64, 64, 3)}
    for picture in loaded.pictures:
        assert picture.mask.any() == (picture.label == "hole")
        if picture.mask.any():
            assert picture.image[picture.mask > 0].mean() < picture.image[picture.mask == 0].mean() - 40


def test_a_scratch_finer_than_a_pixel_of_the_network_stays_in_the_mask():
    mask = np.zeros((512, 512), np.uint8)
    mask[100:300, 201] = 255
    small = scaled_mask(mask, spec_for(64, np.zeros((512, 512, 3), np.uint8)))
    assert (small[13:37, 25] == 255).all()
    assert small.any(axis=0).sum() <= 2


def test_a_mask_of_another_size_or_an_empty_one_is_refused(tmp_path):
    small = write_image(tmp_path / "small.png", mask_of(0)[:64])
    with pytest.raises(DatasetError, match=r"small.png: 128x64 px, the image has 128x128; export it in full size"):
        read_mask(small, plate(0))
    empty = write_image(tmp_path / "empty.png", np.full((SIDE_PX, SIDE_PX, 3), 90, np.uint8))
    with pytest.raises(DatasetError, match=r"empty.png: the mask is empty, its brightest pixel is 90"):
        read_mask(empty, plate(0))


def test_a_mask_goes_where_its_defect_goes_whatever_is_done_to_the_picture():
    rng = np.random.default_rng(0)
    image = np.full((96, 128, 3), 40, np.uint8)
    mask = np.zeros((96, 128), np.uint8)
    image[40:56, 60:90], mask[40:56, 60:90] = 220, 255
    before = image.copy()
    for _ in range(30):
        new = varied(Picture(image, mask, "hole"), rng, Strength(rotation_deg=180, shift=0.1, light=0.1))
        is_bright = new.image[:, :, 0] > 130
        assert (is_bright == (new.mask > 0)).mean() > 0.97
        assert new.mask.sum() > 0
        assert (new.label, new.image.shape) == ("hole", image.shape)
    np.testing.assert_array_equal(image, before)


def test_a_cut_out_of_a_bad_part_shows_some_of_the_defect_and_one_of_a_good_part_may_lie_anywhere():
    rng = np.random.default_rng(0)
    image, mask = np.zeros((128, 96, 3), np.uint8), np.zeros((128, 96), np.uint8)
    image[:, :, 0] = np.arange(128)[:, None]
    strength = Strength(rotation_deg=0, shift=0, scale=0, light=0, mirror=False, crop_px=(64, 32))
    good = [varied(Picture(image, mask, "good"), rng, strength) for _ in range(40)]
    assert {p.image.shape for p in good} == {(64, 32, 3)}
    assert min(p.image.min() for p in good) < 10
    assert max(p.image.max() for p in good) > 110
    mask[3, 95] = 255
    bad = [varied(Picture(image, mask, "hole"), rng, strength) for _ in range(10)]
    assert {int(p.mask.sum()) for p in bad} == {255}


def test_pictures_are_turned_as_far_as_the_parts_are_and_lit_as_differently():
    still, turned = strength_for(Pose(0, 0)), strength_for(Pose(150, 0.09))
    assert (still.rotation_deg, turned.rotation_deg) == (8, 150)
    assert turned.light > still.light > 0


def test_good_and_bad_and_all_kinds_are_drawn_alike_however_few_there_are():
    image, mask = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    pictures = [Picture(image, mask, label) for label in ["good"] * 40 + ["dent"] * 2 + ["hole"] * 9]
    drawn = _drawn(pictures, np.random.default_rng(0))
    first = [next(drawn) for _ in range(80)]
    assert Counter(p.label for p in first) == {"good": 40, "dent": 20, "hole": 20}
    assert len({id(p) for p in first if p.label == "good"}) == 40, "each once before one comes again"
    assert [p.label for p in first[:8]] == ["good", "dent", "good", "hole"] * 2


def test_the_learning_rate_rises_at_first_and_ends_near_nothing():
    shares = [_share(step, 100) for step in range(100)]
    assert shares[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert all(a >= b for a, b in itertools.pairwise(shares[9:]))
    assert 0 < shares[-1] < 0.01


def test_one_step_is_taken_at_the_full_rate():
    assert [_share(0, 1), _share(0, 2), _share(1, 2)] == [1, 1, 1]


def test_a_sample_is_good_by_its_label(tmp_path):
    assert Sample(tmp_path, "good").is_good
    assert not Sample(tmp_path, "hole").is_good
