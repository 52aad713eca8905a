"""The command that shows what conditions do: its sheets, its words and its refusals."""

import numpy as np
import pytest

from models.images import read_image
from tests import tiny
from tests.trainer.conftest import refusal_of, said_by
from tests.trainer.marked import marked_set
from tests.trainer.test_conditions import EIGHT
from trainer.conditions import KINDS, parse_conditions
from trainer.conditions.sheets import OVERVIEW, draw_sheets
from trainer.conditions.shown import choose
from trainer.synth.parts import write_parts

TILE_PX, CAPTION_PX = 340, 34


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return marked_set(tmp_path_factory.mktemp("data") / "bars", n_good=3, n_bad=6, n_test=1)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "parts"
    write_parts(out, good=3, damaged=5, seed=3, size_px=96)
    return out


def arguments(data, out, *more):
    return [str(argument) for argument in ["conditions", "--data", data, "--out", out, *more]]


def test_there_is_a_sheet_for_each_condition_and_one_of_all(data, tmp_path):
    said = said_by(arguments(data, tmp_path / "sheets"))
    assert said == f"conditions: 15, each on 6 pictures\ndrawn: {tmp_path / 'sheets'}\n"
    names = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    wanted = [f"{number:02d}_{name}.jpg" for number, name in enumerate([*EIGHT, *KINDS[3:]], 1)]
    assert names == [*wanted, OVERVIEW]
    assert read_image(tmp_path / "sheets" / OVERVIEW).shape == (3 * (2 * TILE_PX + CAPTION_PX), 5 * TILE_PX, 3)


def test_a_sheet_shows_each_picture_before_beside_after(data, tmp_path):
    said_by(arguments(data, tmp_path / "sheets", "--conditions", "original,brightness:1"))
    same, lit = (read_image(tmp_path / "sheets" / name) for name in ("01_original.jpg", "02_brightness-1.jpg"))
    assert same.shape == lit.shape == (6 * (TILE_PX + CAPTION_PX), 4 * TILE_PX, 3)
    for row in range(6):
        rows = np.s_[row * (TILE_PX + CAPTION_PX) + CAPTION_PX : (row + 1) * (TILE_PX + CAPTION_PX)]
        assert apart(same[rows, :TILE_PX], same[rows, TILE_PX : 2 * TILE_PX]) < 2
        assert apart(lit[rows, :TILE_PX], lit[rows, TILE_PX : 2 * TILE_PX]) > 8
        assert apart(lit[rows, :TILE_PX], same[rows, :TILE_PX]) < 2


def apart(one, other) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def test_only_the_conditions_named_are_drawn_and_the_seed_counts(data, tmp_path):
    sheets = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        said_by(arguments(data, tmp_path / name, "--conditions", "position", "--seed", seed))
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["01_position.jpg", OVERVIEW]
        sheets[name] = (tmp_path / name / "01_position.jpg").read_bytes()
    assert sheets["a"] == sheets["b"] != sheets["c"]


def test_good_pictures_come_first_and_then_defects_with_their_masks(data):
    shown = choose(data)
    assert [item.is_good for item in shown] == [True] * 2 + [False] * 4
    assert [item.name for item in shown[:3]] == ["train/good/000.png", "train/good/001.png", "test/mark/000.png"]
    assert len({item.name for item in shown}) == 6
    for item in shown:
        assert (item.picture.mask is None) == item.is_good
    assert set(np.unique(shown[2].picture.mask)) == {0, 255}


def test_kinds_of_defects_take_turns(tmp_path):
    for name in ("good", "bent", "cut", "dull"):
        for number in range(5):
            tiny.write_image(tmp_path / name / f"{number}.png", tiny.frame(tiny.NG))
    assert [item.name for item in choose(tmp_path)[2:]] == ["bent/0.png", "cut/0.png", "dull/0.png", "bent/1.png"]


def test_where_there_are_boxes_they_are_shown_with_their_classes(parts, tmp_path):
    shown = choose(parts)
    bad = [item.picture for item in shown if not item.is_good]
    assert len(bad) == 4
    assert all(len(picture.boxes) == len(picture.labels) > 0 for picture in bad)
    said_by(arguments(parts, tmp_path / "sheets", "--conditions", "jpeg"))
    sheet = read_image(tmp_path / "sheets/01_jpeg.jpg").astype(int)
    red = (sheet[:, :, 2] - sheet[:, :, 1] > 60).reshape(len(shown), -1, sheet.shape[1])
    assert (red[2:, CAPTION_PX:].sum(axis=(1, 2)) > 100).all()


def test_a_row_says_when_no_background_could_be_told(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    tiny.write_image(tmp_path / "data/good/0.png", noise)
    captions = []
    for name in ("background", "noise"):
        said_by(arguments(tmp_path / "data", tmp_path / name, "--conditions", name))
        captions.append(read_image(tmp_path / name / f"01_{name}.jpg")[:CAPTION_PX])
    ends = [int(np.nonzero(caption.max(axis=(0, 2)) > 100)[0].max()) for caption in captions]
    assert ends[0] > ends[1] + 200


def test_good_pictures_alone_and_pictures_of_any_shape_are_shown(tmp_path):
    tiny.write_image(tmp_path / "data/good/0.png", tiny.frame(tiny.NG, 8, 8))
    tiny.write_image(tmp_path / "data/good/1.png", tiny.frame(tiny.NG, 60, 900))
    assert "each on 2 pictures" in said_by(arguments(tmp_path / "data", tmp_path / "sheets"))


def test_what_is_no_condition_is_refused_with_the_names_and_nothing_is_made(data, tmp_path):
    said = refusal_of(arguments(data, tmp_path / "sheets", "--conditions", "position,fog"), 2)
    assert "'fog' is none; wanted original, or with + between them: position, brightness, background," in said
    assert refusal_of(arguments(data, tmp_path / "sheets", "--conditions", ""), 2)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_and_one_in_the_data_are_refused(data, tmp_path):
    (tmp_path / "there").mkdir()
    assert "exists already" in refusal_of(arguments(data, tmp_path / "there"), 2)
    assert "lies in the data" in refusal_of(arguments(data, data / "sheets"), 2)
    assert list((tmp_path / "there").iterdir()) == []
    assert not (data / "sheets").exists()


def test_a_folder_without_pictures_is_refused(tmp_path):
    assert "no such folder" in refusal_of(arguments(tmp_path / "none", tmp_path / "sheets"), 1)
    assert not (tmp_path / "sheets").exists()


def test_a_mask_of_another_size_than_its_image_is_refused(tmp_path):
    data = marked_set(tmp_path / "data", n_good=1, n_bad=1, n_test=0)
    tiny.write_image(data / "ground_truth/mark/000_mask.png", np.zeros((50, 60, 3), np.uint8))
    said = refusal_of(arguments(data, tmp_path / "sheets"), 1)
    assert "000_mask.png: 60 x 50 px, its image has 128 x 128 px; export the mask in full size" in said
    assert not (tmp_path / "sheets").exists()


def test_what_stops_the_drawing_leaves_nothing(data, tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    shown = choose(data)
    monkeypatch.setattr("trainer.conditions.sheets.write_jpeg", full_disk)
    with pytest.raises(OSError, match="No space left"):
        draw_sheets(shown, parse_conditions("jpeg"), tmp_path / "sheets", 0)
    assert list(tmp_path.iterdir()) == []
