"""COCO: one JSON file with `images`, `annotations` (bbox [x, y, width, height] in px) and `categories`."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.base import first_error
from trainer.annotations.boxes import Claim, Draft
from trainer.annotations.problems import Problems, RecordError
from trainer.annotations.tree import Tree, is_below_good, is_held_out

_KEYS = ("images", "annotations", "categories")
_NAMED_SO = ("annotation", "instances", "coco")
Id = int | str


class _Record(BaseModel):
    # Strict: True is no id and "12" no coordinate. Unknown keys are everywhere in COCO files.
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    id: Id


class _Image(_Record):
    file_name: str
    width: float | None = None
    height: float | None = None


class _Annotation(_Record):
    image_id: Id
    category_id: Id
    bbox: Annotated[list[float], Field(min_length=4, max_length=4)]
    iscrowd: int = 0


class _Category(_Record):
    name: Annotated[str, Field(min_length=1)]


R = TypeVar("R", bound=_Record)


@dataclass(frozen=True, slots=True)
class JsonFile:
    """A JSON file that may be COCO, read once."""

    path: Path  # relative to the root
    content: Any
    error: str | None  # why it is not JSON

    @property
    def is_coco(self) -> bool:
        """Whether it says of itself that it is COCO: by its keys, or by its name where it cannot be read."""
        if isinstance(self.content, dict) and any(key in self.content for key in _KEYS):
            return True
        return (self.error is not None or not isinstance(self.content, dict)) and self._is_named_so

    @property
    def _is_named_so(self) -> bool:
        name = self.path.as_posix().lower()
        return any(word in name for word in _NAMED_SO)


def find_json(tree: Tree) -> list[JsonFile]:
    """The JSON files of the root and of its folders; not those of one image each, which are another tool's."""
    found = [path for path in tree.with_suffix(".json") if len(path.parts) <= 2]
    return [_load(tree.root, path) for path in found if path.parent / path.stem not in tree.by_stem]


def read_coco(tree: Tree, files: Sequence[JsonFile], problems: Problems) -> tuple[list[Draft], list[str]]:
    """The pictures of all files, and the class names by first id."""
    drafts: dict[Path, Draft] = {}
    first_ids: dict[str, tuple[bool, int, str]] = {}
    for file in files:
        with problems.at(file.path):
            _read_file(tree, file, drafts, first_ids, problems)
    unlisted = sorted(tree.images - drafts.keys())
    for image in (image for image in unlisted if is_below_good(image)):
        drafts[image] = Draft(image, str(image), held_out=is_held_out(image))
    for image in (image for image in unlisted if not is_below_good(image)):
        problems.note("an image that the COCO file does not list was left out", image)
    return list(drafts.values()), sorted(first_ids, key=lambda name: (first_ids[name], name))


def _load(root: Path, path: Path) -> JsonFile:
    try:
        return JsonFile(path, json.loads((root / path).read_bytes()), None)
    except RecursionError:
        return JsonFile(path, None, "nested too deep")
    except (OSError, ValueError) as error:
        return JsonFile(path, None, str(error))


def _read_file(
    tree: Tree,
    file: JsonFile,
    drafts: dict[Path, Draft],
    first_ids: dict[str, tuple[bool, int, str]],
    problems: Problems,
) -> None:
    _check_shape(file)
    categories = _by_id(file, "categories", _Category, problems)
    for key, category in categories.items():
        first_ids.setdefault(
            category.name.strip(), (isinstance(key, str), key if isinstance(key, int) else 0, str(key))
        )
    for name, count in Counter(category.name.strip() for category in categories.values()).items():
        if count > 1:
            problems.note(f"several category ids have the name {name!r:.60} and are one class", file.path)
    images = _by_id(file, "images", _Image, problems)
    claims, crowds = _claims(file, images, categories, problems)
    for key, image in images.items():
        where = f"{file.path}, image {key!r:.40}"
        if key in crowds and not claims[key]:  # neither boxes to learn nor a good part
            problems.note("a picture with nothing but crowd annotations was left out", where)
            continue
        with problems.at(where):
            path = tree.locate(image.file_name, _folders(file.path))
            if path in drafts:
                raise RecordError(f"{path} is listed already ({drafts[path].where})")
            size = (image.width, image.height) if image.width is not None and image.height is not None else None
            drafts[path] = Draft(path, where, claims[key], is_held_out(file.path), size)


def _check_shape(file: JsonFile) -> None:
    if file.error is not None:
        raise RecordError(f"not JSON ({file.error})")
    if not isinstance(file.content, dict):
        raise RecordError(f"not COCO: a JSON {type(file.content).__name__}, wanted an object with {', '.join(_KEYS)}")
    for key in _KEYS:
        if key not in file.content:
            raise RecordError(f"not COCO: no key {key!r}; wanted {', '.join(_KEYS)}")
        if not isinstance(file.content[key], list):
            raise RecordError(f"not COCO: {key!r} is a {type(file.content[key]).__name__}, wanted a list")


def _by_id(file: JsonFile, key: str, kind: type[R], problems: Problems) -> dict[Id, R]:
    found: dict[Id, R] = {}
    for index, raw in enumerate(file.content[key]):
        with problems.at(f"{file.path}, {key}[{index}]"):
            try:
                record = kind.model_validate(raw)
            except ValidationError as error:
                raise RecordError(first_error(error)) from error
            if record.id in found:
                raise RecordError(f"the id {record.id!r:.40} is there twice")
            found[record.id] = record
    return found


def _claims(
    file: JsonFile, images: dict[Id, _Image], categories: dict[Id, _Category], problems: Problems
) -> tuple[dict[Id, list[Claim]], set[Id]]:
    """The boxes by image id, and the ids of images with crowd annotations, which are no single defect."""
    claims: dict[Id, list[Claim]] = defaultdict(list)
    crowds: set[Id] = set()
    for key, record in _by_id(file, "annotations", _Annotation, problems).items():
        where = f"{file.path}, annotation {key!r:.40}"
        if record.image_id not in images:
            problems.add(where, f"no image has the id {record.image_id!r:.40}")
        elif record.category_id not in categories:
            problems.add(where, f"no category has the id {record.category_id!r:.40}")
        elif record.iscrowd:
            crowds.add(record.image_id)
            problems.note("an annotation with iscrowd was skipped", where)
        else:
            left, top, width, height = record.bbox
            name = categories[record.category_id].name.strip()
            claims[record.image_id].append(Claim(where, name, (left, top, left + width, top + height)))
    return claims, crowds


def _folders(file: Path) -> list[Path]:
    """Where a name in the file may start from, in this order."""
    return [file.parent, file.parent / "images", Path(), Path("images")]
