import pytest

from models.errors import DatasetError
from tests.trainer.test_annotations import boxes_by_name, write_images, write_text
from trainer.annotations import read_annotations

SIZE = "<size><width>40</width><height>30</height><depth>3</depth></size>"


def thing(name="scratch", xmin="4", ymin="5", xmax="14", ymax="13"):
    edges = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    return f"<object><name>{name}</name><difficult>0</difficult><bndbox>{edges}</bndbox></object>"


def xml(*things, filename="a.png", size=SIZE):
    named = f"<filename>{filename}</filename>" if filename else ""
    return f"<annotation>{named}<path>C:\\elsewhere\\a.png</path>{size}{''.join(things)}</annotation>"


@pytest.fixture
def put(tmp_path):
    """Writes JPEGImages/a.png, and XML for it, and returns the folder."""
    write_images(tmp_path, "JPEGImages/a.png")

    def write(text, name="Annotations/a.xml"):
        write_text(tmp_path / name, text)
        return tmp_path

    return write


def refused(root, match):
    with pytest.raises(DatasetError, match=match):
        read_annotations(root)


def test_boxes_are_read_as_they_stand_and_classes_are_in_order_of_their_names(put):
    found = read_annotations(put(xml(thing(), thing("dent", "0.5", "0", "40", "30"))))
    assert found.source == "voc"
    assert found.classes == ("dent", "scratch")
    assert boxes_by_name(found) == {"a.png": [("scratch", 4, 5, 14, 13), ("dent", 0.5, 0, 40, 30)]}
    assert found.notes == ()


def test_xml_without_objects_is_a_good_part(put):
    assert boxes_by_name(read_annotations(put(xml()))) == {"a.png": []}


def test_xml_may_lie_beside_the_images(tmp_path):
    write_images(tmp_path, "train/a.png", "test/b.png")
    write_text(tmp_path / "train/a.xml", xml(thing()))
    write_text(tmp_path / "test/b.xml", xml(thing(), filename="b.png"))
    assert {p.path.name: p.held_out for p in read_annotations(tmp_path).pictures} == {"a.png": False, "b.png": True}


def test_the_folders_may_lie_deeper(tmp_path):
    write_images(tmp_path, "devkit/parts/JPEGImages/a.png")
    write_text(tmp_path / "devkit/parts/Annotations/a.xml", xml(thing()))
    assert boxes_by_name(read_annotations(tmp_path))["a.png"] == [("scratch", 4, 5, 14, 13)]


def test_images_without_xml_are_good_parts_with_a_note_and_those_below_good_without_one(put):
    root = write_images(put(xml(thing())), "JPEGImages/b.png", "good/c.png", "elsewhere/d.png")
    found = read_annotations(root)
    assert [p.path.name for p in found.good] == ["b.png", "c.png"]
    assert found.notes == (
        "an image without an XML file was taken as a good part: JPEGImages/b.png",
        "an image outside the folders of annotated ones was left out: elsewhere/d.png",
    )


def test_lists_of_image_sets_tell_which_pictures_are_held_out(put):
    root = write_images(put(xml(thing())), "JPEGImages/b.png", "JPEGImages/c.rf.1.png")
    write_text(root / "ImageSets/Main/train.txt", "a\n")
    write_text(root / "ImageSets/Main/val.txt", "b\ngone\n")
    write_text(root / "ImageSets/Main/test.txt", "c.rf.1  1\n\n")
    write_text(root / "ImageSets/Main/trainval.txt", "a\nb\n")
    found = read_annotations(root)
    assert {p.path.name: p.held_out for p in found.pictures} == {"a.png": False, "b.png": True, "c.rf.1.png": True}
    assert "a list of ImageSets names an image that is not there: ImageSets/Main/val.txt, line 2" in found.notes


def test_a_picture_to_learn_from_and_held_out_at_once_is_refused(put):
    root = put(xml(thing()))
    write_text(root / "ImageSets/Main/train.txt", "a\n")
    write_text(root / "ImageSets/Main/test.txt", "a\n")
    refused(root, r"train\.txt, line 1: 'a' is in train\.txt and held out too; keep one")


def test_a_renamed_image_is_found_by_the_name_of_its_xml_with_a_note(put):
    found = read_annotations(put(xml(thing(), filename="IMG_1.jpg")))
    assert boxes_by_name(found) == {"a.png": [("scratch", 4, 5, 14, 13)]}
    assert found.notes == ("the image has the name of the XML file and not the one inside of it: Annotations/a.xml",)


@pytest.mark.parametrize("filename", ["", "a", "a.jpg"])
def test_a_name_without_or_with_another_suffix_needs_no_note(put, filename):
    assert read_annotations(put(xml(thing(), filename=filename))).notes == ()


def test_the_name_inside_of_the_xml_rules_where_there_is_such_an_image(put):
    root = write_images(put(xml(thing(), filename="b.png")), "JPEGImages/b.png")
    assert [p.path.name for p in read_annotations(root).bad] == ["b.png"]


def test_two_images_that_xml_without_a_name_may_mean_are_refused(put):
    root = write_images(put(xml(thing(), filename="")), "JPEGImages/a.jpg")
    refused(root, r"a\.xml: it may speak of JPEGImages/a\.(jpg|png) or of JPEGImages/a\.(jpg|png)")


def test_a_missing_image_is_refused(put):
    refused(put(xml(thing(), filename="x.png"), "Annotations/x.xml"), r"x\.xml: no image 'x\.png'")


@pytest.mark.parametrize("filename", ["../../a.png", "/a.png", "C:\\parts\\a.png"])
def test_a_name_that_leads_out_of_the_folder_is_refused(put, filename):
    refused(put(xml(thing(), filename=filename)), r"a\.xml: the name .* leads out of the folder")


def test_two_xml_files_for_one_image_are_refused(put):
    put(xml(thing()))
    refused(put(xml(thing()), "Annotations/b.xml"), r"b\.xml: JPEGImages/a\.png has an XML file already: .*a\.xml")


ENTITIES = "".join(
    f'<!ENTITY {name} "{10 * (f"&{before};" if before else "aa")}">'
    for before, name in zip(["", *"abcdefgh"], "abcdefghi", strict=True)
)
BOMB = f"<!DOCTYPE x [{ENTITIES}]><annotation><filename>&i;</filename></annotation>"
STOLEN = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/hostname">]><annotation><filename>&a;</filename></annotation>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("text", [BOMB, STOLEN], ids=["bomb", "stolen"])
def test_a_document_type_is_refused_unread(put, text, encoding):
    root = put("")
    (root / "Annotations/a.xml").write_bytes(text.encode(encoding))
    refused(root, r"a\.xml: it declares a document type \(<!DOCTYPE\)")


@pytest.mark.parametrize(
    "content",
    [b"", b"no xml", b"<annotation>", b'<?xml version="1.0" encoding="utf-99"?><annotation/>', b"\xff\xfe\x00"],
)
def test_a_file_that_is_not_xml_is_refused(put, content):
    root = put("")
    (root / "Annotations/a.xml").write_bytes(content)
    refused(root, r"a\.xml: not XML \(")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("<annotations/>", r"a\.xml: not Pascal VOC: the element is <annotations>, wanted <annotation>"),
        (xml(thing(), size=SIZE.replace("40", "41")), r"a\.xml: the file says 41 x 30 px, the image .* has 40 x 30 px"),
        (xml(thing(), size=SIZE.replace("40", "wide")), r"a\.xml: <width> is 'wide', a number was wanted"),
        (xml(thing(), size="<size><width>4</width></size>"), r"a\.xml: <height> is None, a number was wanted"),
        (xml(thing(), thing("")), r"a\.xml, object 2: no <name>, a class was wanted"),
        (xml("<object><name>cut</name></object>"), r"object 1: no <bndbox>"),
        (xml(thing(xmax="")), r"object 1: <xmax> is '', a number was wanted"),
        (xml(thing(xmax="nan")), r"object 1: the box \[4, 5, nan, 13\] is not finite"),
        (xml(thing(xmax="4")), r"object 1: the box \[4, 5, 4, 13\] is empty or inverted"),
        (xml(thing(ymax="1")), r"object 1: the box \[4, 5, 14, 1\] is empty or inverted"),
        (xml(thing(xmax="43")), r"object 1: the box .* reaches 3 px outside the image of 40 x 30 px"),
        (xml(thing(), thing()), r"object 2: the box \[4, 5, 14, 13\] of 'scratch' is there twice"),
    ],
)
def test_what_cannot_be_right_is_refused_with_its_place(put, text, match):
    refused(put(text), match)


@pytest.mark.parametrize("size", ["", SIZE.replace("40", "0").replace("30", "0")])
def test_a_size_that_is_not_stated_is_taken_from_the_image(put, size):
    assert read_annotations(put(xml(thing(), size=size))).pictures[0].width_px == 40


def test_a_box_up_to_two_pixels_over_the_edge_is_cut_with_a_note(put):
    found = read_annotations(put(xml(thing(xmax="41.5"))))
    assert boxes_by_name(found)["a.png"] == [("scratch", 4, 5, 40, 13)]
    assert found.notes == ("a box reached up to 2 px over the edge and was cut there: Annotations/a.xml, object 1",)
