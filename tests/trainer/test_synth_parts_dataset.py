"""Folders of made-up parts: their boxes are read back as they were drawn, and nothing half-done stays."""

import json

import cv2
import numpy as np
import pytest

from trainer.annotations import check_enough, read_annotations
from trainer.cli import main
from trainer.synth.parts import KINDS, render_part, write_parts
from trainer.synth.parts.dataset import plan_shots
from trainer.synth.scene import render_screw

SIZE_PX = 96


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "parts"
    write_parts(out, good=20, damaged=40, seed=3, size_px=SIZE_PX)
    return out


def test_the_reader_of_annotations_finds_every_defect_and_what_is_held_out(folder):
    found = read_annotations(folder)
    assert (found.source, len(found.good), len(found.bad)) == ("coco", 20, 40)
    assert found.classes == KINDS
    assert sorted(p.is_good for p in found.pictures if p.held_out) == [False, False, True]
    check_enough(found)


def test_a_box_is_the_edge_of_what_changed(folder):
    (picture,) = (p for p in read_annotations(folder).bad if p.path.name == "damaged_00002.png")
    photo = render_part(3_000_002, 1, size_px=SIZE_PX, damages=3)
    assert (cv2.imread(str(picture.path)) == photo.image).all()
    assert list(picture.labels) == [damage.kind for damage in photo.damages]
    for box, damage in zip(picture.boxes, photo.damages, strict=True):
        rows, columns = np.nonzero(damage.mask)
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_a_larger_set_of_the_same_seed_shows_the_same_parts(folder, tmp_path):
    write_parts(tmp_path / "small", good=2, damaged=2, seed=3, size_px=SIZE_PX)
    for name in ("train/good_00000.png", "train/damaged_00000.png"):
        assert (tmp_path / "small" / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize(("of", "held_out"), [(1, 0), (2, 1), (40, 2), (100, 5)])
def test_a_twentieth_is_held_out_and_never_the_only_one(of, held_out):
    shots = plan_shots(good=of, damaged=of, seed=0)
    assert sum(shot.file.startswith("val/") for shot in shots) == 2 * held_out


def test_every_second_screw_is_scratched_and_its_box_is_around_the_scratch(tmp_path):
    write_parts(tmp_path / "parts", good=1, damaged=1, screws=4, seed=3, size_px=SIZE_PX)
    screws = {p.path.name: p for p in read_annotations(tmp_path / "parts").pictures if p.path.name.startswith("screw")}
    assert [screws[f"screw_{i:05d}.png"].labels for i in range(4)] == [(), ("scratch",), (), ("scratch",)]
    image, mask = render_screw(3_000_001, size_px=SIZE_PX, defect="scratch_neck")
    assert (cv2.imread(str(screws["screw_00001.png"].path)) == image).all()
    rows, columns = np.nonzero(mask)
    want = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert screws["screw_00001.png"].boxes.tolist() == [want]


def test_an_interruption_leaves_nothing(tmp_path):
    def interrupted(shots):
        yield from shots[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_parts(tmp_path / "parts", good=2, damaged=2, seed=0, size_px=SIZE_PX, progress=interrupted)
    assert not list(tmp_path.iterdir())


def test_the_command_renders_and_refuses_a_folder_that_is_there(tmp_path, capsys):
    arguments = [
        "render-parts",
        "--out",
        str(tmp_path / "parts"),
        "--good",
        "2",
        "--damaged",
        "2",
        "--image-size",
        "64",
    ]
    assert main(arguments) == 0
    assert len(json.loads((tmp_path / "parts/train.json").read_text())["images"]) == 2
    assert main(arguments) == 2
    assert "parts: is there already; name another folder or remove it" in capsys.readouterr().err
