"""Pictures under a condition, written once, and laid out so that `fit` reads them with their truth."""

import hashlib

import cv2
import numpy as np
import pytest

from models.errors import DatasetError
from models.images import read_image
from tests.trainer.test_conditions_command import parts  # noqa: F401 - a fixture: rendered parts with COCO boxes
from trainer.annotations import read_annotations
from trainer.conditions import Condition, Labelled, apply, parse_condition
from trainer.conditions.shown import read_mask
from trainer.dataset import scan
from trainer.study.pool import read_pool
from trainer.study.prepare import Prepared, lay_out

MOVED = parse_condition("position:1")
SEED = 5


def prepared_of(pool, work, condition=MOVED):
    found = Prepared.of(work, condition, pool, SEED)
    for source in pool.sources:
        found.write(source, SEED)
    return found


@pytest.fixture(scope="module")
def pool(plates):
    return read_pool(plates.root)


@pytest.fixture(scope="module")
def boxed(parts):  # noqa: F811
    return read_pool(parts)


def test_without_a_condition_the_pictures_are_the_very_files(pool, tmp_path):
    prepared = prepared_of(pool, tmp_path, Condition.of())
    for source in pool.sources:
        assert prepared.picture(source).read_bytes() == source.path.read_bytes()
    hole = pool.defects["hole"][0]
    assert prepared.mask(hole).read_bytes() == hole.mask.read_bytes()


def test_under_a_condition_pixels_and_mask_are_those_of_apply_with_the_image_as_key(pool, tmp_path):
    prepared = prepared_of(pool, tmp_path)
    for source in pool.sources:
        image = read_image(source.path)
        given = Labelled.of(image, mask=read_mask(source.mask, image.shape[:2]))
        want = apply(MOVED, given, seed=SEED, key=source.sha256)
        assert np.array_equal(read_image(prepared.picture(source)), want.image)
        if source.mask:
            assert np.array_equal(read_image(prepared.mask(source))[:, :, 0], want.mask)


def test_what_is_there_is_not_written_again(pool, tmp_path):
    prepared, source = prepared_of(pool, tmp_path), pool.sources[0]
    before = prepared.picture(source).stat()
    prepared.write(source, SEED)
    assert prepared.picture(source).stat() == before


def test_another_seed_condition_or_data_set_has_another_folder(pool, tmp_path):
    more = read_pool(pool.root)
    more.sources[0].path.touch()  # its time is not its content
    same, seed, condition = (
        Prepared.of(tmp_path, c, p, s).folder
        for c, p, s in ((MOVED, more, 1), (MOVED, pool, 2), (parse_condition("noise"), pool, 1))
    )
    assert same == Prepared.of(tmp_path, MOVED, pool, 1).folder
    fewer = type(pool)(pool.root, pool.sources[1:], has_boxes=False)
    assert len({same, seed, condition, Prepared.of(tmp_path, MOVED, fewer, 1).folder}) == 4


def test_a_fit_finds_good_parts_defects_and_masks_where_it_looks_for_them(pool, tmp_path):
    prepared = prepared_of(pool, tmp_path / "work")
    learn = [*pool.good[:5], *pool.defects["hole"][:3]]
    assert lay_out(tmp_path / "data", prepared, learn, has_boxes=False) == []
    dataset = scan(tmp_path / "data")
    assert (len(dataset.train_good), len(dataset.test_good), len(dataset.defects["hole"])) == (5, 0, 3)
    assert {image.resolve() for image in dataset.train_good} == {prepared.picture(one) for one in pool.good[:5]}
    assert len(dataset.masks) == 3
    boxes = read_annotations(tmp_path / "data")
    assert (boxes.source, len(boxes.bad), len(boxes.good)) == ("masks", 3, 5)
    assert not any(picture.held_out for picture in boxes.pictures)


@pytest.mark.parametrize("name", ["original", "position:1"])
def test_boxes_follow_their_pictures(boxed, tmp_path, name):
    condition = parse_condition(name)
    prepared = prepared_of(boxed, tmp_path / "work", condition)
    left_out = lay_out(tmp_path / "data", prepared, boxed.sources, has_boxes=True)
    found = {p.path.resolve(): p for p in read_annotations(tmp_path / "data").pictures}
    assert len(found) == len(boxed.sources) - len(left_out)
    bad = [source for kind in boxed.defects.values() for source in kind if source not in left_out]
    assert bad
    for source in bad:
        picture = found[prepared.picture(source).resolve()]
        given = Labelled.of(read_image(source.path), np.array(source.boxes, np.float32))
        want = apply(condition, given, seed=SEED, key=source.sha256).boxes
        assert np.sort(picture.boxes, axis=0) == pytest.approx(np.sort(want, axis=0), abs=0.01)
        assert set(picture.labels) <= set(source.classes)
    assert all(found[prepared.picture(source).resolve()].is_good for source in boxed.good)


def test_a_defect_that_left_the_picture_is_not_learned_as_a_good_part(pool, tmp_path):
    prepared = prepared_of(pool, tmp_path / "work")
    gone, *others = pool.defects["hole"]
    mask = prepared.mask(gone)
    mask.unlink()
    mask.write_bytes(cv2.imencode(".png", np.zeros((128, 128), np.uint8))[1].tobytes())
    assert lay_out(tmp_path / "data", prepared, [*pool.good, gone, *others], has_boxes=False) == [gone]
    dataset = scan(tmp_path / "data")
    assert (len(dataset.defects["hole"]), len(dataset.train_good)) == (len(others), len(pool.good))


def test_a_folder_is_laid_out_anew(pool, tmp_path):
    prepared = prepared_of(pool, tmp_path / "work")
    lay_out(tmp_path / "data", prepared, pool.sources, has_boxes=False)
    lay_out(tmp_path / "data", prepared, pool.good[:2], has_boxes=False)
    assert len([path for path in (tmp_path / "data").rglob("*") if not path.is_dir()]) == 2


def test_a_picture_that_cannot_be_read_is_named(pool, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    source = type(pool.sources[0])(broken, "broken.png", hashlib.sha256(b"no image").hexdigest(), "good")
    with pytest.raises(DatasetError, match=r"broken\.png"):
        Prepared.of(tmp_path / "work", MOVED, pool, SEED).write(source, SEED)
