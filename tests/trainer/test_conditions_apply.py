"""What conditions do to pictures, and that truth and randomness are kept in order."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.disturbed import agree, box_of, card, is_red, marked, overlap, with_part
from trainer.conditions import KINDS, Condition, Labelled, Step, all_conditions, apply, parse_condition

ROOT = Path(__file__).resolve().parents[2]
DRAWN = [kind for kind in KINDS if kind != "jpeg"]  # jpeg has nothing to draw
PER_PICTURE = [kind for kind in DRAWN if kind != "dust"]
MOVING = ("position", "rotation")
each_kind = pytest.mark.parametrize("kind", KINDS)


def under(text: str, picture: Labelled, seed: int = 0, key: str = "a.png") -> Labelled:
    return apply(parse_condition(text), picture, seed=seed, key=key)


def digest(picture: Labelled) -> str:
    parts = (picture.image, picture.boxes, picture.labels, picture.mask)
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def digests() -> dict[str, str]:
    return {condition.name: digest(under(condition.name, marked())) for condition in all_conditions()}


def flat(level: int = 128, side_px: int = 256) -> Labelled:
    return Labelled.of(np.full((side_px, side_px, 3), level, np.uint8))


def change(one: Labelled, other: Labelled) -> float:
    return float(np.abs(one.image.astype(int) - other.image).mean())


@each_kind
def test_strength_zero_is_the_very_picture(kind):
    picture = marked()
    assert under(f"{kind}:0", picture) is picture


def test_the_original_is_the_very_picture():
    picture = marked()
    assert under("original", picture) is picture


@each_kind
def test_every_kind_changes_the_picture_and_more_strength_changes_it_more(kind):
    picture = marked()
    weak, strong = (
        np.mean([change(under(f"{kind}:{strength}", picture, key=str(key)), picture) for key in range(8)])
        for strength in (0.15, 1)
    )
    assert 0 < weak < strong


@pytest.mark.parametrize("kind", MOVING)
def test_next_to_no_movement_leaves_every_pixel_in_its_place(kind):
    picture = marked()
    assert change(under(f"{kind}:1e-06", picture), picture) < 0.01


@each_kind
def test_the_same_seed_and_key_give_the_same_bytes_whatever_was_done_before(kind):
    picture = marked()
    first = digest(under(kind, picture))
    for other in reversed(KINDS):
        under(f"{other}:0.9", picture, seed=8, key="b.png")
    assert digest(under(kind, marked())) == first


def test_another_process_gives_the_same_bytes():
    code = "import json; from tests.trainer.test_conditions_apply import digests; print(json.dumps(digests()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == digests()


@pytest.mark.parametrize("kind", PER_PICTURE)
def test_another_key_draws_anew(kind):
    picture = marked()
    assert len({digest(under(kind, picture, key=key)) for key in ("a.png", "b.png", "c.png")}) == 3


@pytest.mark.parametrize("kind", DRAWN)
def test_another_seed_draws_anew(kind):
    picture = marked()
    assert len({digest(under(kind, picture, seed=seed)) for seed in range(3)}) == 3


def test_a_combination_draws_for_each_kind_what_that_draws_alone():
    alone = under("position", marked())
    assert digest(under("brightness", alone)) == digest(under("position+brightness", marked()))
    together = under("position+background", marked())
    assert np.array_equal(together.boxes, alone.boxes)
    assert np.array_equal(together.mask, alone.mask)


@pytest.mark.parametrize("condition", all_conditions(1), ids=lambda condition: condition.name)
@pytest.mark.parametrize("size", [(8, 8), (8, 21), (1, 1), (61, 40)], ids=str)
def test_pictures_of_any_size_come_back_in_their_size(condition, size):
    rng = np.random.default_rng(3)
    grey = rng.integers(0, 256, (*size, 1), dtype=np.uint8).repeat(3, axis=2)
    for image in (grey, rng.integers(0, 256, (*size, 3), dtype=np.uint8), np.zeros_like(grey)):
        box = np.array([[0, 0, size[1], size[0]]])
        found = apply(condition, Labelled.of(image, box, mask=np.full(size, 255, np.uint8)), seed=1, key="k")
        assert (found.image.shape, found.image.dtype) == (image.shape, np.uint8)
        assert (found.mask.shape, found.mask.dtype) == (size, np.uint8)
        assert set(np.unique(found.mask)) <= {0, 255}
        assert (found.boxes.dtype, found.labels.dtype, len(found.boxes)) == (np.float32, np.int64, len(found.labels))
        assert (found.boxes >= 0).all()
        assert (found.boxes <= [size[1], size[0], size[1], size[0]]).all()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in MOVING])
def test_what_moves_nothing_leaves_the_truth_alone(kind):
    picture = marked()
    found = under(f"{kind}:1", picture)
    assert found.boxes is picture.boxes
    assert found.labels is picture.labels
    assert found.mask is picture.mask


@pytest.mark.parametrize("strength", [0.1, 0.5, 1])
def test_a_bright_square_is_found_where_box_and_mask_say_when_the_part_is_cropped(strength):
    for key in range(25):
        found = under(f"position:{strength}", marked(), key=str(key))
        seen = is_red(found.image)
        assert agree(seen, found.mask > 0)
        assert np.abs(found.boxes[0] - box_of(seen)).max() <= 1.6
        assert found.labels.tolist() == [3]


@pytest.mark.parametrize("strength", [0.1, 0.5, 1])
def test_a_bright_square_is_found_where_the_mask_says_when_the_part_is_turned(strength):
    for key in range(25):
        found = under(f"rotation:{strength}", marked(), key=str(key))
        assert agree(is_red(found.image), found.mask > 0)


def test_a_disc_is_found_where_the_box_says_when_the_part_is_turned():
    for key in range(25):
        found = under("rotation:1", marked(is_disc=True), key=str(key))
        assert np.abs(found.boxes[0] - box_of(is_red(found.image))).max() <= 1.6


def test_a_box_of_which_less_than_half_is_left_is_dropped_with_its_label():
    image = card()
    left = np.array([[0, 100, 20, 120], [100, 100, 120, 120]], np.float32)
    found = [
        apply(parse_condition("position:1"), Labelled.of(image, left, np.array([1, 2])), seed=0, key=str(key))
        for key in range(30)
    ]
    labels = [tuple(one.labels.tolist()) for one in found]
    assert (2,) in labels, "a crop to the right cuts the first box off"
    assert any(1 in kept for kept in labels), "and one to the left does not"
    for one in found:
        assert len(one.boxes) == len(one.labels)


def test_a_mirrored_defect_that_comes_in_at_the_edge_is_boxed_and_masked():
    image = card(60, 200)
    mask = np.zeros((60, 200), np.uint8)
    image[4:14, 20:30], mask[4:14, 20:30] = (20, 20, 250), 255
    turned = [
        apply(parse_condition("rotation:1"), Labelled.of(image, [[20, 4, 30, 14]], mask=mask), seed=0, key=str(key))
        for key in range(20)
    ]
    assert max(len(one.boxes) for one in turned) > 1
    for one in turned:
        assert agree(is_red(one.image), one.mask > 0)


def test_turns_go_both_ways_and_as_far_as_the_strength_allows():
    tilts = []
    for key in range(30):
        image, where = with_part(card(), (120, 120), (110, 30), 0)
        found = apply(
            parse_condition("rotation:0.6"), Labelled.of(image, mask=where.astype(np.uint8) * 255), seed=0, key=str(key)
        )
        y, x = np.nonzero(found.mask)
        tilts.append(0.5 * np.degrees(np.arctan2(2 * np.cov(x, y)[0, 1], np.var(x) - np.var(y))))
    assert min(tilts) < -8
    assert max(tilts) > 8
    assert np.abs(tilts).max() < 0.6 * 45 + 1
    assert np.abs(tilts).min() > 0.6 * 45 * 0.3 - 1


def cropped(sides, strength, key, middle=(120, 120)):
    """Zoom, share of the part that is left, and the part's middle afterwards, in shares of the picture."""
    image, where = with_part(card(), middle, sides, 0)
    mask = where.astype(np.uint8) * 255
    inner = np.array([[middle[0] - 8, middle[1] - 8, middle[0] + 8, middle[1] + 8]], np.float32)
    found = apply(
        Condition.of(Step(kind="position", strength=strength)), Labelled.of(image, inner, mask=mask), seed=0, key=key
    )
    left, top, right, bottom = found.boxes[0]
    zoom = (right - left) / 16
    assert zoom == pytest.approx((bottom - top) / 16, rel=1e-4), "both sides by one factor"
    kept = (found.mask > 0).sum() / zoom**2 / where.sum()
    return float(zoom), float(kept), ((left + right) / 480, (top + bottom) / 480)


@pytest.mark.parametrize("strength", [0.2, 0.5, 1])
def test_a_part_with_room_around_it_gets_larger_and_stays_whole(strength):
    found = [cropped((80, 50), strength, str(key)) for key in range(25)]
    zooms = np.array([zoom for zoom, _, _ in found])
    assert zooms.min() >= 1 / (1 - 0.25 * strength) - 0.01
    assert zooms.max() <= 1 / (1 - 0.5 * strength) + 0.01
    assert np.ptp(zooms) > 0.05 * strength
    assert all(kept == pytest.approx(1, abs=0.03) for _, kept, _ in found)


def test_the_thin_ends_of_a_part_with_room_around_it_are_not_cut_off():
    image, where = with_part(card(), (120, 120), (90, 90), 45)
    picture = Labelled.of(image, mask=where.astype(np.uint8) * 255)
    for key in range(25):
        mask = under("position", picture, key=str(key)).mask
        assert not np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).any()


def test_a_crop_moves_the_part_off_the_centre_to_all_sides():
    away = np.array([place for _, _, place in (cropped((80, 50), 0.5, str(key)) for key in range(40))]) - 0.5
    assert (np.abs(away).max(axis=1) > 0.03).all()
    for axis in (0, 1):
        assert away[:, axis].min() < -0.05
        assert away[:, axis].max() > 0.05


@pytest.mark.parametrize("strength", [0.2, 0.5, 1])
def test_of_a_part_that_fills_the_picture_no_more_is_cut_off_than_the_strength_allows(strength):
    kept = [cropped((216, 60), strength, str(key))[1] for key in range(25)]
    assert min(kept) >= 1 - 0.1 * strength - 0.02
    if strength == 1:
        assert min(kept) < 0.98, "and that much is"


def test_a_part_at_the_edge_of_the_picture_is_not_cropped_away():
    kept = [cropped((70, 50), 1, str(key), middle=(40, 196))[1] for key in range(25)]
    assert min(kept) > 0.97


def test_light_goes_both_ways_in_brightness_and_in_contrast():
    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(256, axis=0).repeat(3, axis=2)
    found = [under("brightness", Labelled.of(ramp), key=str(key)).image for key in range(40)]
    means = np.array([image.mean() for image in found])
    slopes = np.array([float(image[0, 160, 0]) - image[0, 96, 0] for image in found]) / 64
    assert means.min() < 127.5 - 8
    assert means.max() > 127.5 + 8
    assert slopes.min() < 0.92
    assert slopes.max() > 1.08
    assert all((np.diff(image[0, :, 0].astype(int)) >= 0).all() for image in found), "no level overtakes another"


def test_noise_grows_with_the_root_of_the_light_and_is_not_biased():
    for level in (20, 60, 128, 200):
        found = under("noise:0.5", flat(level)).image[:, :, 0].astype(float)
        wanted = 0.5 * np.sqrt(5**2 + 16**2 * level / 255)
        assert found.std() == pytest.approx(wanted, rel=0.04)
        assert found.mean() == pytest.approx(level, abs=0.15)


def test_noise_of_a_grey_picture_is_grey_and_that_of_a_colour_picture_is_not():
    grey = under("noise", flat()).image
    assert (grey[:, :, 0] == grey[:, :, 2]).all()
    coloured = flat()
    coloured.image[:, :, 0] = 129
    found = under("noise", coloured).image.astype(float)
    assert abs(np.corrcoef(found[:, :, 0].ravel(), found[:, :, 2].ravel())[0, 1]) < 0.02


def spread_of_a_point(text: str, key: str, side_px: int = 301) -> np.ndarray:
    """What becomes of a small bright spot: offsets from it, (n, 2), of all pixels that it lights."""
    image = np.zeros((side_px, side_px, 3), np.uint8)
    middle = side_px // 2
    image[middle - 1 : middle + 2, middle - 1 : middle + 2] = 255
    lit = under(text, Labelled.of(image), key=key).image[:, :, 0]
    return np.argwhere(lit > 0.3 * lit.max()) - middle


def test_motion_smears_a_point_into_a_line_along_the_belt_of_the_camera():
    turns, lengths = [], []
    for key in range(8):
        points = spread_of_a_point("motion_blur:1", str(key), 601)
        values, vectors = np.linalg.eigh(np.cov(points.T))
        assert values[1] > 4 * values[0], "a line"
        turns.append(np.degrees(np.arctan2(vectors[0, 1], vectors[1, 1])) % 180)
        lengths.append(np.hypot(*np.ptp(points, axis=0)))
    assert np.ptp(turns) < 8, "the belt runs one way"
    assert np.ptp(lengths) > 1, "not always as fast"
    assert max(lengths) < 0.03 * 601 + 6


@pytest.mark.parametrize("side_px", [301, 1501], ids=["all pixels", "fewer pixels"])
def test_out_of_focus_a_point_becomes_an_even_disc(side_px):
    points = spread_of_a_point("defocus:1", "a", side_px)
    radius = np.hypot(*points.T).max()
    assert 0.8 * 0.008 * side_px - 1 < radius < 0.008 * side_px + 3
    assert len(points) == pytest.approx(np.pi * radius**2, rel=0.35)
    assert np.abs(points.mean(axis=0)).max() < 1, "nothing moves"


@pytest.mark.parametrize("kind", ["motion_blur", "defocus"])
def test_blur_keeps_the_light_and_a_flat_picture(kind):
    picture = marked()
    assert abs(under(f"{kind}:1", picture).image.mean() - picture.image.mean()) < 1
    assert (under(f"{kind}:1", flat(77)).image == 77).all()


def test_dust_lies_in_the_same_places_in_all_pictures_of_a_camera():
    one, two = (under("dust:1", flat(), key=key).image for key in ("a", "b"))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, under("dust:1", flat(), seed=1).image)
    brighter = under("dust:1", flat(200), key="c").image
    assert overlap(brighter[:, :, 0] != 200, one[:, :, 0] != 128) > 0.8


def test_dust_is_dark_and_light_specks_that_leave_most_of_the_picture_alone():
    found = under("dust", flat(side_px=512)).image[:, :, 0].astype(int) - 128
    assert found.min() < -15
    assert found.max() > 5
    assert 0.0005 < (np.abs(found) > 3).mean() < 0.1


def test_more_dust_is_the_same_dust_and_more():
    some, all_ = (np.abs(under(f"dust:{s}", flat(side_px=512)).image.astype(int) - 128)[:, :, 0] for s in (0.4, 1))
    seen = some > 4
    assert seen.any()
    assert (all_[seen] > some[seen]).mean() > 0.98
    assert (all_ > 4).sum() > 1.5 * seen.sum()


def test_flicker_is_a_band_of_whole_rows_that_runs_from_frame_to_frame():
    frames = [under("flicker", flat(100), key=str(key)).image[:, :, 1].astype(float) for key in range(12)]
    for frame in frames:
        assert (frame == frame[:, :1]).all()
        assert np.ptp(frame[:, 0]) > 5
    assert np.ptp([frame.mean() for frame in frames]) > 8
    assert len({int(frame[:, 0].argmax()) for frame in frames}) > 6


def test_jpeg_gets_coarser_with_strength():
    picture = marked()
    errors = [change(under(f"jpeg:{strength}", picture), picture) for strength in (0.01, 0.3, 0.6, 1)]
    assert errors == sorted(errors)
    assert errors[-1] > 2 * errors[0]


def test_truth_that_does_not_fit_its_image_is_refused():
    with pytest.raises(ValueError, match="a mask of"):
        Labelled.of(card(), mask=np.zeros((10, 10), np.uint8))
    with pytest.raises(ValueError, match="2 labels for 1 boxes"):
        Labelled.of(card(), np.zeros((1, 4), np.float32), np.zeros(2, np.int64))
