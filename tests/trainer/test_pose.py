import cv2
import numpy as np
import pytest

from trainer.pose import Pose, measure_pose, plan_augmentation

SIDE_PX = 160


def part(angle_deg=0.0, shift_px=(0, 0), gain=1.0, height_px=SIDE_PX, width_px=SIDE_PX):
    """A bright hammer on a dark table: it looks different at every angle."""
    image = np.full((height_px, width_px, 3), 30, np.uint8)
    middle = np.array([width_px / 2, height_px / 2]) + shift_px
    turn = np.deg2rad(-angle_deg)
    along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    handle = [middle - 45 * along, middle + 45 * along]
    head = [middle + 35 * along - 25 * across, middle + 35 * along + 25 * across]
    for ends, thick in ((handle, 8), (head, 18)):
        first, last = (tuple(round(float(v)) for v in end) for end in ends)
        cv2.line(image, first, last, (200, 200, 200), thick, cv2.LINE_AA)
    return cv2.convertScaleAbs(image, alpha=gain)


def washer(shift_px=0):
    image = np.full((SIDE_PX, SIDE_PX, 3), 200, np.uint8)
    cv2.circle(image, (SIDE_PX // 2 + shift_px, SIDE_PX // 2), 45, (40, 40, 40), 14, cv2.LINE_AA)
    return image


@pytest.mark.parametrize("angle", [20, 50, 90, 130, 180])
def test_a_turned_part_is_seen_as_turned_by_that_much_either_way(angle):
    for side in (angle, -angle):
        assert measure_pose([part(), *[part(side)] * 3]).rotation_deg == pytest.approx(angle, abs=10)


def test_parts_that_lie_anyhow_are_seen_as_turned_by_more_than_a_right_angle():
    pose = measure_pose([part(angle) for angle in (0, 77, 150, 211, 303, 20, 120)])
    assert pose.varies
    assert pose.rotation_deg > 90


def test_parts_that_lie_still_are_not_seen_as_turned():
    rng = np.random.default_rng(0)
    still = [np.clip(part() + rng.normal(0, 6, (SIDE_PX, SIDE_PX, 1)), 0, 255).astype(np.uint8) for _ in range(6)]
    assert measure_pose(still).rotation_deg == 0
    assert not measure_pose(still).varies


def test_shifted_parts_are_not_seen_as_turned():
    assert measure_pose([part(), part(shift_px=(12, -9)), part(shift_px=(-10, 14))]).rotation_deg == 0


def test_a_washer_looks_the_same_at_any_angle_and_is_not_seen_as_turned():
    assert not measure_pose([washer(shift) for shift in (0, 5, -8, 3)]).varies


def test_turned_parts_are_seen_in_frames_that_are_not_square():
    assert measure_pose([part(angle, height_px=160, width_px=213) for angle in (0, 80, 170, 250)]).varies


def test_the_spread_of_brightness_is_measured_as_a_share():
    flat = [np.full((32, 32, 3), grey, np.uint8) for grey in (90, 100, 110)]
    assert measure_pose(flat).brightness == pytest.approx(np.std([90, 100, 110]) / 100)


@pytest.mark.parametrize("grey", [0, 255])
def test_blank_images_measure_as_still(grey):
    pose = measure_pose([np.full((64, 64, 3), grey, np.uint8)] * 3)
    assert (pose.rotation_deg, pose.brightness) == (0, 0)


def test_one_image_measures_as_still():
    assert measure_pose([part()]) == Pose(0, 0)


def test_no_more_than_25_images_are_compared_so_a_large_set_costs_no_more():
    assert measure_pose([part()] * 25 + [part(90)] * 30).rotation_deg == 0


def test_still_parts_are_planned_as_they_are():
    plan = plan_augmentation(Pose(0, 0), 20, "auto")
    assert plan.angles_deg == (0,)


def test_parts_that_lie_anyhow_are_planned_a_full_circle_of_twelve():
    assert plan_augmentation(Pose(150, 0), 20, "auto").angles_deg == tuple(30.0 * i for i in range(12))


def test_slightly_turned_parts_are_planned_to_both_sides_with_the_plain_image_first():
    assert plan_augmentation(Pose(20, 0), 20, "auto").angles_deg == (0, 10, -10, 20, -20)


@pytest.mark.parametrize("wanted", ["on", "auto", "off"])
@pytest.mark.parametrize("turned", [0, 10, 30, 180])
@pytest.mark.parametrize("n_images", [2, 20, 100, 130, 160, 240, 300, 5000])
def test_every_plan_begins_with_the_plain_image_and_stays_below_about_500_views(wanted, turned, n_images):
    angles = plan_augmentation(Pose(turned, 0), n_images, wanted).angles_deg
    assert angles[0] == 0
    assert len(set(angles)) == len(angles) <= 12
    assert len(angles) == 1 or len(angles) * n_images <= 480


def test_switched_on_even_still_parts_are_turned_and_switched_off_none_is():
    assert len(plan_augmentation(Pose(0, 0), 20, "on").angles_deg) == 12
    off = plan_augmentation(Pose(180, 0.5), 20, "off")
    assert (off.angles_deg, off.shift, off.brightness) == ((0,), 0, 0)


@pytest.mark.parametrize(("measured", "planned"), [(0, 0.03), (0.05, 0.1), (0.5, 0.2)])
def test_brightness_is_planned_as_twice_what_was_measured_within_bounds(measured, planned):
    assert plan_augmentation(Pose(180, measured), 20, "auto").brightness == pytest.approx(planned)
