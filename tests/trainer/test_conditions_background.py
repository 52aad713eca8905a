"""The part is found without a model, and stays as it is when other things lie behind it."""

import cv2
import numpy as np
import pytest

from models.images import read_image
from tests.shared import find_shared
from tests.trainer.disturbed import card, grown, marked, overlap, with_part
from trainer.conditions import Labelled, apply, find_part, has_background, parse_condition
from trainer.conditions.scene import background
from trainer.synth import render_screw
from trainer.synth.parts import render_part
from trainer.synth.parts.lines import draw_line

SHARED = find_shared()
DATA = SHARED / "data/mvtec_screw" if SHARED else None
SIDE_PX = 320


def changed(image, key="a", strength=1.0):
    return apply(parse_condition(f"background:{strength}"), Labelled.of(image), seed=0, key=key).image


def textures(count: int) -> list[np.ndarray]:
    designs = (design for design in range(1000) if draw_line(design).family is None)
    return [render_part(next(designs), 0, size_px=SIDE_PX).image for _ in range(count)]


@pytest.mark.parametrize("strength", [0.1, 0.5, 1])
def test_not_a_pixel_of_a_part_on_plain_card_changes_and_its_background_does(strength):
    image, where = with_part(card())
    for key in range(20):
        found = changed(image, str(key), strength)
        assert np.array_equal(found[where], image[where])
        assert np.array_equal(found[find_part(image) > 0], image[find_part(image) > 0])
        assert (found != image).any()


def test_thin_pieces_of_a_part_stay_too():
    image, part = card(800, 800), np.zeros((800, 800), np.uint8)
    part[400:403, 100:700] = part[100:700, 300] = 255
    for key in range(5):
        found = background(image, part, np.random.default_rng(key), 1)
        assert np.array_equal(found[part > 0], image[part > 0])
        assert (found != image).any()


def test_not_a_pixel_of_a_rendered_screw_changes():
    for seed in range(4):
        image, mask = render_screw(seed, size_px=SIDE_PX, defect="scratch_neck")
        # The card is lighter than 150; what is dark is the part, and where it stands on the card its deepest shadow.
        where = (cv2.blur(image[:, :, 0], (3, 3)) < 115) | (mask > 0)
        assert where.mean() > 0.05
        for key in range(5):
            found = changed(image, str(key))
            assert np.array_equal(found[where], image[where])
            assert (found != image).any(axis=2).mean() > 0.05


def test_the_background_gets_colours_and_more_of_them_with_strength():
    image, where = with_part(card())
    beside = ~grown(where, 12)
    shares = []
    for strength in (0.1, 0.5, 1):
        apart = [
            np.abs(changed(image, str(key), strength).astype(int) - image).max(axis=2)[beside] for key in range(15)
        ]
        shares.append(np.mean([(one > 12).mean() for one in apart]))
    assert shares[0] < shares[1] < shares[2]
    assert shares[1] > 0.1
    tinted = changed(image).astype(int)
    assert np.ptp(tinted, axis=2)[beside].max() > 40


def test_beside_the_rectangles_nothing_changes():
    image, _ = with_part(card())
    found = changed(image, strength=0.1)
    same = (found == image).all(axis=2)
    assert 0.4 < same.mean() < 1


def test_the_shade_on_the_card_lies_on_what_is_laid_on_it():
    image, where = with_part(card(), (120, 90), (90, 44), 0)
    shade = np.ones((240, 240), np.float32)
    shade[180:] = 0.75
    shaded = (image * cv2.GaussianBlur(shade, (0, 0), 12)[:, :, None]).astype(np.uint8)
    assert find_part(shaded) is not None
    whole = []
    for key in range(40):
        found = changed(shaded, str(key)).astype(float)
        laid = (np.abs(found - shaded).max(axis=2) > 15) & ~grown(where, 12)
        column = laid[140:225].all(axis=0)  # one sheet or more from the light into the shade
        if column.sum() > 20:
            ratio = found[212, column].sum(axis=1) / found[150, column].sum(axis=1)
            whole.append((np.abs(ratio - 0.75) < 0.06).mean())
    assert len(whole) > 3
    assert max(whole) > 0.9, "where it is one sheet; of several each has its own colour"


def test_the_grain_of_the_card_stays_on_what_is_laid_on_it():
    image, where = with_part(card())
    found = changed(image)
    laid = (np.abs(found.astype(int) - image).max(axis=2) > 15) & ~grown(where, 12)
    laid &= ~grown(cv2.Canny(found, 60, 120) > 0, 4)
    fine = [
        (picture.astype(np.float32) - cv2.GaussianBlur(picture, (0, 0), 2))[laid].ravel() for picture in (image, found)
    ]
    assert laid.sum() > 2000
    assert np.corrcoef(*fine)[0, 1] > 0.6


def test_the_part_on_plain_card_is_found_whole_and_not_much_more():
    image, where = with_part(card())
    found = find_part(image) > 0
    assert found[where].all()
    assert not found[~grown(where, 7)].any()


@pytest.mark.parametrize("side_px", [48, 150, 700])
def test_a_part_is_found_in_pictures_of_any_size(side_px):
    scale = side_px / 240
    image, where = with_part(card(side_px, side_px), (100 * scale, 120 * scale), (110 * scale, 44 * scale))
    found = find_part(image) > 0
    assert found[where].all()
    assert overlap(found, where) > 0.6


@pytest.mark.parametrize("colour", [(190, 190, 190), (12, 12, 12), (30, 160, 60)])
def test_a_part_is_found_on_light_dark_and_coloured_ground(colour):
    image, where = with_part(card(colour=colour))
    found = find_part(image) > 0
    assert found[where].mean() > 0.99
    assert overlap(found, where) > 0.7


def test_a_part_is_found_where_the_light_falls_off_to_the_corners():
    image, where = with_part(card())
    y, x = np.mgrid[-1:1:240j, -1:1:240j]
    dim = (image * (1 - 0.25 * (x * x + y * y) / 2)[:, :, None]).astype(np.uint8)
    found = find_part(dim) > 0
    assert found[where].all()
    assert overlap(found, where) > 0.75


def test_a_part_that_the_picture_cuts_off_is_found():
    image, where = with_part(card(), (30, 120), (140, 44), 10)
    assert where[:, 0].any()
    found = find_part(image) > 0
    assert found[where].all()
    assert overlap(found, where) > 0.7


def test_a_hole_and_a_patch_that_looks_like_the_card_belong_to_the_part():
    image, where = with_part(card(), (120, 120), (130, 80), 0)
    hole = np.s_[105:135, 90:110]
    image[hole] = card()[hole]
    assert (find_part(image)[hole] == 255).all()
    assert (find_part(image)[where] == 255).all()


def test_a_soft_shadow_is_background_and_specks_of_dirt_are_no_part():
    image, where = with_part(card(), (90, 120), (60, 60), 0)
    depth = np.zeros((240, 240), np.float32)
    cv2.circle(depth, (170, 120), 25, 0.3, -1)
    image = np.where(where[..., None], image, image * (1 - cv2.GaussianBlur(depth, (0, 0), 12))[..., None])
    image = image.astype(np.uint8)
    cv2.circle(image, (40, 30), 2, (60, 60, 60), -1)
    found = find_part(image) > 0
    assert found[where].all()
    assert not found[100:140, 150:190].any()
    assert not found[20:40, 30:50].any()


def test_a_picture_that_is_one_texture_has_no_background_and_stays_as_it_is():
    for image in textures(12):
        assert not has_background(image)
        assert changed(image) is image


@pytest.mark.parametrize("design", [1076, 1171])
def test_a_texture_with_one_large_patch_has_no_background_where_the_patch_is_at_the_border_too(design):
    image = render_part(design, 0, size_px=SIDE_PX).image
    assert draw_line(design).family is None
    assert not has_background(image)


def test_an_empty_card_and_plain_noise_have_no_background():
    assert not has_background(card())
    assert not has_background(np.full((64, 64, 3), 90, np.uint8))
    assert not has_background(np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8))


def test_a_part_on_card_and_a_rendered_screw_have_a_background():
    assert has_background(with_part(card())[0])
    assert has_background(render_screw(3, size_px=SIDE_PX)[0])


def test_a_texture_is_cropped_all_the_same_and_its_truth_follows():
    image = textures(1)[0]
    picture = Labelled.of(image, np.array([[140, 140, 180, 180]], np.float32))
    found = apply(parse_condition("position"), picture, seed=0, key="a")
    assert found.boxes[0, 2] - found.boxes[0, 0] > 44


def test_the_truth_of_a_defect_on_the_part_stays_and_so_do_its_pixels():
    picture = marked()
    found = apply(parse_condition("background:1"), picture, seed=0, key="a")
    assert np.array_equal(found.image[picture.mask > 0], picture.image[picture.mask > 0])


def test_real_screws_are_found_with_their_defects():
    if DATA is None or not DATA.is_dir():
        pytest.skip("no data/mvtec_screw in ../shared or MEKIKI_SHARED")
    paths = sorted(DATA.glob("test/scratch_*/*.png"))[::6]
    assert len(paths) > 5
    for path in paths:
        image = read_image(path)
        mask = read_image(DATA / "ground_truth" / path.parent.name / f"{path.stem}_mask.png")[:, :, 0] > 127
        part = find_part(image)
        assert part is not None, path.name
        assert (part[mask] == 255).all(), path.name
        assert 0.08 < (part > 0).mean() < 0.18, path.name
        assert np.array_equal(changed(image)[part > 0], image[part > 0])
