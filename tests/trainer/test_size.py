"""How large the network looks, and why."""

import cv2
import numpy as np
import pytest

from trainer.size import SIZES_PX, choose_size, detail_kept, spec_for


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
    slow = choose_size([textured(True)], cycle_time_s=0.1, probe=lambda _: (0.0, 0.05))
    free = choose_size([textured(True)], cycle_time_s=10, probe=lambda _: (0.0, 0.05))
    assert slow.size_px < free.size_px
    assert slow.fits
    assert "raise --cycle-time" in slow.reason
    assert f"{free.size_px} px keeps" in free.reason


def test_a_machine_that_is_too_slow_gets_the_smallest_size_and_is_told():
    choice = choose_size([textured(True)], cycle_time_s=0.01, probe=lambda _: (0.0, 0.05))
    assert choice.size_px == SIZES_PX[0]
    assert not choice.fits


def test_a_network_that_sees_fine_layers_alone_gets_more_pixels_where_the_cycle_allows():
    coarse, quick = cv2.GaussianBlur(textured(False, 640), (0, 0), 8), lambda _: (0.0, 0.001)
    both = choose_size([coarse], 1.0, quick).size_px
    alone = choose_size([coarse], 1.0, quick, fine_alone=True).size_px
    assert alone == next(size for size in SIZES_PX if size >= 1.07 * both)
    assert choose_size([coarse], 0.002, quick, fine_alone=True).size_px < alone


def test_images_smaller_than_every_size_are_not_enlarged():
    assert choose_size([textured(True, 96)], 1.0, lambda _: (0.0, 0.01)).size_px == 96


def test_the_network_input_keeps_the_aspect_ratio_in_whole_strides():
    spec = spec_for(448, np.zeros((1024, 1280, 3), np.uint8))
    assert (spec.height_px, spec.width_px) == (352, 448)
