"""Who learns and who measures, how large the network sees a part, and for how long it learns."""

from pathlib import Path

import numpy as np
import pytest

from models.errors import DatasetError
from trainer.annotations.types import Annotated, Picture
from trainer.detection.plan import LARGEST_PX, SMALLEST_PX, plan_training, rate_for, side_for, whole_cells
from trainer.detection.split import Split, split
from trainer.options import DetectionOptions
from trainer.pose import Pose

OPTIONS = DetectionOptions(data=Path("data"), out=Path("a.bundle"))


def picture(name: str, *labels: str, held_out: bool = False, box: tuple[float, ...] = (10, 10, 30, 20)) -> Picture:
    boxes = np.array([box] * len(labels), np.float32).reshape(-1, 4)
    return Picture(Path(name), 480, 640, boxes, labels, held_out)


def annotated(*pictures: Picture) -> Annotated:
    classes = tuple(sorted({label for p in pictures for label in p.labels}))
    return Annotated(Path("data"), "coco", classes, tuple(sorted(pictures, key=lambda p: p.path)), ())


def many(n_good: int = 20, **classes: int) -> list[Picture]:
    bad = [picture(f"{name}{i:03}", name) for name, count in classes.items() for i in range(count)]
    return [picture(f"good{i:03}") for i in range(n_good)] + bad


def check(parts: Split, given: Annotated) -> None:
    """No picture on both sides, good ones and every class on both."""
    sides = [{p.path for p in side} for side in (parts.learn, parts.held_out)]
    assert not sides[0] & sides[1]
    assert len(sides[0]) + len(sides[1]) == len(parts.learn) + len(parts.held_out), "none twice"
    for side in (parts.learn, parts.held_out):
        assert any(p.is_good for p in side)
        assert {name for p in side for name in p.labels} == set(given.classes)


@pytest.mark.parametrize("seed", range(5))
def test_every_class_and_good_ones_are_on_both_sides(seed):
    given = annotated(*many(2, dent=2, scratch=3, stain=30))
    parts = split(given, seed)
    check(parts, given)
    assert len(parts.learn) + len(parts.held_out) == len(given.pictures)


def test_a_fifth_is_held_out_where_the_data_has_no_split_of_its_own():
    parts = split(annotated(*many(50, dent=20)), 0)
    assert sum(p.is_good for p in parts.held_out) == 10
    assert sum(not p.is_good for p in parts.held_out) == 4
    assert len(parts.good) == 40


def test_the_datas_own_split_is_kept():
    own = [picture("good900", held_out=True), picture("dent900", "dent", held_out=True)]
    parts = split(annotated(*many(10, dent=10), *own), 0)
    assert {p.path.name for p in parts.held_out} == {"good900", "dent900"}


def test_where_the_own_split_lacks_a_class_some_of_it_are_held_out_too():
    given = annotated(*many(10, dent=10, scratch=5), picture("dent900", "dent", held_out=True))
    parts = split(given, 0)
    check(parts, given)
    assert sum(p.labels == ("dent",) for p in parts.held_out) == 1
    assert sum(p.labels == ("scratch",) for p in parts.held_out) == 1


@pytest.mark.parametrize("seed", range(8))
def test_a_class_is_not_held_out_as_a_whole_because_another_one_is_on_the_same_pictures(seed):
    given = annotated(*many(4), picture("a", "dent"), picture("b", "dent", "scratch"), picture("c", "scratch"))
    learned = {name for p in split(given, seed).learn for name in p.labels}
    assert learned == {"dent", "scratch"}


def test_same_seed_same_split_and_another_seed_another():
    given = annotated(*many(30, dent=30))
    held = [{p.path for p in split(given, seed).held_out} for seed in (3, 3, 4)]
    assert held[0] == held[1] != held[2]


def test_a_limit_keeps_the_first_good_ones_for_learning_and_all_that_measures():
    given = annotated(*many(30, dent=5))
    whole, limited = split(given, 0), split(given, 0, limit=4)
    assert limited.good == whole.good[:4]
    assert limited.held_out == whole.held_out
    assert [p for p in limited.learn if not p.is_good] == [p for p in whole.learn if not p.is_good]


def test_no_more_than_forty_good_ones_are_held_out():
    parts = split(annotated(*many(500, dent=5)), 0)
    assert sum(p.is_good for p in parts.held_out) == 40
    assert len(parts.good) == 400


def test_one_good_picture_cannot_be_on_both_sides():
    with pytest.raises(DatasetError, match=r"1 good picture, at least 2 are needed: .*; add pictures of good parts"):
        split(annotated(*many(1, dent=5)), 0)


@pytest.mark.parametrize(
    ("longest_px", "side_px"), [(640, SMALLEST_PX), (33, SMALLEST_PX), (30, 352), (20, 512), (2, LARGEST_PX)]
)
def test_the_network_sees_so_much_that_a_box_fills_two_cells(longest_px, side_px):
    side = side_for([picture("a", "dent", box=(0, 0, longest_px, 1)), picture("b", "dent", box=(0, 0, 1, longest_px))])
    assert side == side_px
    assert SMALLEST_PX <= side <= LARGEST_PX
    assert side % 32 == 0


@pytest.mark.parametrize(("given", "side_px"), [(1, 32), (32, 32), (33, 64), (100, 128), (320.5, 352), (4096, 4096)])
def test_a_side_is_the_next_multiple_of_the_coarsest_stride(given, side_px):
    assert whole_cells(given) == side_px


@pytest.mark.parametrize("has_gpu", [False, True])
def test_what_a_person_chose_is_kept_and_the_rest_follows_from_the_machine(monkeypatch, has_gpu):
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_gpu)
    still = Pose(rotation_deg=0, brightness=0)
    plain = plan_training(OPTIONS, still)
    assert (plain.workers > 0) == has_gpu
    assert plain.steps % plain.validate_every < plain.steps / 2
    chosen = DetectionOptions(data=Path("data"), out=Path("a.bundle"), steps=7, batch=3, seed=5)
    plan = plan_training(chosen, Pose(rotation_deg=180, brightness=0))
    assert (plan.steps, plan.batch, plan.seed, plan.validate_every) == (7, 3, 5, 1)
    assert plan.rotation_deg == 180 > plain.rotation_deg


def test_the_learning_rate_is_mmdets_for_its_batch_and_falls_with_the_root():
    assert rate_for(256) == pytest.approx(4e-3)
    assert rate_for(4) == pytest.approx(4e-3 / 8)
