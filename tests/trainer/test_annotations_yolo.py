import pytest

from models.errors import DatasetError
from tests.trainer.test_annotations import boxes_by_name, write_images, write_text
from trainer.annotations import read_annotations

LINE = "0 0.5 0.5 0.5 0.2"  # of 40 x 30 px: 10, 12, 30, 18
NAMES = "names: [scratch, dent]\n"


@pytest.fixture
def put(tmp_path):
    """Writes images/a.png with its labels and data.yaml, and returns the folder."""
    write_images(tmp_path, "images/a.png")

    def write(text=LINE, name="labels/a.txt", names=NAMES, names_file="data.yaml"):
        write_text(tmp_path / name, text)
        if names is not None:
            write_text(tmp_path / names_file, names)
        return tmp_path

    return write


def refused(root, match):
    with pytest.raises(DatasetError, match=match):
        read_annotations(root)


def test_shares_of_the_sides_become_pixels_and_classes_are_in_order_of_their_ids(put):
    found = read_annotations(put(f"1 0.25 0.5 0.5 1\n\n{LINE}\n"))
    assert found.source == "yolo"
    assert found.classes == ("scratch", "dent")
    (boxes,) = boxes_by_name(found).values()
    assert [(name, *map(round, box)) for name, *box in boxes] == [("dent", 0, 0, 20, 30), ("scratch", 10, 12, 30, 18)]
    assert found.notes == ()


def test_images_without_or_with_an_empty_text_file_and_those_below_good_are_good_parts(put):
    root = write_images(put(), "images/b.png", "images/c.png", "good/d.png", "elsewhere/e.png")
    write_text(root / "labels/b.txt", "\n")
    found = read_annotations(root)
    assert [p.path.name for p in found.good] == ["d.png", "b.png", "c.png"]
    assert "an image outside the folders of annotated ones was left out: elsewhere/e.png" in found.notes


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/val/x.png", "labels/val/x.txt"),
        ("valid/images/x.png", "valid/labels/x.txt"),
        ("test/x.png", "test/x.txt"),
        ("test/x.png", "test/labels/x.txt"),
        ("images/test/images/x.png", "images/test/labels/x.txt"),
    ],
)
def test_labels_are_found_in_their_folder_or_beside_and_val_and_test_are_held_out(put, image, label):
    write_images(put(), image)
    found = read_annotations(put(LINE, label))
    assert {p.path.name: p.held_out for p in found.bad} == {"a.png": False, "x.png": True}


def test_a_name_with_dots_keeps_all_but_its_suffix(tmp_path, put):
    root = write_images(put(name="labels/b.rf.1.txt"), "images/b.rf.1.jpg")
    assert [p.path.name for p in read_annotations(root).bad] == ["b.rf.1.jpg"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("data.yaml", "path: /elsewhere\nnc: 2\nnames: ['scratch', 'dent']\n"),
        ("data.yaml", "\ufeffnames:\n  1: dent\n  0: scratch\n"),
        ("dataset.yaml", NAMES),
        ("classes.txt", "scratch\r\ndent\r\n\r\n"),
        ("labels/classes.txt", "scratch\ndent"),
    ],
)
def test_names_of_classes_are_read_from_the_files_that_tools_write(put, file, text):
    found = read_annotations(put(f"{LINE}\n1 0.5 0.5 0.1 0.1", names=text, names_file=file))
    assert found.classes == ("scratch", "dent")


def test_names_that_are_numbers_are_words_and_unused_ones_are_left_out(put):
    found = read_annotations(put(names="names: [7, 8]"))
    assert found.classes == ("7",)
    assert found.notes == ("a class without a box was left out: 8",)


def test_without_names_the_labels_are_refused(put):
    refused(put(names=None), "nothing names the classes; wanted data.yaml with `names:`, or classes.txt")


def test_files_that_name_the_classes_in_two_ways_are_refused(put):
    put(names="dent\nscratch\n", names_file="classes.txt")
    refused(put(), r"data\.yaml: it names other classes than classes\.txt; keep one")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("names: [", r"data\.yaml: not YAML \("),
        ("[" * 5000, r"data\.yaml: not YAML \("),
        ("!!python/object/apply:os.getcwd []", r"data\.yaml: not YAML \(could not determine a constructor"),
        ("- scratch", r"data\.yaml: no `names:` with a list of class names"),
        ("nc: 2", r"data\.yaml: no `names:`"),
        ("names: []", r"data\.yaml: no `names:`"),
        ("names: scratch", r"data\.yaml: no `names:`"),
        ("names: [[a]]", r"data\.yaml: no `names:`"),
        ("names: {1: a, 2: b}", r"data\.yaml: the ids of `names:` are 1, 2; wanted 0 to 1"),
        ("names: {zero: a}", r"data\.yaml: the ids of `names:` are zero; wanted 0 to 0"),
        ("nc: 3\nnames: [a, b]", r"data\.yaml: `nc` is 3, but there are 2 names"),
    ],
)
def test_a_file_of_names_that_cannot_be_right_is_refused(put, text, match):
    refused(put(names=text), match)


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("0 0.5 0.5 0.5", r"a\.txt, line 2: 4 fields, wanted 5: class cx cy w h"),
        (f"{LINE} 0.9", r"line 2: 6 fields, wanted 5"),
        ("0 0.1 0.1 0.9 0.1 0.9 0.9", r"line 2: 7 fields, wanted 5"),
        ("0 0.5 0.5 0.5 1.2", r"line 2: .* holds a value outside 0\.\.1; wanted shares"),
        ("0 -0.1 0.5 0.5 0.5", r"line 2: .* holds a value outside 0\.\.1"),
        ("0 20 15 10 8", r"line 2: .* holds a value outside 0\.\.1"),
        ("0 nan 0.5 0.5 0.5", r"line 2: .* holds a value outside 0\.\.1"),
        ("0 inf 0.5 0.5 0.5", r"line 2: .* holds a value outside 0\.\.1"),
        ("0 0,5 0.5 0.5 0.5", r"line 2: .* holds what is no number"),
        ("2 0.5 0.5 0.5 0.5", r"line 2: the class 2 has no name; 2 names are given, from 0"),
        ("-1 0.5 0.5 0.5 0.5", r"line 2: the class '-1' is no whole number"),
        ("0.0 0.5 0.5 0.5 0.5", r"line 2: the class '0\.0' is no whole number"),
        ("scratch 0.5 0.5 0.5 0.5", r"line 2: the class 'scratch' is no whole number"),
        ("9999999999999 0.5 0.5 0.5 0.5", r"line 2: the class '9999999999999' is no whole number"),
        ("0 0.5 0.5 0 0.5", r"line 2: the box \[20, .*\] is empty or inverted"),
        ("0 0.95 0.5 0.3 0.5", r"line 2: the box .* reaches 4 px outside the image of 40 x 30 px"),
        (LINE, r"line 2: the box \[10, 12, 30, 18\] of 'scratch' is there twice"),
    ],
)
def test_a_line_that_cannot_be_right_is_refused_with_its_number(put, line, match):
    refused(put(f"{LINE}\n{line}\n"), match)


def test_all_lines_that_cannot_be_right_are_reported_together(put):
    refused(put("0\n1 2\n\n3 4 5\n"), r"3 problems .*line 1: 1 fields.*line 2: 2 fields.*line 4: 3 fields")


def test_a_box_up_to_two_pixels_over_the_edge_is_cut_with_a_note_and_rounding_without_one(put):
    found = read_annotations(put("0 0.975 0.5 0.1 0.2\n0 0.7500001 0.5 0.5 0.5\n"))
    assert [box[3] for box in boxes_by_name(found)["a.png"]] == [40, 40]
    assert found.notes[0] == "a box reached up to 2 px over the edge and was cut there: labels/a.txt, line 1"


def test_labels_without_an_image_are_refused(put):
    put()
    refused(put(name="labels/gone.txt"), r"labels/gone\.txt: no image has this name")


def test_labels_that_two_images_share_are_refused(put):
    refused(write_images(put(), "images/a.jpg"), r"images/a\.png: labels/a\.txt belongs to images/a\.jpg as well")


def test_two_files_of_labels_for_one_image_are_refused(put):
    put()
    refused(put(name="images/a.txt"), r"images/a\.png: it has two files of labels, labels/a\.txt and images/a\.txt")


def test_labels_that_are_no_text_are_refused(put):
    root = put()
    (root / "labels/a.txt").write_bytes(b"\xff\xfe\x00\x80")
    refused(root, r"images/a\.png: not UTF-8 text; save it as UTF-8")


def test_other_text_files_are_no_labels(put):
    root = put()
    write_text(root / "README.txt", "read me")
    write_text(root / "train.txt", "images/a.png")
    assert len(read_annotations(root).pictures) == 1
