"""The synthetic screws: same seed same bytes, a scratch changes nothing else, folders whole or absent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from trainer.synth import render_screw, write_dataset
from trainer.synth.arrays import F32, Mask
from trainer.synth.dataset import plan_shots
from trainer.synth.scene import Pose, draw_pose, part_to_image, streams
from trainer.synth.screw import MARGIN, S_PAD, Dimensions, draw_dimensions, radius_table, see

SMALL = 256


def pose_and_dimensions(seed: int) -> tuple[Pose, Dimensions]:
    pose, dims, *_ = streams(seed)
    return draw_pose(pose), draw_dimensions(dims)


def along_and_across(seed: int, mask: Mask) -> tuple[F32, F32]:
    """Mask pixels in the part frame: from the head's face along the axis, and off the axis."""
    pose, dims = pose_and_dimensions(seed)
    back = cv2.invertAffineTransform(part_to_image(dims, 1.0, pose, mask.shape[0]))
    rows, columns = np.nonzero(mask)
    u, v = back @ np.stack([columns, rows, np.ones_like(rows)])
    return u - MARGIN - S_PAD, v - MARGIN - dims.head_radius


def write_small(out: Path, seed: int = 5, **more: Any) -> None:
    write_dataset(out, train_good=2, test_good=1, test_defect=1, seed=seed, size_px=64, **more)


def pngs(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*.png"))}


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, again = (render_screw(3, size_px=SMALL, defect="scratch_neck") for _ in range(2))
    assert first[0].tobytes() == again[0].tobytes()
    assert first[1].tobytes() == again[1].tobytes()


def test_two_seeds_give_two_pictures() -> None:
    assert not np.array_equal(render_screw(3, size_px=SMALL)[0], render_screw(4, size_px=SMALL)[0])


@pytest.mark.parametrize("size_px", [64, 256, 500, 1024])
def test_picture_and_mask_have_the_promised_shape_and_type(size_px: int) -> None:
    image, mask = render_screw(8, size_px=size_px, defect="scratch_neck")
    assert image.shape == (size_px, size_px, 3)
    assert mask.shape == (size_px, size_px)
    assert image.dtype == mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 255}


def test_a_good_part_has_an_empty_mask() -> None:
    assert not render_screw(8, size_px=SMALL)[1].any()


def test_every_angle_occurs_and_shift_and_light_stay_small() -> None:
    poses = [draw_pose(streams(seed)[0]) for seed in range(300)]
    sectors, _ = np.histogram([pose.turn for pose in poses], bins=12, range=(0, 2 * np.pi))
    assert sectors.min() >= 8
    assert max(abs(move) for pose in poses for move in pose.shift) <= 26
    assert all(0.96 <= pose.light <= 1.04 for pose in poses)


@pytest.mark.parametrize("seed", range(6))
def test_the_part_lies_at_its_pose_and_wholly_in_the_picture(seed: int) -> None:
    """The dark pixels' long axis is that of the pose, and none touches the border."""
    dark = render_screw(seed, size_px=SMALL)[0][..., 0] < 125
    edge = np.concatenate([dark[:2].ravel(), dark[-2:].ravel(), dark[:, :2].ravel(), dark[:, -2:].ravel()])
    assert not edge.any()
    pose, _ = pose_and_dimensions(seed)
    rows, columns = np.nonzero(dark)
    axis = np.linalg.eigh(np.cov(columns, rows))[1][:, 1]
    assert abs(float(axis @ (np.cos(pose.turn), np.sin(pose.turn)))) > np.cos(np.radians(3))


def test_a_part_fits_the_picture_at_its_largest_and_furthest() -> None:
    dims = max((draw_dimensions(streams(seed)[1]) for seed in range(50)), key=lambda d: d.length)
    hit = see(dims, radius_table(dims), 0.75).hit
    for turn in np.linspace(0, 2 * np.pi, 24, endpoint=False):
        matrix = part_to_image(dims, 0.75, Pose(float(turn), (26, 26), 1.0), 256)
        rows, columns = np.nonzero(hit)
        at = matrix @ np.stack([columns, rows, np.ones_like(rows)])
        assert at.min() > 0
        assert at.max() < 255


@pytest.mark.parametrize("seed", range(100, 108))
def test_the_scratch_lies_on_the_visible_neck(seed: int) -> None:
    mask = render_screw(seed, size_px=SMALL, defect="scratch_neck")[1]
    _, dims = pose_and_dimensions(seed)
    along, across = along_and_across(seed, mask)
    lean = dims.neck_radius * np.sin(dims.tilt)  # height above the axis shows as a shift along it
    assert along.min() > dims.neck_start - 4
    assert along.max() < dims.neck_end + lean + 4
    assert np.abs(across).max() < dims.neck_radius + 4
    assert 40 <= np.ptp(along) <= 140


@pytest.mark.parametrize("seed", range(100, 106))
def test_a_scratch_changes_the_picture_inside_its_mask_only(seed: int) -> None:
    good, _ = render_screw(seed, size_px=SMALL)
    scratched, mask = render_screw(seed, size_px=SMALL, defect="scratch_neck")
    changed = np.abs(good.astype(int) - scratched).max(axis=2)
    near = cv2.dilate(mask, np.ones((7, 7), np.uint8)) > 0
    assert not changed[~near].any()
    assert changed[mask > 0].mean() > 4


def test_a_scratch_is_seen_at_full_size_and_nothing_else_changes() -> None:
    good, _ = render_screw(101)
    scratched, mask = render_screw(101, defect="scratch_neck")
    changed = np.abs(good.astype(int) - scratched).max(axis=2)
    near = cv2.dilate(mask, np.ones((9, 9), np.uint8)) > 0
    assert not changed[~near].any()
    assert np.percentile(changed[mask > 0], 75) > 15


def test_a_data_set_has_the_layout_of_mvtec_ad(tmp_path: Path) -> None:
    write_small(tmp_path / "screws")
    assert list(pngs(tmp_path / "screws")) == [
        "ground_truth/scratch_neck/000_mask.png",
        "test/good/000.png",
        "test/scratch_neck/000.png",
        "train/good/000.png",
        "train/good/001.png",
    ]
    image = cv2.imread(str(tmp_path / "screws/test/scratch_neck/000.png"))
    mask = cv2.imread(str(tmp_path / "screws/ground_truth/scratch_neck/000_mask.png"), cv2.IMREAD_UNCHANGED)
    assert image is not None
    assert mask is not None
    assert image.shape == (64, 64, 3)
    assert mask.shape == (64, 64)
    assert mask.any()


def test_the_same_seed_writes_the_same_files_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_small(tmp_path / name, seed)
    a, b, c = (pngs(tmp_path / name) for name in "abc")
    assert a == b
    assert not set(a.values()) & set(c.values())


def test_no_two_pictures_of_a_data_set_share_a_seed() -> None:
    shots = plan_shots(train_good=300, test_good=100, test_defect=100, seed=1, defect="scratch_neck")
    assert len({shot.seed for shot in shots}) == 500


def test_a_larger_data_set_starts_with_the_pictures_of_a_smaller_one() -> None:
    few = plan_shots(train_good=2, test_good=1, test_defect=1, seed=1, defect="scratch_neck")
    many = plan_shots(train_good=9, test_good=9, test_defect=9, seed=1, defect="scratch_neck")
    assert set(few) <= set(many)


def test_a_folder_with_data_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "screws").mkdir()
    (tmp_path / "screws" / "mine.txt").write_text("keep")
    with pytest.raises(ValueError, match="name another or remove it"):
        write_small(tmp_path / "screws")
    assert [p.name for p in tmp_path.rglob("*")] == ["screws", "mine.txt"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "screws").mkdir()
    write_small(tmp_path / "screws")
    assert len(pngs(tmp_path / "screws")) == 5


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_nothing_is_left_behind_when_interrupted(tmp_path: Path, stop: type[BaseException]) -> None:
    def interrupt(shots: Iterable[Any]) -> Iterator[Any]:
        yield next(iter(shots))
        raise stop

    with pytest.raises(stop):
        write_small(tmp_path / "screws", progress=interrupt)
    assert not list(tmp_path.iterdir())


def test_progress_sees_every_picture_once(tmp_path: Path) -> None:
    seen = []

    def watch(shots: Iterable[Any]) -> Iterator[Any]:
        for shot in shots:
            seen.append(shot)
            yield shot

    write_small(tmp_path / "screws", progress=watch)
    assert len(seen) == 4
