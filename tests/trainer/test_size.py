"""How large the network looks, and why."""

import cv2
import numpy as np
import pytest

from trainer.detail import detail_kept
from trainer.size import BANK, SIZES_PX, Setting, choose_size, settings_of, spec_for


def textured(fine: bool, side: int = 512):
    rng = np.random.default_rng(0)
    period = 4 if fine else 64
    stripes = 60 * (np.indices((side, side)).sum(axis=0) // (period // 2) % 2) + 90
    return np.clip(stripes[:, :, None] + rng.normal(0, 2, (side, side, 3)), 0, 255).astype(np.uint8)


def test_nothing_is_lost_at_native_size():
    assert detail_kept(textured(True), 512) == 1.0


def test_fine_detail_asks_for_more_pixels_than_coarse_detail():
    assert detail_kept(textured(True), 256) < detail_kept(textured(False), 256)


def test_sensor_noise_alone_does_not_ask_for_pixels():
    rng = np.random.default_rng(1)
    calm = textured(False)
    noisy = np.clip(calm + rng.normal(0, 6, calm.shape), 0, 255).astype(np.uint8)
    assert detail_kept(noisy, 256) == pytest.approx(detail_kept(calm, 256), abs=0.1)


def test_the_cycle_time_bounds_the_size_and_the_reason_says_so():
    slow = choose_size([textured(True)], cycle_time_s=0.1, probe=lambda *_: (0.0, 0.05))
    free = choose_size([textured(True)], cycle_time_s=10, probe=lambda *_: (0.0, 0.05))
    assert slow.size_px < free.size_px
    assert slow.fits
    assert "raise --cycle-time" in slow.reason
    assert f"{free.size_px} px, 100% of the fine contrast, and 10000 vectors in about" in free.reason


def test_a_machine_that_is_too_slow_gets_the_smallest_size_and_is_told():
    choice = choose_size([textured(True)], cycle_time_s=0.01, probe=lambda *_: (0.0, 0.05))
    assert choice.size_px == SIZES_PX[0]
    assert not choice.fits


def test_a_network_that_sees_fine_layers_alone_gets_more_pixels_where_the_cycle_allows():
    coarse, quick = cv2.GaussianBlur(textured(False, 640), (0, 0), 8), lambda *_: (0.0, 0.001)
    both = choose_size([coarse], 1.0, quick).size_px
    alone = choose_size([coarse], 1.0, quick, fine_alone=True).size_px
    assert alone == next(size for size in SIZES_PX if size >= 1.07 * both)
    assert choose_size([coarse], 0.002, quick, fine_alone=True).size_px < alone


def test_images_smaller_than_every_size_are_not_enlarged():
    assert choose_size([textured(True, 96)], 1.0, lambda *_: (0.0, 0.01)).size_px == 96


def test_the_network_input_keeps_the_aspect_ratio_in_whole_strides():
    spec = spec_for(448, np.zeros((1024, 1280, 3), np.uint8))
    assert (spec.height_px, spec.width_px) == (352, 448)


def by_setting(seconds: dict[Setting, float]):
    return lambda _, setting: (0.0, seconds[setting])


def test_numbers_of_each_patch_go_before_pixels_where_whole_frames_are_looked_at():
    every = settings_of(None, None, is_upright=False)
    costs = dict(zip(every, (0.05, 0.02, 0.015), strict=True))
    choices = [choose_size([textured(True)], cycle_s, by_setting(costs), every) for cycle_s in (1.0, 0.15, 0.12, 0.05)]
    assert [(choice.size_px, choice.setting.width) for choice in choices] == [
        (512, None),
        (512, 128),
        (512, 64),
        (320, 64),
    ]
    assert all(choice.setting.bank == BANK for choice in choices)
    assert choices[1].reason.startswith(
        "512 px, 100% of the fine contrast, and 10000 vectors of 128 numbers in about 80"
    )
    assert choices[1].reason.endswith("and 10000 vectors in about 200 ms: raise --cycle-time")


def test_vectors_go_before_pixels_where_parts_are_laid_upright():
    every = settings_of(None, None, is_upright=True)
    costs = dict(zip(every, (0.05, 0.02), strict=True))
    choices = [choose_size([textured(True)], cycle_s, by_setting(costs), every) for cycle_s in (1.0, 0.15, 0.06)]
    assert [(choice.size_px, choice.setting.bank) for choice in choices] == [(512, 10_000), (512, 2_500), (320, 2_500)]


def test_whole_frames_keep_as_many_numbers_as_usual_before_they_keep_fewer():
    widths = {
        usual: [one.width for one in settings_of(None, None, is_upright=False, usual=usual)] for usual in (192, 100)
    }
    assert widths == {192: [192, 128, 64], 100: [100, 64]}
    assert {one.width for one in settings_of(None, None, is_upright=True, usual=192)} == {None}
    assert {one.width for one in settings_of(None, 300, is_upright=False, usual=192)} == {300}


@pytest.mark.parametrize("is_upright", [False, True])
def test_what_a_person_chose_stays(is_upright):
    assert {one.bank for one in settings_of(700, None, is_upright=is_upright)} == {700}
    assert {one.width for one in settings_of(None, 32, is_upright=is_upright)} == {32}
    assert settings_of(700, 32, is_upright=is_upright) == (Setting(700, 32),)


def test_what_no_cycle_asks_for_is_not_measured():
    asked = []

    def probe(_, setting):
        asked.append(setting)
        return 0.0, 0.001

    choose_size([textured(True)], 1.0, probe, settings_of(None, None, is_upright=False))
    assert asked == [Setting(BANK)]
