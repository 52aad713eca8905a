import json

import pytest

from models.errors import DatasetError
from tests.trainer.test_annotations import boxes_by_name, write_coco, write_images, write_text
from trainer.annotations import read_annotations

IMAGES = [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}, {"id": 2, "file_name": "b.png"}]
CATEGORIES = [{"id": 3, "name": "dent"}, {"id": 1, "name": "scratch"}]


def note(**changed):
    return {"id": 5, "image_id": 1, "category_id": 1, "bbox": [4, 5, 10, 8]} | changed


@pytest.fixture
def put(tmp_path):
    """Writes a.png, b.png and a COCO file, and returns the folder."""
    write_images(tmp_path, "a.png", "b.png")

    def write(*annotations, images=IMAGES, categories=CATEGORIES, name="boxes.json"):
        content = {"images": images, "annotations": list(annotations), "categories": categories}
        write_text(tmp_path / name, json.dumps(content))
        return tmp_path

    return write


def refused(root, match):
    with pytest.raises(DatasetError, match=match):
        read_annotations(root)


def test_boxes_become_left_top_right_bottom_and_images_without_one_are_good(put):
    found = read_annotations(put(note(), note(id=6, category_id=3, bbox=[0.5, 0, 3, 30])))
    assert found.source == "coco"
    assert found.classes == ("scratch", "dent")  # by id
    assert boxes_by_name(found) == {"a.png": [("scratch", 4, 5, 14, 13), ("dent", 0.5, 0, 3.5, 30)], "b.png": []}
    assert [picture.path.name for picture in found.good] == ["b.png"]
    assert (found.pictures[1].height_px, found.pictures[1].width_px) == (30, 40)
    assert found.pictures[1].boxes.shape == (0, 4)
    assert found.notes == ()


@pytest.mark.parametrize("file", ["boxes.json", "annotations/boxes.json", "front/_annotations.coco.json"])
@pytest.mark.parametrize("folder", ["", "images", "front"])
def test_images_are_found_beside_the_file_below_the_root_or_in_images(tmp_path, file, folder):
    write_images(tmp_path / folder, "a.png", "b.png")
    write_coco(tmp_path, file)
    assert {picture.path.parent for picture in read_annotations(tmp_path).pictures} == {tmp_path / folder}


def test_a_name_with_its_folder_tells_images_of_one_name_apart(put):
    root = write_images(put(), "left/c.png", "right/c.png")
    put(note(), images=[{"id": 1, "file_name": "right\\c.png"}])
    assert [p.path for p in read_annotations(root).bad] == [root / "right/c.png"]


def test_a_name_that_several_images_have_is_refused(put):
    write_images(put(images=[{"id": 1, "file_name": "c.png"}]), "left/c.png", "right/c.png")
    refused(put(images=[{"id": 1, "file_name": "c.png"}]), r"'c\.png' may be left/c\.png or right/c\.png")


@pytest.mark.parametrize(
    ("name", "held_out"), [("instances_val2017.json", True), ("test/boxes.json", True), ("values.json", False)]
)
def test_a_file_of_val_or_test_holds_its_pictures_out(put, name, held_out):
    root = put(note(), name=name)
    assert {picture.held_out for picture in read_annotations(root).pictures} == {held_out}


def test_several_files_are_one_data_set(tmp_path):
    write_images(tmp_path, "images/a.png", "images/b.png", "images/c.png")
    write_coco(tmp_path, "annotations/instances_train.json")
    write_coco(tmp_path, "annotations/instances_val.json", images=["c.png"], boxes=[("c.png", [1, 1, 5, 5])])
    found = read_annotations(tmp_path)
    assert found.classes == ("scratch",)
    assert {p.path.name: p.held_out for p in found.pictures} == {"a.png": False, "b.png": False, "c.png": True}


def test_an_image_in_two_files_is_refused(tmp_path):
    write_images(tmp_path, "a.png", "b.png")
    write_coco(tmp_path, "train.json")
    write_coco(tmp_path, "val.json", images=["b.png"], boxes=[])
    refused(tmp_path, r"val\.json, image 0: b\.png is listed already \(train\.json, image 1\)")


def test_crowd_annotations_are_skipped_and_a_picture_with_nothing_else_is_no_good_part(put):
    found = read_annotations(put(note(), note(id=6, iscrowd=1), note(id=7, image_id=2, iscrowd=1)))
    assert boxes_by_name(found) == {"a.png": [("scratch", 4, 5, 14, 13)]}
    assert "an annotation with iscrowd was skipped: 2 times, first boxes.json, annotation 6" in found.notes
    assert "a picture with nothing but crowd annotations was left out: boxes.json, image 2" in found.notes


def test_a_class_without_a_box_is_left_out_with_a_note(put):
    found = read_annotations(put(note()))
    assert found.classes == ("scratch",)
    assert found.notes == ("a class without a box was left out: dent",)


@pytest.mark.parametrize("name", ["a\nb", "a\u200b", " ", "x" * 81])
def test_a_class_whose_name_cannot_be_printed_is_refused(put, name):
    refused(put(note(), categories=[{"id": 1, "name": name}]), "classes: .* is no name: wanted 1 to 80 characters")


def test_a_class_of_the_name_of_good_parts_is_refused_where_it_has_boxes(put):
    named = [{"id": 1, "name": "cut"}, {"id": 3, "name": "good"}]
    assert read_annotations(put(note(), categories=named)).classes == ("cut",)
    refused(put(note(category_id=3), categories=named), "classes: boxes of a class 'good': parts without a defect")


def test_two_ids_of_one_name_are_one_class(put):
    same = [{"id": 1, "name": "cut"}, {"id": 3, "name": "cut"}]
    found = read_annotations(put(note(), note(id=6, category_id=3, image_id=2), categories=same))
    assert found.classes == ("cut",)
    assert "several category ids have the name 'cut'" in found.notes[0]


def test_images_below_good_are_good_parts_and_others_that_are_not_listed_are_left_out(put):
    found = read_annotations(write_images(put(note()), "good/g.png", "c.png"))
    assert sorted(boxes_by_name(found)) == ["a.png", "b.png", "g.png"]
    assert "an image that the COCO file does not list was left out: c.png" in found.notes


def test_a_box_up_to_two_pixels_over_the_edge_is_cut_with_a_note(put):
    found = read_annotations(put(note(bbox=[-1.5, 5, 10, 26.5])))
    assert boxes_by_name(found)["a.png"] == [("scratch", 0, 5, 8.5, 30)]
    assert "a box reached up to 2 px over the edge and was cut there: boxes.json, annotation 5" in found.notes


@pytest.mark.parametrize("bbox", [[38, 5, 10, 8], [-3, 5, 10, 8], [4, 27, 10, 8], [4, -5, 10, 8], [1e9, 1, 1e9, 1]])
def test_a_box_further_outside_of_the_image_is_refused(put, bbox):
    refused(put(note(bbox=bbox)), r"annotation 5: the box \[.*\] reaches .* px outside the image of 40 x 30 px")


@pytest.mark.parametrize("bbox", [[4, 5, 0, 8], [4, 5, 10, 0], [4, 5, -3, 8], [4, 5, 10, -8]])
def test_an_empty_or_inverted_box_is_refused(put, bbox):
    refused(put(note(bbox=bbox)), r"annotation 5: the box \[.*\] is empty or inverted")


def test_a_box_of_which_nothing_is_inside_the_image_is_refused(put):
    refused(put(note(bbox=[40, 5, 1, 8])), r"is empty inside the image")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e308])
def test_a_box_that_is_not_finite_is_refused(put, value):
    refused(put(note(bbox=[4, 5, value, value * 10])), r"annotation 5: the box \[.*\] is not finite")


def test_the_same_box_twice_is_refused_but_another_class_there_is_not(put):
    assert len(read_annotations(put(note(), note(id=6, category_id=3))).bad[0].labels) == 2
    refused(put(note(), note(id=6)), r"annotation 6: the box \[4, 5, 14, 13\] of 'scratch' is there twice")


@pytest.mark.parametrize(
    ("key", "records", "match"),
    [
        ("images", [IMAGES[0], {"id": 1, "file_name": "b.png"}], r"images\[1\]: the id 1 is there twice"),
        ("images", [IMAGES[0], {"id": 2, "file_name": "a.png"}], r"image 2: a\.png is listed already"),
        ("images", [IMAGES[0], {"id": 2, "file_name": "x.png"}], r"image 2: no image 'x\.png'"),
        ("images", [{"id": 1, "file_name": "../a.png"}], r"image 1: the name '\.\./a\.png' leads out of the folder"),
        ("images", [{"id": 1, "file_name": "/a.png"}], r"image 1: the name '/a\.png' leads out of the folder"),
        ("images", [{"id": 1, "file_name": 3}], r"images\[0\]: file_name: Input should be a valid string \(got 3\)"),
        ("images", [{"id": True, "file_name": "a.png"}], r"images\[0\]: id\.int: "),
        ("images", [{"file_name": "a.png"}], r"images\[0\]: id: missing"),
        ("images", ["a.png"], r"images\[0\]: \(top level\): .* \(got 'a\.png'\)"),
        ("images", [IMAGES[0] | {"width": 41}], r"image 1: the file says 41 x 30 px, the image a\.png has 40 x 30 px"),
        ("images", [IMAGES[0] | {"width": 30, "height": 40}], r"turned it by its EXIF tag"),
        ("categories", [*CATEGORIES, {"id": 3, "name": "x"}], r"categories\[2\]: the id 3 is there twice"),
        ("categories", [*CATEGORIES, {"id": 4, "name": ""}], r"categories\[2\]: name: .* at least 1 character"),
        ("annotations", [note(), note(bbox=[1, 1, 5, 5])], r"annotations\[1\]: the id 5 is there twice"),
        ("annotations", [note(image_id=9)], r"annotation 5: no image has the id 9"),
        ("annotations", [note(category_id=9)], r"annotation 5: no category has the id 9"),
        ("annotations", [note(bbox=[1, 2, 3])], r"annotations\[0\]: bbox: .* at least 4 items"),
        ("annotations", [note(bbox=[1, 2, 3, "4"])], r"annotations\[0\]: bbox\.3: .* valid number \(got '4'\)"),
        ("annotations", [note(bbox=[1, 2, 3, 10**400])], r"annotations\[0\]: bbox\.3: "),
        ("annotations", [note(bbox=None)], r"annotations\[0\]: bbox: .* valid list \(got None\)"),
        ("annotations", [{"id": 5, "image_id": 1, "category_id": 1}], r"annotations\[0\]: bbox: missing"),
        ("annotations", [None], r"annotations\[0\]: \(top level\)"),
    ],
)
def test_a_record_that_cannot_be_right_is_refused_with_its_place(put, key, records, match):
    parts = {"images": IMAGES[:1], "annotations": [], "categories": CATEGORIES} | {key: records}
    refused(put(*parts["annotations"], images=parts["images"], categories=parts["categories"]), match)


def test_problems_of_all_kinds_are_reported_together(put):
    images = [*IMAGES, {"id": 3, "file_name": "x.png"}]
    root = put(note(bbox=[4, 5, 0, 8]), note(id=6, image_id=9), note(id=7, category_id=9), images=images)
    with pytest.raises(DatasetError) as raised:
        read_annotations(root)
    message = str(raised.value)
    assert ": 4 problems in the annotations: " in message
    assert all(where in message for where in ("annotation 5", "annotation 6", "annotation 7", "image 3"))
    assert message.endswith("; correct these in the labelling tool or move the files away, then run again")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", r"instances\.json: not JSON \("),
        ("{'images': []}", r"instances\.json: not JSON \("),
        ("[" * 100_000, r"instances\.json: not JSON \(nested too deep\)"),
        ("[]", r"instances\.json: not COCO: a JSON list, wanted an object with images, annotations, categories"),
        ("null", r"instances\.json: not COCO: a JSON NoneType"),
        ("{}", r"instances\.json: not COCO: no key 'images'"),
        ('{"images": [], "annotations": []}', r"not COCO: no key 'categories'"),
        ('{"images": {}, "annotations": [], "categories": []}', r"not COCO: 'images' is a dict, wanted a list"),
        ('{"images": [], "annotations": 3, "categories": []}', r"not COCO: 'annotations' is a int, wanted a list"),
    ],
)
def test_a_file_that_is_not_json_or_not_coco_is_refused(tmp_path, text, match):
    write_text(write_images(tmp_path, "a.png") / "annotations/instances.json", text)
    refused(tmp_path, match)


def test_a_file_in_another_encoding_than_json_may_have_is_refused(put):
    root = put(note())
    (root / "boxes.json").write_bytes(b'\xff{"images": "\xe9"}')
    refused(root, r"boxes\.json: not JSON")


def test_many_boxes_are_read_in_good_time(put):
    """Anything quadratic would take minutes: 20,000 boxes on one picture."""
    notes = [note(id=i, bbox=[i % 200 * 0.1, i // 200 * 0.1, 5, 5]) for i in range(20_000)]
    assert len(read_annotations(put(*notes)).bad[0].labels) == 20_000
