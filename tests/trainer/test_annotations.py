"""What all formats of boxes share: finding the format, what is enough, roles, the command. Helpers of the others."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.errors import ConfigError, DatasetError
from models.images import read_image
from tests import tiny
from tests.trainer.conftest import said_by
from trainer.annotations import Annotated, Picture, as_dataset, check_enough, read_annotations
from trainer.annotations.boxes import size_of
from trainer.annotations.problems import Problems, RecordError
from trainer.annotations.tree import Tree, inside, is_held_out
from trainer.cli import main
from trainer.dataset import scan

WIDTH_PX, HEIGHT_PX = 40, 30


def write_images(root, *places, height_px=HEIGHT_PX, width_px=WIDTH_PX):
    for place in places:
        tiny.write_image(root / place, tiny.frame(height_px=height_px, width_px=width_px))
    return root


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def boxes_by_name(annotated: Annotated) -> dict[str, list]:
    """File name -> its boxes as (label, left, top, right, bottom)."""
    return {
        picture.path.name: [(label, *box) for label, box in zip(picture.labels, picture.boxes.tolist(), strict=True)]
        for picture in annotated.pictures
    }


def picture(name: str, *labels: str, held_out: bool = False) -> Picture:
    boxes = np.array([(i, 0, i + 5, 8) for i in range(len(labels))], np.float32).reshape(-1, 4)
    return Picture(Path(name), HEIGHT_PX, WIDTH_PX, boxes, labels, held_out)


def annotated(*pictures: Picture) -> Annotated:
    classes = tuple(sorted({label for item in pictures for label in item.labels}))
    return Annotated(Path("parts"), "coco", classes, pictures, ())


def write_coco(root, name="instances.json", images=("a.png", "b.png"), boxes=(("a.png", [4, 5, 10, 8]),)):
    """A small COCO file for images of 40 x 30 px; each box is (image, bbox)."""
    content = {
        "images": [
            {"id": index, "file_name": image, "width": WIDTH_PX, "height": HEIGHT_PX}
            for index, image in enumerate(images)
        ],
        "categories": [{"id": 7, "name": "scratch"}],
        "annotations": [
            {"id": index, "image_id": list(images).index(image), "category_id": 7, "bbox": bbox}
            for index, (image, bbox) in enumerate(boxes)
        ],
    }
    return write_text(root / name, json.dumps(content))


def write_yolo(root):
    write_images(root, "images/a.png", "images/b.png")
    write_text(root / "labels/a.txt", "0 0.5 0.5 0.5 0.5\n")
    write_text(root / "data.yaml", "names: [scratch]\n")
    return root


@pytest.fixture
def coco(tmp_path):
    """Two pictures, one with a box."""
    root = write_images(tmp_path / "parts", "a.png", "b.png")
    write_coco(root)
    return root


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="none: no such folder"):
        read_annotations(tmp_path / "none")


@pytest.mark.parametrize("places", [[], ["a.png"], ["good/a.png"]])
def test_a_folder_without_any_boxes_is_refused_with_what_was_wanted(tmp_path, places):
    with pytest.raises(DatasetError, match=r"nothing that says where the defects are; wanted a COCO \.json, .*YOLO"):
        read_annotations(write_images(tmp_path, *places))


def test_two_formats_at_once_are_refused_and_both_are_named_with_a_file(tmp_path):
    write_coco(write_yolo(tmp_path), images=(), boxes=())
    with pytest.raises(
        DatasetError, match=r"2 formats: COCO \(instances\.json\), YOLO \(labels/a\.txt\); move all but one"
    ):
        read_annotations(tmp_path)


def test_masks_beside_a_file_with_boxes_are_two_formats(coco):
    write_images(coco, "good/a.png", "cut/c.png", "ground_truth/cut/c.png")
    with pytest.raises(DatasetError, match=r"COCO \(instances\.json\), masks \(ground_truth/cut/c\.png\)"):
        read_annotations(coco)


def test_a_json_file_of_something_else_does_not_make_two_formats(tmp_path):
    write_text(write_yolo(tmp_path) / "package.json", '{"name": "tool"}')
    write_text(tmp_path / "broken.json", "{")
    assert read_annotations(tmp_path).source == "yolo"


@pytest.mark.parametrize("merge_px", [-1, float("nan"), float("inf")])
def test_a_merge_that_is_no_length_is_refused(coco, merge_px):
    with pytest.raises(ConfigError, match="a length of 0 or more pixels was wanted"):
        read_annotations(coco, merge_px)


def test_all_problems_are_counted_and_the_first_eight_are_shown():
    problems = Problems(Path("parts"))
    for line in range(1, 12):
        with problems.at(f"a.txt, line {line}"):
            raise RecordError(f"fault {line}")
    with pytest.raises(DatasetError) as raised:
        problems.raise_if_any()
    message = str(raised.value)
    assert message.startswith("parts: 11 problems in the annotations: a.txt, line 1: fault 1; a.txt, line 2: fault 2;")
    assert "fault 8; and 3 more; correct these" in message
    assert "fault 9" not in message


def test_without_a_problem_nothing_is_raised():
    Problems(Path("parts")).raise_if_any()


def test_notes_of_one_kind_are_one_line_with_their_number():
    problems = Problems(Path("parts"))
    for where in ("a", "b", "c"):
        problems.note("cut", where)
    problems.note("left out", "d")
    assert problems.notes == ("cut: 3 times, first a", "left out: d")


@pytest.mark.parametrize(
    "name", ["../a.png", "x/../../a.png", "/etc/a.png", "..\\a.png", "C:\\a.png", "\\\\s\\x\\a.png"]
)
def test_a_file_name_that_leads_out_of_the_folder_is_refused(name):
    with pytest.raises(RecordError, match="leads out of the folder"):
        inside(name)


@pytest.mark.parametrize("name", ["", ".", "a\0.png"])
def test_what_is_no_file_name_is_refused(name):
    with pytest.raises(RecordError, match="is no file name"):
        inside(name)


def test_a_windows_path_below_the_folder_is_understood():
    assert inside(".\\front\\a.png") == Path("front/a.png")


@pytest.mark.parametrize(
    "name", ["instances_val2017.json", "images/val/a.png", "valid/a.png", "my-test/a", "Test.json"]
)
def test_val_and_test_as_words_mean_held_out(name):
    assert is_held_out(Path(name))


@pytest.mark.parametrize("name", ["values.json", "latest/a.png", "interval", "train/a.png", "tests/a.png"])
def test_val_and_test_inside_of_other_words_mean_nothing(name):
    assert not is_held_out(Path(name))


def test_a_link_back_up_does_not_make_the_search_endless(coco):
    (coco / "again").symlink_to(coco, target_is_directory=True)
    assert len(Tree.of(coco).images) == 2


def test_hidden_files_and_folders_are_not_searched(coco):
    write_images(coco, ".trash/c.png", ".d.png")
    assert sorted(boxes_by_name(read_annotations(coco))) == ["a.png", "b.png"]


def test_a_file_that_is_no_image_is_one_of_the_problems(coco):
    (coco / "b.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"1 problem in the annotations: .*b\.png: 8 bytes that are no whole image"):
        read_annotations(coco)


@pytest.mark.parametrize("suffix", [".bmp", ".jpg", ".png", ".ppm", ".tif", ".webp"])
def test_the_size_in_the_header_is_that_of_the_pixels_in_every_kind_of_file(tmp_path, suffix):
    write_images(tmp_path, f"a{suffix}")
    assert size_of(tmp_path / f"a{suffix}") == read_image(tmp_path / f"a{suffix}").shape[:2] == (HEIGHT_PX, WIDTH_PX)


def test_the_size_is_that_of_the_stored_pixels_whatever_the_exif_tag_says(tmp_path):
    from PIL import Image

    tags = Image.Exif()
    tags[0x0112] = 6  # turned by 90 degrees
    Image.new("RGB", (WIDTH_PX, HEIGHT_PX)).save(tmp_path / "a.jpg", exif=tags)
    assert size_of(tmp_path / "a.jpg") == read_image(tmp_path / "a.jpg").shape[:2] == (HEIGHT_PX, WIDTH_PX)


def test_a_size_that_pillow_refuses_to_look_at_comes_from_the_pixels(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # a line scan camera's images are above the real one
    assert size_of(write_images(tmp_path, "a.png") / "a.png") == (HEIGHT_PX, WIDTH_PX)


def test_two_pictures_of_each_class_and_a_good_one_are_enough():
    check_enough(annotated(picture("a", "cut"), picture("b", "cut", "cut"), picture("c")))


def test_no_box_at_all_is_not_enough():
    with pytest.raises(DatasetError, match="parts: 1 pictures and no box; draw boxes on the defects"):
        check_enough(annotated(picture("a")))


def test_without_a_good_picture_there_are_no_negatives():
    with pytest.raises(DatasetError, match="no negatives: all 2 pictures have boxes; add pictures of good parts"):
        check_enough(annotated(picture("a", "cut"), picture("b", "cut")))


def test_good_pictures_that_are_all_held_out_are_not_enough():
    with pytest.raises(DatasetError, match="all 1 good pictures are held out"):
        check_enough(annotated(picture("a", "cut"), picture("b", "cut"), picture("c", held_out=True)))


def test_a_class_on_one_picture_only_is_not_enough_however_many_boxes_it_has_there():
    with pytest.raises(DatasetError, match=r"class 'bent' is on 1 picture\(s\), at least 2 were wanted; annotate more"):
        check_enough(annotated(picture("a", "cut", "bent", "bent"), picture("b", "cut"), picture("c")))


def test_the_number_of_pictures_per_class_can_be_chosen():
    pictures = annotated(picture("a", "cut"), picture("b", "cut"), picture("c"))
    with pytest.raises(DatasetError, match="at least 3 were wanted"):
        check_enough(pictures, wanted_per_class=3)


def test_a_class_on_held_out_pictures_only_is_not_enough():
    pictures = annotated(picture("a", "cut", held_out=True), picture("b", "cut", held_out=True), picture("c"))
    with pytest.raises(DatasetError, match=r"class 'cut' is on held out pictures only \(2\)"):
        check_enough(pictures)


def test_roles_come_from_the_split_and_from_the_most_frequent_class():
    found = as_dataset(
        annotated(
            picture("a", "bent", "cut", "cut"),
            picture("b", "cut", "bent"),
            picture("c", "bent", held_out=True),
            picture("d"),
            picture("e", held_out=True),
        )
    )
    assert found.train_good == [Path("d")]
    assert found.test_good == [Path("e")]
    assert found.defects == {"bent": [Path("c")], "cut": [Path("a"), Path("b")]}
    assert found.masks == {}


def test_a_data_set_with_boxes_can_be_scanned(coco):
    found = scan(coco)
    assert found.train_good == [coco / "b.png"]
    assert found.defects == {"scratch": [coco / "a.png"]}


def test_the_command_says_what_was_understood_and_draws_it(coco):
    said = said_by(["boxes", "--data", str(coco)])
    assert "format: COCO\npictures: 2, 1 good and 1 with boxes\nheld out by the data's own split: 0\nboxes: 1\n" in said
    assert "  scratch  1 boxes on 1 pictures\n" in said
    assert "box width: 10 to 10 px, median 10 px\nbox height: 8 to 8 px" in said
    assert "not enough to learn from yet:" in said
    out = coco.with_name("parts.boxes")
    assert said.endswith(f"drawn: {out}\n")
    assert sorted(path.name for path in out.iterdir()) == ["001_a.jpg", "002_b.jpg", "sheet.jpg"]


def test_boxes_are_drawn_where_they_are_and_good_parts_have_a_green_frame(coco):
    said_by(["boxes", "--data", str(coco)])
    caption_px, scale = 34, 640 / WIDTH_PX
    bad, good = (read_image(coco.with_name("parts.boxes") / f"{name}.jpg").astype(int) for name in ("001_a", "002_b"))
    blue, green, red = bad[caption_px + int(9 * scale), int(4 * scale)]
    assert red > 150 > max(blue, green)
    blue, green, red = good[caption_px + 200, 1]
    assert green > 150 > max(blue, red)
    assert np.ptp(bad[caption_px + 400 :, 400:]) < 20


def test_not_more_than_200_pictures_are_drawn_those_with_boxes_first(tmp_path, monkeypatch):
    monkeypatch.setattr("trainer.annotations.draw.MAX_PICTURES", 2)
    root = write_images(tmp_path / "parts", "a.png", "b.png", "c.png")
    write_coco(root, images=("a.png", "b.png", "c.png"), boxes=[("c.png", [4, 5, 10, 8])])
    said = said_by(["boxes", "--data", str(root), "--out", str(tmp_path / "out")])
    assert "(2 of 3 pictures, with boxes first)" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["001_c.jpg", "002_a.jpg", "sheet.jpg"]


def test_a_folder_for_the_pictures_that_exists_is_refused_and_left_alone(coco, capsys):
    write_text(coco.with_name("parts.boxes") / "mine.txt", "mine")
    assert main(["boxes", "--data", str(coco)]) == 2
    assert "parts.boxes: exists already" in capsys.readouterr().err
    assert [path.name for path in coco.with_name("parts.boxes").iterdir()] == ["mine.txt"]


def test_a_folder_for_the_pictures_inside_of_the_data_is_refused(coco, capsys):
    assert main(["boxes", "--data", str(coco), "--out", str(coco / "drawn")]) == 2
    assert "lies in the data" in capsys.readouterr().err
    assert not (coco / "drawn").exists()


def test_nothing_half_done_stays_where_an_image_cannot_be_decoded(coco, capsys):
    whole = (coco / "a.png").read_bytes()
    (coco / "b.png").write_bytes(whole[: len(whole) // 2])  # its header can be read
    assert main(["boxes", "--data", str(coco)]) == 1
    assert "b.png" in capsys.readouterr().err
    assert [path.name for path in coco.parent.iterdir()] == ["parts"]


def test_bad_annotations_are_one_line_on_stderr_and_nothing_is_drawn(coco, capsys):
    write_coco(coco, boxes=[("a.png", [4, 5, 0, 8])])
    assert main(["boxes", "--data", str(coco)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not coco.with_name("parts.boxes").exists()


@pytest.mark.parametrize("length", ["-1", "nan", "inf", "wide"])
def test_a_merge_that_is_no_length_is_wrong_usage(coco, capsys, length):
    with pytest.raises(SystemExit) as ended:
        main(["boxes", "--data", str(coco), f"--merge={length}"])
    assert ended.value.code == 2
    assert "a length of 0 or more pixels was wanted" in capsys.readouterr().err


def test_as_one_class_only_the_names_change():
    before = annotated(picture("a", "dent", "crack"), picture("b"), picture("c", "crack", held_out=True))
    after = before.as_one_class("defect")
    assert after.classes == ("defect",)
    assert [p.labels for p in after.pictures] == [("defect", "defect"), (), ("defect",)]
    for old, new in zip(before.pictures, after.pictures, strict=True):
        assert new.boxes is old.boxes
        assert (new.path, new.held_out, new.is_good) == (old.path, old.held_out, old.is_good)
