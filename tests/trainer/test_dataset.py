import pytest

from models.errors import ConfigError, DatasetError
from tests import tiny
from trainer.dataset import choose_defects, scan


def names(paths):
    return [path.name for path in paths]


@pytest.fixture
def put(tmp_path):
    """Writes small images at places under the data folder, and returns the folder."""

    def write(*places):
        for place in places:
            tiny.write_image(tmp_path / place, tiny.frame(height_px=8, width_px=8))
        return tmp_path

    return write


def test_the_layout_of_mvtec_ad_is_read_by_role(put):
    root = put("train/good/b.png", "train/good/a.png", "test/good/c.png", "test/bent/d.png", "test/cut/e.jpg")
    found = scan(root)
    assert names(found.train_good) == ["a.png", "b.png"]
    assert names(found.test_good) == ["c.png"]
    assert {kind: names(paths) for kind, paths in found.defects.items()} == {"bent": ["d.png"], "cut": ["e.jpg"]}
    assert names(found.all_defects) == ["d.png", "e.jpg"]


def test_plain_folders_are_read_by_role(put):
    found = scan(put("good/a.png", "good/b.png", "bent/c.png"))
    assert names(found.train_good) == ["a.png", "b.png"]
    assert found.test_good == []
    assert {kind: names(paths) for kind, paths in found.defects.items()} == {"bent": ["c.png"]}


def test_the_limit_keeps_the_first_good_images_by_name(put):
    found = scan(put("train/good/3.png", "train/good/1.png", "train/good/2.png", "test/good/4.png"), limit=2)
    assert names(found.train_good) == ["1.png", "2.png"]
    assert names(found.test_good) == ["4.png"]


def test_good_images_of_plain_folders_beyond_the_limit_are_there_to_test_on(put):
    found = scan(put("good/1.png", "good/2.png", "good/3.png"), limit=2)
    assert names(found.train_good) == ["1.png", "2.png"]
    assert names(found.test_good) == ["3.png"]


@pytest.mark.parametrize("mask", ["000_mask.png", "000.png"])
@pytest.mark.parametrize("place", ["test/cut", "cut"])
def test_the_mask_of_a_defect_is_found_under_ground_truth(put, place, mask):
    good = "train/good/a.png" if place.startswith("test") else "good/a.png"
    root = put(good, f"{place}/000.png", f"{place}/001.png", f"ground_truth/cut/{mask}")
    assert scan(root).masks == {root / place / "000.png": root / "ground_truth/cut" / mask}


def test_the_folder_of_masks_is_no_kind_of_defect(put):
    assert list(scan(put("good/a.png", "cut/b.png", "ground_truth/cut/b.png", "masks/b.png")).defects) == ["cut"]


@pytest.mark.parametrize(("good", "cut"), [("train/good", "test/cut"), ("good", "cut")])
def test_hidden_files_and_files_that_are_no_images_are_ignored(put, good, cut):
    root = put(f"{good}/a.png", f"{good}/.b.png", f"{cut}/c.png", f"{cut}/.thumbs/d.png")
    for name in ("Thumbs.db", "notes.txt", "a.png.part"):
        (root / good / name).write_text("no image")
    found = scan(root)
    assert names(found.train_good) == ["a.png"]
    assert names(found.all_defects) == ["c.png"]


@pytest.mark.parametrize(("good", "around"), [("train/good/a.png", "test"), ("good/a.png", ".")])
def test_hidden_and_empty_folders_are_no_kind_of_defect(put, good, around):
    root = put(good, f"{around}/.ipynb_checkpoints/b.png", f"{around}/cut/c.png")
    (root / around / "empty").mkdir()
    assert list(scan(root).defects) == ["cut"]


def test_suffixes_of_any_case_are_images(put):
    assert names(scan(put("good/a.PNG", "good/b.Jpeg")).train_good) == ["a.PNG", "b.Jpeg"]


def test_a_missing_folder_is_refused_with_what_was_wanted(tmp_path):
    with pytest.raises(DatasetError, match=r"none: no such folder; wanted train/good/.* or good/"):
        scan(tmp_path / "none")


def test_a_file_in_the_place_of_the_folder_is_refused(put):
    with pytest.raises(DatasetError, match=r"a\.png: no such folder"):
        scan(put("good/a.png") / "good/a.png")


@pytest.mark.parametrize("folder", ["train/good", "good", "elsewhere"])
def test_a_folder_without_images_is_refused(tmp_path, folder):
    (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"no images, good parts are what is learned from; wanted"):
        scan(tmp_path)


@pytest.mark.parametrize("places", [("test/cut/a.png", "test/bent/b.png"), ("cut/a.png", "bent/b.png")])
def test_defects_only_are_refused_and_named(put, places):
    with pytest.raises(DatasetError, match=r"defects only \(bent, cut\), good parts are what is learned from"):
        scan(put(*places))


def test_without_a_name_all_defects_are_chosen_and_with_names_only_these(put):
    found = scan(put("good/a.png", "bent/b.png", "cut/c.png", "worn/d.png"))
    assert list(choose_defects(found, [])) == ["bent", "cut", "worn"]
    assert list(choose_defects(found, ["worn", "bent"])) == ["bent", "worn"]


def test_an_unknown_defect_is_refused_with_those_that_are_there(put):
    found = scan(put("good/a.png", "bent/b.png", "cut/c.png"))
    with pytest.raises(ConfigError, match="no defect 'cutt'; it has bent, cut"):
        choose_defects(found, ["cut", "cutt"])


def test_an_unknown_defect_where_there_is_none_is_refused(put):
    with pytest.raises(ConfigError, match="no defect 'cut'; it has none"):
        choose_defects(scan(put("good/a.png")), ["cut"])


LABEL = "0 0.5 0.5 0.5 0.5\n"


def label(root, *places):
    for place in places:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(LABEL)
    (root / "data.yaml").write_text("names: [cut]\n")
    return root


def test_images_with_boxes_are_read_by_role(put):
    places = ("images/train/a.png", "images/train/b.png", "images/val/c.png", "images/val/d.png")
    found = scan(label(put(*places), "labels/train/a.txt", "labels/val/c.txt"))
    assert names(found.train_good) == ["b.png"]
    assert names(found.test_good) == ["d.png"]
    assert {kind: names(paths) for kind, paths in found.defects.items()} == {"cut": ["a.png", "c.png"]}
    assert found.masks == {}


def test_boxes_in_folders_that_are_named_as_those_of_mvtec_ad_are_read(put):
    found = scan(label(put("train/images/a.png", "test/images/b.png", "test/images/c.png"), "test/labels/b.txt"))
    assert (names(found.train_good), names(found.test_good), names(found.all_defects)) == (
        ["a.png"],
        ["c.png"],
        ["b.png"],
    )


def test_good_parts_beside_images_with_boxes_are_good_parts_and_the_image_folder_is_no_defect(put):
    found = scan(label(put("good/a.png", "images/b.png"), "labels/b.txt"))
    assert names(found.train_good) == ["a.png"]
    assert list(found.defects) == ["cut"]


def test_good_images_without_boxes_beyond_the_limit_are_there_to_test_on(put):
    found = scan(label(put("images/a.png", "images/b.png", "images/c.png"), "labels/c.txt"), limit=1)
    assert (names(found.train_good), names(found.test_good)) == (["a.png"], ["b.png"])


def test_boxes_do_not_change_how_mvtec_ad_is_read(put):
    root = put("train/good/a.png", "test/cut/b.png")
    assert scan(label(root, "test/cut/b.txt")) == scan(root)
    assert scan(root).defects == {"cut": [root / "test/cut/b.png"]}


def test_boxes_on_all_images_are_refused(put):
    with pytest.raises(DatasetError, match="boxes on all images, good parts are what is learned from"):
        scan(label(put("images/a.png"), "labels/a.txt"))


def test_what_is_wrong_with_the_boxes_is_what_a_scan_says(put):
    with pytest.raises(DatasetError, match=r"labels/gone\.txt: no image has this name"):
        scan(label(put("images/a.png"), "labels/gone.txt"))


def test_a_folder_of_images_without_boxes_is_refused_as_ever(put):
    with pytest.raises(DatasetError, match=r"defects only \(images\), good parts are what is learned from; wanted"):
        scan(put("images/a.png"))
