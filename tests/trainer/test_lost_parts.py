"""Pictures in which no part was found: `unknown` on the line, and no part of any threshold."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.errors import DatasetError
from models.images import read_image
from models.manifest import Augmentation
from models.prediction import Image, Prediction
from models.upright import View
from tests import keys, tiny
from tests.trainer.conftest import said_by
from tests.trainer.studies import make_study
from tests.trainer.test_study_report import ONE
from trainer import rethreshold
from trainer.dataset import scan
from trainer.evaluate import NO_PART, Scored, score_images
from trainer.export import defaced
from trainer.golden import golden_images
from trainer.good import Good, Judged
from trainer.looks import Looks, choose_looks
from trainer.pictures import draw_report
from trainer.policy import false_rejects_at
from trainer.proof import put_threshold
from trainer.study.aupro import aupro_of
from trainer.study.report.histogram import draw_histogram
from trainer.study.report.write import words_of

AS_THEY_ARE = Looks(Augmentation(angles_deg=(0.0,), shift=0, brightness=0))
WHOLE = np.array([[1.0, 0, 0], [0, 1, 0]])


def scored(path: Path, label: str, score: float, lost: str | None = None) -> Scored:
    heat = np.full((8, 8), score, np.float32)
    prediction = Prediction(math.nan if lost else score, heat, tiny.SIDE_PX, tiny.SIDE_PX, 0, 0, lost=lost)
    return Scored(tiny.write_image(path, tiny.frame(int(9 * score))), path.stem.ljust(64, "0"), label, prediction)


@pytest.fixture
def good(tmp_path) -> Scored:
    return scored(tmp_path / "good/a.png", "good", 1.5)


@pytest.fixture
def hole(tmp_path) -> Scored:
    return scored(tmp_path / "hole/b.png", "hole", 5.0)


@pytest.fixture
def lost_good(tmp_path) -> Scored:
    return scored(tmp_path / "good/c.png", "good", 0, "no part")


@pytest.fixture
def lost_hole(tmp_path) -> Scored:
    return scored(tmp_path / "hole/d.png", "hole", 0, "no part")


def test_a_threshold_rests_on_no_picture_without_a_part(good, hole, lost_good, lost_hole):
    """Their score stands for `unknown`: a threshold beside it would lie above every part, and all would pass."""
    held_out = [1.0, 2.0]
    assert put_threshold("auto", held_out, [good, hole, lost_hole, lost_good]) == put_threshold(
        "auto", held_out, [good, hole]
    )
    assert put_threshold("normal_quantile", held_out, [good, lost_good]).ng_at_or_above < 100
    assert put_threshold("auto", held_out, [lost_hole]).policy == "normal_quantile"


def test_where_all_defects_or_all_good_parts_are_lost_it_is_said(hole, lost_good, lost_hole):
    with pytest.raises(DatasetError, match="needs images of defects"):
        put_threshold("recall_1", [1.0, 2.0], [lost_hole])
    with pytest.raises(DatasetError, match="in no good image that was not learned from a part was found"):
        put_threshold("auto", [], [lost_good, hole])


def test_a_new_threshold_rests_on_none_either_and_a_person_is_told(tmp_path, monkeypatch):
    """59 good parts prove a share of 5 %; that with one more that is lost nothing lies above is what went wrong."""
    made = tiny.make_bundle(tmp_path / "old.bundle")
    for name, greys in (("good", range(30, 90)), ("spot", range(120, 180))):
        for grey in greys:
            tiny.write_image(tmp_path / f"data/{name}/{grey:03}.png", tiny.frame(grey))

    def first_lost(*arguments: object) -> list[Scored]:
        first, *others = score_images(*arguments)  # type: ignore[arg-type]
        return [replace(first, prediction=replace(first.prediction, score=math.nan, lost="no part")), *others]

    monkeypatch.setattr(rethreshold, "score_images", first_lost)
    arguments = ["threshold", made, "--data", tmp_path / "data", "--policy", "false_rejects", "--false-rejects", "0.05"]
    words = said_by([str(argument) for argument in arguments])
    assert words.startswith("59 good, 60 defects")
    assert "note: 1 image(s) left out, as no part was found; they are unknown at any threshold" in words
    assert f"{false_rejects_at([grey / 255 for grey in range(31, 90)], 0.05):.4g}" in words
    assert f"{NO_PART:g}" not in words


def test_golden_images_show_parts(good, hole, lost_good, lost_hole):
    images, said = Good([good.path], [read_image(good.path)], ()), list[str]()
    made = golden_images(images, Judged([], [], [lost_good, good, lost_hole, hole]), AS_THEY_ARE, said.append)
    assert (set(made), said) == ({"good", "defect", "defaced"}, [])
    assert np.array_equal(made["defect"], read_image(hole.path))
    assert np.array_equal(made["good"], read_image(good.path))


@dataclass
class Beside:
    """Finds the part at one side of the frame, or nothing."""

    mask: np.ndarray
    lost: str | None

    def view(self, frame: Image) -> View:
        return View(frame, WHOLE, self.lost)


def test_a_part_is_defaced_where_it_lies_also_where_it_has_no_middle():
    ring = np.ones((40, 60), np.uint8)
    ring[4:36, 4:56] = 0
    image = np.full((200, 300, 3), 99, np.uint8)
    x, y = replace(AS_THEY_ARE, upright=Beside(ring, None)).on_part(image)  # type: ignore[arg-type]
    assert ring[int(y), int(x)]
    made = defaced(image, (x, y))
    assert (made[int(y), int(x)] != 99).all()
    assert (made[100:, 150:] == 99).all()
    assert (defaced(image, (299, 0)) != image).any(axis=2).sum() == 33 * 33, "all of the square lies in the frame"


def test_without_any_golden_image_that_shows_a_part_nothing_is_made(good):
    nothing = replace(AS_THEY_ARE, upright=Beside(np.ones((8, 8), np.uint8), "no part"))  # type: ignore[arg-type]
    images = Good([good.path], [read_image(good.path)], ())
    with pytest.raises(DatasetError, match="in no image that a golden one could be made of a part was found"):
        golden_images(images, Judged([], [], [good]), nothing, print)


def test_it_is_drawn_as_what_it_is_and_stretches_no_histogram(good, hole, lost_hole, tmp_path):
    dataset = scan(tmp_path)
    for name, items in (("plain", [good, hole]), ("lost", [good, hole, lost_hole])):
        (tmp_path / name).mkdir()
        draw_report(tmp_path / name, dataset, items, [1.0, 2.0], 3.0)
    plain, lost = (cv2.imread(str(tmp_path / name / "histogram.png")) for name in ("plain", "lost"))
    assert np.array_equal(plain, lost)
    assert (tmp_path / "lost/hole_d.jpg").is_file()


def test_it_takes_no_room_in_the_histogram_of_a_study():
    cell = make_study(conditions=ONE[:1]).cells[0]
    more = cell.parts[0].model_copy(update={"score": NO_PART, "lost": True})
    with_it = cell.model_copy(update={"parts": (*cell.parts, more)})
    assert draw_histogram(with_it, words_of("en")) == draw_histogram(cell, words_of("en"))


def test_what_a_heatmap_shows_beside_a_part_that_was_not_found_is_not_measured(good, hole, lost_hole, tmp_path):
    mask = np.zeros((tiny.SIDE_PX, tiny.SIDE_PX, 3), np.uint8)
    mask[:20, :20] = 255
    path = tiny.write_image(tmp_path / "mask.png", mask)
    found = [
        (good, None),
        (replace(hole, prediction=replace(hole.prediction, heatmap=np.eye(8, dtype=np.float32))), path),
    ]
    assert aupro_of([*found, (lost_hole, path)]) == aupro_of(found)
    assert aupro_of([(good, None), (lost_hole, path)]) is None


def test_parts_of_which_the_line_would_often_say_that_they_are_none_are_not_laid_upright():
    """A model that answers `unknown` to one good part in ten would be switched off."""
    images, said = [*(keys.key(20 * n, seed=n) for n in range(5)), keys.key(0, (80, 0), seed=9)], list[str]()
    assert choose_looks(images, "auto", "auto", said.append).upright is None
    assert "of a part 85% lie in its image, 90% were wanted" in said[-1]


def test_frames_far_longer_than_wide_are_looked_at_as_they_are():
    frames = [np.full((20, 400, 3), 60 + n, np.uint8) for n in range(4)]
    with pytest.raises(DatasetError, match="the images, 400x20 px, are more than 12 times as long as wide"):
        choose_looks(frames, "on", "auto", print)
