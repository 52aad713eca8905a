"""Made-up parts: the same arguments give the same bytes, shots of a line are alike, defects are seen and stay local."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from collections import Counter
from typing import Any

import cv2
import numpy as np
import pytest

from trainer.synth.arrays import F32, Mask
from trainer.synth.parts import KINDS, Photo, render_part
from trainer.synth.parts.damage import damaged, draw_extent, draw_place
from trainer.synth.parts.lighting import Scene
from trainer.synth.parts.lines import FAMILIES, SHIFT, Line, draw_line, draw_pose, lay_part

SMALL = 128


def shot(design: int, number: int = 0, **more: Any) -> Photo:
    return render_part(design, number, **{"size_px": SMALL, **more})


def grey(photo: Photo) -> F32:
    return photo.image.mean(axis=2, dtype=np.float32)


def change(design: int, number: int, damages: int, size_px: int = SMALL) -> tuple[F32, Photo]:
    """How much each pixel differs from the same shot without defects."""
    good, bad = (render_part(design, number, size_px=size_px, damages=count) for count in (0, damages))
    return np.abs(good.image.astype(np.float32) - bad.image).mean(axis=2), bad


def cover_of(design: int, number: int, size_px: int = SMALL) -> F32:
    """Where the part lies in the picture, 0 to 1."""
    return scene_of(draw_line(design), design, number, size_px).cover


def scene_of(line: Line, design: int, number: int, size_px: int) -> Scene:
    pose, slack, grain, *_ = np.random.SeedSequence([design, number]).spawn(7)
    matrix, _ = draw_pose(line, size_px, None, np.random.default_rng(pose))
    return lay_part(line, size_px, matrix, slack, grain)


def designs_with_outline(count: int) -> list[int]:
    return [design for design in range(4 * count) if draw_line(design).family is not None][:count]


def around(masks: list[Mask], reach: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    oval = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(np.max(masks, axis=0), oval) > 0


@pytest.mark.parametrize("design", range(8))
def test_the_same_arguments_give_the_same_bytes(design: int) -> None:
    first, again = (shot(design, 3, damages=2) for _ in range(2))
    assert first.image.tobytes() == again.image.tobytes()
    assert [(d.kind, d.mask.tobytes()) for d in first.damages] == [(d.kind, d.mask.tobytes()) for d in again.damages]


def test_another_process_with_another_hash_seed_gives_the_same_bytes() -> None:
    code = "import zlib; from trainer.synth.parts import render_part as r; "
    code += "print([zlib.crc32(r(d, 1, size_px=64, damages=1).image.tobytes()) for d in range(6)])"
    env = {**os.environ, "PYTHONHASHSEED": "77"}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout
    here = [zlib.crc32(shot(design, 1, size_px=64, damages=1).image.tobytes()) for design in range(6)]
    assert told.strip() == str(here)


def test_another_shot_looks_alike_but_is_not_equal_and_another_design_is_another_picture() -> None:
    """By colours, which neither turn nor shift changes."""

    def colours(photo: Photo) -> F32:
        counts = np.histogramdd(photo.image.reshape(-1, 3), bins=6, range=[(0, 256)] * 3)[0]
        return np.sqrt(counts / counts.sum()).astype(np.float32)

    same, other = [], []
    for design in range(40):
        first, second = shot(design, 0), shot(design, 1)
        assert not np.array_equal(first.image, second.image)
        same.append(float((colours(first) * colours(second)).sum()))
        other.append(float((colours(first) * colours(shot(design + 1, 0))).sum()))
    assert min(same) > 0.6
    assert np.mean(same) > 0.9
    assert np.mean(other) < 0.4


def test_two_shots_at_the_same_turn_lie_alike_but_for_the_shift() -> None:
    for design in designs_with_outline(6):
        line, middles = draw_line(design), []
        for seed in range(12):
            matrix, level = draw_pose(line, SMALL, 30.0, np.random.default_rng(seed))
            turn = np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))
            assert turn == pytest.approx(30, abs=1e-3)
            assert 0.96 <= level <= 1.04
            assert 0.98 <= np.hypot(matrix[0, 0], matrix[1, 0]) <= 1.02
            middles.append(matrix @ ((SMALL - 1) / 2, (SMALL - 1) / 2, 1) - (SMALL - 1) / 2)
        assert 0.02 * SMALL < np.abs(middles).max() <= SHIFT * SMALL + 1e-3


def test_a_given_turn_turns_the_part() -> None:
    """Turned back, the half turn's cover is that of none, up to the shift."""
    line = draw_line(designs_with_outline(1)[0])
    seeds = np.random.SeedSequence(1).spawn(2)
    covers = []
    for turn in (0.0, 180.0):
        matrix, _ = draw_pose(line, SMALL, turn, np.random.default_rng(4))
        matrix[:, 2] -= matrix @ ((SMALL - 1) / 2, (SMALL - 1) / 2, 1) - (SMALL - 1) / 2
        covers.append(lay_part(line, SMALL, matrix, *seeds).cover)
    assert np.abs(covers[0] - covers[1][::-1, ::-1]).max() < 0.05


def test_any_turn_occurs_for_parts_and_none_for_textures() -> None:
    part, sheet = (next(d for d in range(50) if (draw_line(d).family is None) is bare) for bare in (False, True))
    for design, least in ((part, 300), (sheet, 1)):
        poses = [draw_pose(draw_line(design), SMALL, None, np.random.default_rng(seed))[0] for seed in range(60)]
        turns = [float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))) for matrix in poses]
        assert np.ptp(turns) > least
    assert np.abs(turns).max() <= 2


def test_no_part_is_cut_off_by_the_picture() -> None:
    for design in designs_with_outline(60):
        cover = cover_of(design, 2, 96)
        assert max(cover[0].max(), cover[-1].max(), cover[:, 0].max(), cover[:, -1].max()) < 0.5
        assert 0.03 < cover.mean() < 0.75


def test_families_and_textures_all_come_and_textures_are_a_third() -> None:
    families = Counter(draw_line(design).family for design in range(400))
    assert set(families) == {None, *FAMILIES}
    assert 0.22 < families[None] / 400 < 0.38


@pytest.mark.parametrize("size_px", [64, 128, 256, 300, 512])
def test_picture_and_masks_have_the_promised_shape_and_type(size_px: int) -> None:
    for design in (0, 9):
        photo = render_part(design, 1, size_px=size_px, damages=1)
        assert photo.image.shape == (size_px, size_px, 3)
        assert photo.image.dtype == np.uint8
        for damage in photo.damages:
            assert damage.mask.shape == (size_px, size_px)
            assert damage.mask.dtype == np.uint8
            assert set(np.unique(damage.mask)) == {0, 255}


def test_a_design_looks_the_same_at_any_size() -> None:
    """The outline does not depend on the size: only what is random per pixel does."""
    for design in designs_with_outline(12):
        small, large = cover_of(design, 1, 128), cover_of(design, 1, 256)
        assert np.abs(cv2.resize(large, (128, 128), interpolation=cv2.INTER_AREA) - small).mean() < 0.02


def test_pictures_are_neither_black_nor_white_and_have_contrast() -> None:
    greys = [grey(shot(design)) for design in range(100)]
    assert all(15 < picture.mean() < 240 for picture in greys)
    assert all(picture.std() > 4 for picture in greys)
    assert np.std([picture.mean() for picture in greys]) > 25


def test_a_third_of_the_cameras_are_grey() -> None:
    grey_cameras = 0
    for design in range(100):
        image = shot(design, size_px=64).image
        grey_cameras += bool((image[..., 0] == image[..., 2]).all())
    assert 0.22 < grey_cameras / 100 < 0.45


def test_a_good_part_has_no_damages_and_a_damaged_one_almost_always_has() -> None:
    assert shot(1).damages == ()
    assert sum(len(shot(design, damages=3).damages) for design in range(20)) >= 50


@pytest.mark.parametrize("design", range(24))
def test_a_defect_lies_on_the_part_is_visible_and_changes_little_else(design: int) -> None:
    changed, photo = change(design, 5, damages=1)
    if not photo.damages:
        pytest.skip("none was visible on this part")
    mask = photo.damages[0].mask
    assert (mask > 0).any()
    assert (cover_of(design, 5) > 0.25)[mask > 0].all()
    assert changed[mask > 0].mean() > 5.5
    far = ~around([mask], 6 * SMALL // 64)
    if photo.damages[0].kind == "missing":  # takes its shadow along, and much of a feature may not show
        assert changed[far].sum() < 0.05 * far.size
    else:
        assert not changed[far].any()


def test_defects_do_not_overlap_and_each_is_visible_by_itself() -> None:
    for design in range(8):
        changed, photo = change(design, 2, damages=12)
        assert len(photo.damages) >= 3
        assert np.sum([damage.mask > 0 for damage in photo.damages], axis=0).max() <= 1
        assert all(changed[damage.mask > 0].mean() > 5 for damage in photo.damages)


def test_the_first_of_two_defects_is_that_of_one() -> None:
    for design in range(6):
        one, two = (shot(design, 1, damages=count).damages for count in (1, 2))
        assert [(d.kind, d.mask.tobytes()) for d in one] == [(d.kind, d.mask.tobytes()) for d in two[: len(one)]]


def test_every_kind_comes_in_300_draws() -> None:
    kinds = Counter(d.kind for design in range(100) for d in shot(design, 7, damages=3, size_px=64).damages)
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) >= 15


def test_small_defects_come_more_often_and_none_is_larger_than_promised() -> None:
    rng = np.random.default_rng(0)
    for kind in KINDS:
        sizes = np.array([draw_extent(kind, 200.0, rng) for _ in range(400)])
        assert sizes.min() >= 4
        assert sizes.max() <= 0.34 * 200
        assert np.median(sizes) < (4 + sizes.max()) / 2


@pytest.mark.parametrize("kind", ["scratch", "dent", "crack"])
def test_scratch_dent_and_crack_are_cut_into_the_height(kind: str) -> None:
    for design in designs_with_outline(5):
        scene = scene_of(draw_line(design), design, 0, 256)
        rng = np.random.default_rng(design)
        at = draw_place(kind, scene, np.ones((256, 256), dtype=np.bool_), 30, rng)
        assert at is not None
        after, where = damaged(kind, scene, at, extent=30, force=1.0, rng=rng)
        assert np.abs(after.height - scene.height)[where > 0.5].max() > 0.3
        assert np.array_equal(after.cover, scene.cover)


def test_plain_damage_is_larger_and_shows_more():
    rng = np.random.default_rng(0)
    sizes = [[draw_extent("dent", 200.0, rng, plain) for _ in range(200)] for plain in (False, True)]
    assert min(sizes[1]) > min(sizes[0])
    shown = []
    for plain in (False, True):
        change = []
        for design in range(12):
            without = render_part(design, 1, size_px=128).image.astype(np.float32)
            photo = render_part(design, 1, size_px=128, damages=2, plain=plain)
            away = np.abs(photo.image - without).mean(axis=-1)
            change += [away[damage.mask > 0].mean() for damage in photo.damages]
        shown.append(min(change))
    assert shown[1] > 1.3 * shown[0]


def test_a_missing_piece_is_off_the_outline_or_is_a_whole_feature() -> None:
    both = Counter[str]()
    for design in range(60):
        scene = scene_of(draw_line(design), design, 0, 128)
        rng = np.random.default_rng(design)
        at = draw_place("missing", scene, np.ones((128, 128), dtype=np.bool_), 15, rng)
        if at is None:
            continue
        after, where = damaged("missing", scene, at, extent=15, force=1.0, rng=rng)
        bitten = after.cover.sum() < scene.cover.sum() - 2
        both["bite" if bitten else "feature"] += 1
        if not bitten:
            label = scene.labels[int(at[1]), int(at[0])]
            assert label > 0
            assert where[(scene.labels == label) & (scene.cover > 0.9)].min() > 0.2
    assert min(both["bite"], both["feature"]) >= 8
