"""The pictures as mmdet reads them, what is done to them on the way, and the figure that says what is best."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.images import read_image
from tests import tiny
from trainer.annotations.types import Picture
from trainer.detection.augment import Strength
from trainer.detection.config import train_config
from trainer.detection.parts import PartAugment, fitness
from trainer.detection.plan import Plan
from trainer.detection.prepare import Prepared, prepare, scaled

PLAN = Plan(steps=4, batch=2, learning_rate=1e-3, seed=0, rotation_deg=8, patience=3, validate_every=2)


class Boxes:
    """What mmdet's boxes are as far as is looked at: none."""

    def __init__(self, tensor=None) -> None:
        import torch

        self.tensor = torch.zeros(0, 4) if tensor is None else tensor


def picture(folder: Path, name: str, size: tuple[int, int], boxes=(), labels=()) -> Picture:
    noise = np.random.default_rng(len(name)).integers(90, 110, (*size, 3), np.uint8)
    tiny.write_image(folder / name, noise)
    return Picture(folder / name, *size, np.array(boxes, np.float32).reshape(-1, 4), tuple(labels))


@pytest.fixture
def pictures(tmp_path) -> tuple[list[Picture], list[Picture]]:
    """Ten good ones and one bad one of two classes to learn from, one of each to measure on."""
    good = [picture(tmp_path, f"good{i}.png", (200, 400)) for i in range(10)]
    bad = picture(tmp_path, "bad.png", (200, 400), [(40, 80, 120, 100), (0, 0, 400, 200)], ["dent", "scratch"])
    held = [picture(tmp_path, "held.png", (300, 100))]
    held.append(picture(tmp_path, "held_bad.png", (300, 100), [(9, 30, 19, 60)], ["dent"]))
    return [*good, bad], held


@pytest.fixture
def prepared(pictures, tmp_path) -> Prepared:
    return prepare(*pictures, ("dent", "scratch"), 96, tmp_path / "data")


def read_coco(path: Path):
    coco = json.loads(path.read_text())
    assert [entry["id"] for entry in coco["images"]] == list(range(len(coco["images"])))
    ids = [item["id"] for item in coco["annotations"]]
    assert len(set(ids)) == len(ids)
    assert 0 not in ids
    by_id = {entry["id"]: entry for entry in coco["images"]}
    for item in coco["annotations"]:
        left, top, width, height = item["bbox"]
        assert left >= 0
        assert top >= 0
        assert left + width <= by_id[item["image_id"]]["width"] + 1e-6
        assert top + height <= by_id[item["image_id"]]["height"] + 1e-6
        assert item["area"] == pytest.approx(width * height)
    return coco


def test_pictures_are_as_large_as_the_network_sees_them_and_boxes_lie_where_they_lay(prepared):
    coco = read_coco(prepared.train_json)
    assert {(entry["height"], entry["width"]) for entry in coco["images"]} == {(48, 96)}
    for entry in coco["images"]:
        assert read_image(prepared.folder / "images" / entry["file_name"]).shape == (48, 96, 3)
    found = {item["category_id"]: item["bbox"] for item in coco["annotations"]}
    np.testing.assert_allclose(found[1], [9.6, 19.2, 19.2, 4.8], atol=1e-5)
    np.testing.assert_allclose(found[2], [0, 0, 96, 48], atol=1e-5)
    assert [(c["id"], c["name"]) for c in coco["categories"]] == [(1, "dent"), (2, "scratch")]
    assert [(entry["height"], entry["width"]) for entry in read_coco(prepared.val_json)["images"]] == [(96, 32)] * 2


def test_few_defects_are_drawn_more_often_and_held_out_ones_once(prepared):
    coco = read_coco(prepared.train_json)
    bad = {item["image_id"] for item in coco["annotations"]}
    assert len(bad) / len(coco["images"]) >= 0.4
    assert len({coco["images"][i]["file_name"] for i in bad}) == 1
    assert len(coco["annotations"]) == 2 * len(bad)
    assert len(read_coco(prepared.val_json)["annotations"]) == 1


def test_enough_defects_are_drawn_once(tmp_path):
    bad = [picture(tmp_path, f"bad{i}.png", (50, 50), [(1, 1, 20, 20)], ["dent"]) for i in range(4)]
    prepared = prepare([picture(tmp_path, "a.png", (50, 50)), *bad], bad[:1], ("dent",), 96, tmp_path / "data")
    assert len(read_coco(prepared.train_json)["images"]) == 5


@pytest.mark.parametrize("box", [(100, 10, 101, 190), (10, 199, 390, 200), (399, 0, 400, 1), (0, 0, 1, 1)])
def test_a_scratch_finer_than_the_networks_pixels_keeps_its_box(tmp_path, mmdet, box):
    """mmdet drops a box that is under a pixel wide without a word: the part would be taught as a good one."""
    thin = picture(tmp_path, "thin.png", (200, 400), [box], ["dent"])
    good = picture(tmp_path, "good.png", (200, 400))
    prepared = prepare([good, thin], [good, thin], ("dent",), 96, tmp_path / "data")
    (entry,) = read_coco(prepared.val_json)["annotations"]
    left, top, width, height = entry["bbox"]
    assert min(width, height) >= 3
    middle = np.array([left + width / 2, top + height / 2]) * 400 / 96
    assert np.abs(middle - np.reshape(box, (2, 2)).mean(axis=0)).max() < 1.5 * 400 / 96
    for dataset in datasets(prepared):
        assert sum(len(dataset.get_data_info(i)["instances"]) for i in range(len(dataset))) == 1


def datasets(prepared: Prepared):
    """mmdet's own, of the training and of the validation."""
    from mmdet.registry import DATASETS

    config = train_config("rtmdet-tiny", prepared, PLAN, prepared.folder / "work")
    return [DATASETS.build(config[name].dataset) for name in ("train_dataloader", "val_dataloader")]


def test_a_scaled_picture_is_the_frame_without_filling():
    image = np.zeros((100, 50, 3), np.uint8)
    image[:, :, 0], image[:50, :, 2] = 200, 100
    small = scaled(image, 96)
    assert small.shape == (96, 48, 3)
    assert small[:40].reshape(-1, 3).tolist() == [[200, 0, 100]] * (40 * 48)
    assert small[-40:].reshape(-1, 3).tolist() == [[200, 0, 0]] * (40 * 48)


@pytest.mark.usefixtures("mmdet")
def test_a_picture_goes_through_mmdets_pipeline_with_its_boxes_in_it(prepared):
    learn, measure = datasets(prepared)
    assert len(learn) == len(read_coco(prepared.train_json)["images"]), "good ones are not filtered out"
    np.random.seed(0)
    counts = set()
    for i in range(len(learn)):
        item = learn[i]
        assert tuple(item["inputs"].shape) == (3, 96, 96)
        boxes = item["data_samples"].gt_instances.bboxes.tensor
        counts.add(len(boxes))
        assert (boxes >= 0).all()
        assert (boxes <= 96).all()
        assert len(item["data_samples"].gt_instances.labels) == len(boxes)
    assert 0 in counts
    assert max(counts) >= 1
    shown = measure[1]
    assert tuple(shown["inputs"].shape) == (3, 96, 96)
    assert shown["data_samples"].img_shape == (96, 96)
    assert len(shown["data_samples"].gt_instances.bboxes) == 1


@pytest.mark.usefixtures("mmdet")
def test_numpys_seed_makes_the_variation_the_same_again(prepared):
    def drawn(seed):
        np.random.seed(seed)
        return learn[len(learn) - 1]["inputs"].numpy()

    learn, _ = datasets(prepared)
    assert np.array_equal(drawn(1), drawn(1))
    assert not np.array_equal(drawn(1), drawn(2))


def test_each_defect_is_cut_out_once_and_as_many_pieces_of_good_parts_are(prepared):
    patches = PartAugment(str(prepared.folder), 8).patches
    assert sorted(patch.label for patch in patches) == [-1, -1, 0, 1]
    for patch in patches[:2]:
        left, top, right, bottom = patch.box
        assert 0 <= left < right <= patch.pixels.shape[1]
        assert 0 <= top < bottom <= patch.pixels.shape[0]


def test_a_class_that_is_on_every_picture_has_no_pieces_of_good_parts(tmp_path):
    bad = picture(tmp_path, "bad.png", (50, 50), [(10, 10, 20, 20)], ["dent"])
    prepared = prepare([bad], [bad], ("dent",), 96, tmp_path / "data")
    assert [patch.label for patch in PartAugment(str(prepared.folder), 8).patches] == [0]


@pytest.mark.parametrize(("many", "share"), [(100, 1), (2, 1), (1, 0.5)])
def test_the_more_defects_are_annotated_the_fewer_are_pasted(prepared, monkeypatch, many, share):
    drawn = []
    monkeypatch.setattr("trainer.detection.parts._MANY", many)
    monkeypatch.setattr("trainer.detection.parts.augmented", lambda sample, *rest: drawn.append(rest[-1]) or sample)
    coco = json.loads(prepared.train_json.read_text())
    results = {"img": read_image(prepared.folder / "images" / coco["images"][0]["file_name"])}
    PartAugment(str(prepared.folder), 8)(results | {"gt_bboxes": Boxes(), "gt_bboxes_labels": []})
    assert drawn[0].paste == pytest.approx(share * Strength().paste)


def test_fitness_is_the_distance_of_the_means_in_standard_deviations():
    found = fitness([0.5, 0.5], [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-4))])
    assert found["auc"] == 1
    assert found["fitness"] == pytest.approx(3 / math.sqrt(0.5 + 1))


def test_fitness_goes_on_growing_where_the_area_is_1_already():
    assert fitness([0.1], [0.9])["fitness"] > fitness([0.1], [0.5])["fitness"] > 1


def test_scores_that_are_apart_by_chance_are_no_fitness():
    assert fitness([0.0101, 0.0102], [0.0103, 0.0104])["fitness"] < 0.05
    assert fitness([0, 0], [0])["fitness"] == 0


@pytest.mark.parametrize(("good", "bad"), [([], [0.9]), ([0.1], [])])
def test_without_one_of_both_kinds_there_is_no_fitness(good, bad):
    assert fitness(good, bad)["fitness"] == -math.inf


@pytest.mark.parametrize("steps", [1, 2, 3, 1200])
def test_learning_rates_of_few_steps_and_of_many_can_be_planned(mmdet, prepared, torch, steps):
    from dataclasses import replace

    from mmdet.registry import PARAM_SCHEDULERS

    config = train_config("rtmdet-tiny", prepared, replace(PLAN, steps=steps), prepared.folder / "work")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    schedules = [PARAM_SCHEDULERS.build(one, default_args={"optimizer": optimizer}) for one in config.param_scheduler]
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for schedule in schedules:
            schedule.step()
    assert 0 < rates[0] < 1e-3
    assert max(rates) <= 1e-3
    if steps > 100:
        assert max(rates) == pytest.approx(1e-3)
        assert rates[-1] == pytest.approx(5e-5, rel=0.1)


def test_a_picture_with_its_box_is_whole_on_disk(prepared):
    files = sorted((prepared.folder / "images").iterdir())
    assert len(files) == 13
    assert all(cv2.imread(str(file)) is not None for file in files)
