"""Pascal VOC: one XML file per image, in `Annotations/` with `JPEGImages/`, or beside the images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from models.images import SUFFIXES
from trainer.annotations.boxes import LTRB, Claim, Draft
from trainer.annotations.problems import Problems, RecordError
from trainer.annotations.tree import Tree, inside, is_below_good, is_held_out

_FOLDER = "annotations"
_IMAGES = ("JPEGImages", "images", "")
_SPLITS = {"train.txt": False, "val.txt": True, "test.txt": True}
_EDGES = ("xmin", "ymin", "xmax", "ymax")


def find_xml(tree: Tree) -> list[Path]:
    """XML files in a folder `Annotations`, or beside an image of the same name."""
    return [
        path
        for path in tree.with_suffix(".xml")
        if any(part.lower() == _FOLDER for part in path.parts[:-1]) or path.parent / path.stem in tree.by_stem
    ]


def read_voc(tree: Tree, files: Sequence[Path], problems: Problems) -> tuple[list[Draft], list[str]]:
    """The pictures of all files and of the image folders, and the class names in order."""
    splits = _read_splits(tree, problems)
    drafts: dict[Path, Draft] = {}
    for file in files:
        with problems.at(file):
            draft = _read_file(tree, file, splits, problems)
            if draft.image in drafts:
                raise RecordError(f"{draft.image} has an XML file already: {drafts[draft.image].where}")
            drafts[draft.image] = draft
    folders = {draft.image.parent for draft in drafts.values()}
    for image in sorted(tree.images - drafts.keys()):
        if image.parent in folders or _IMAGES[0] in image.parts or is_below_good(image):
            if not is_below_good(image):
                problems.note("an image without an XML file was taken as a good part", image)
            drafts[image] = Draft(image, str(image), held_out=_held_out(image, splits))
        else:
            problems.note("an image outside the folders of annotated ones was left out", image)
    names = {claim.label for draft in drafts.values() for claim in draft.claims}
    return list(drafts.values()), sorted(names)


def _read_file(tree: Tree, file: Path, splits: dict[str, bool], problems: Problems) -> Draft:
    root = _parse(tree.root / file)
    if root.tag != "annotation":
        raise RecordError(f"not Pascal VOC: the element is <{root.tag:.40}>, wanted <annotation>")
    image = _image_of(tree, file, root, problems)
    claims: list[Claim] = []
    for index, item in enumerate(root.findall("object")):
        where = f"{file}, object {index + 1}"
        with problems.at(where):
            claims.append(_claim(item, where))
    size = root.find("size")
    stated = (_number(size, "width"), _number(size, "height")) if size is not None else None
    held_out = _held_out(image, splits) or is_held_out(file.parent)
    return Draft(image, str(file), claims, held_out, stated)


def _parse(path: Path) -> ElementTree.Element:
    """The root element. ElementTree never loads an external entity, but it does expand internal ones,
    and a few lines of them fill any memory: a file that declares a document type is refused unparsed."""
    try:
        content = path.read_bytes()
        if b"<!doctype" in content.replace(b"\0", b"").lower():  # without the zeros of UTF-16 and UTF-32
            raise RecordError("it declares a document type (<!DOCTYPE), which no annotation needs; remove that")
        return ElementTree.fromstring(content)  # noqa: S314 - no document type, so no entities
    except OSError as error:
        raise RecordError(f"cannot be read ({error.strerror})") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the latter two: strange encodings
        raise RecordError(f"not XML ({error})") from error


def _image_of(tree: Tree, file: Path, root: ElementTree.Element, problems: Problems) -> Path:
    """By <filename>, else by the name of the XML file: images are often renamed without it."""
    folders = _folders(file)
    name = (root.findtext("filename") or "").strip()
    wanted = inside(name) if name else None
    for folder in folders:
        if wanted and folder / wanted in tree.images:
            return folder / wanted
    for folder in folders:
        if found := tree.by_stem.get(folder / file.stem):
            if len(found) > 1:
                raise RecordError(f"it may speak of {found[0]} or of {found[1]}; name one in <filename>")
            if wanted and _stem(wanted.name) != file.stem:
                problems.note("the image has the name of the XML file and not the one inside of it", file)
            return found[0]
    return tree.locate(name or f"{file.stem}.jpg", ())


def _folders(file: Path) -> list[Path]:
    """Folders whose images the file may speak of: beside it, and those beside its folder `Annotations`."""
    found = [file.parent]
    for index, part in enumerate(file.parts[:-1]):
        if part.lower() == _FOLDER:
            above, below = Path(*file.parts[:index]), Path(*file.parts[index + 1 : -1])
            found += [folder for name in _IMAGES for folder in (above / name / below, above / name)]
    return found


def _claim(item: ElementTree.Element, where: str) -> Claim:
    name = (item.findtext("name") or "").strip()
    if not name:
        raise RecordError("no <name>, a class was wanted")
    box = item.find("bndbox")
    if box is None:
        raise RecordError("no <bndbox> with xmin, ymin, xmax, ymax")
    # Pascal's own tools count from 1, most others from 0, and no file says which: taken as it stands,
    # because a pixel is less than a labeller's hand is sure of.
    ltrb: LTRB = (_number(box, "xmin"), _number(box, "ymin"), _number(box, "xmax"), _number(box, "ymax"))
    return Claim(where, name, ltrb)


def _number(element: ElementTree.Element, name: str) -> float:
    text = element.findtext(name)
    try:
        return float(text or "")
    except ValueError:
        raise RecordError(f"<{name}> is {text!r:.40}, a number was wanted") from None


def _read_splits(tree: Tree, problems: Problems) -> dict[str, bool]:
    """Whether an image is held out, by its name without the suffix, from `ImageSets/Main/*.txt`."""
    held_out: dict[str, bool] = {}
    stems = {stem.name for stem in tree.by_stem}
    for path in tree.files:
        if path.parts[-3:-1] != ("ImageSets", "Main") or path.name not in _SPLITS:
            continue
        text = (tree.root / path).read_bytes().decode("utf-8-sig", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            stem = _stem(line.split()[0])
            if stem not in stems:
                problems.note("a list of ImageSets names an image that is not there", f"{path}, line {number}")
            elif held_out.setdefault(stem, _SPLITS[path.name]) != _SPLITS[path.name]:
                problems.add(f"{path}, line {number}", f"{stem!r:.80} is in train.txt and held out too; keep one")
    return held_out


def _stem(name: str) -> str:
    """Without an image's suffix only: names out of some tools hold more dots."""
    return next((name[: -len(suffix)] for suffix in SUFFIXES if name.lower().endswith(suffix)), name)


def _held_out(image: Path, splits: dict[str, bool]) -> bool:
    return splits.get(image.stem, False) or is_held_out(image.parent)
