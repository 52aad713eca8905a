"""YOLO: one text file per image, a line `class cx cy w h` per box, in shares of the image's sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trainer.annotations.boxes import Claim, Draft
from trainer.annotations.problems import Problems, RecordError
from trainer.annotations.tree import Tree, is_below_good, is_held_out

_YAML = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_TXT = "classes.txt"
_LABELS, _IMAGES = "labels", "images"
_ROUNDING = 1e-6


def find_names(tree: Tree) -> list[Path]:
    """The files that may hold the names of the classes."""
    return [path for path in tree.files if path.name in (*_YAML, _TXT)]


def find_txt(tree: Tree) -> list[Path]:
    """The text files in a folder `labels`, or beside an image of the same name."""
    return [
        path
        for path in tree.with_suffix(".txt")
        if path.name != _TXT and (_LABELS in path.parts[:-1] or path.parent / path.stem in tree.by_stem)
    ]


def read_yolo(tree: Tree, files: Sequence[Path], problems: Problems) -> tuple[list[Draft], list[str]]:
    """The pictures of the image folders, with boxes where a text file has some, and the class names by id."""
    names = _read_names(tree, problems)
    texts, used = set(files), dict[Path, Path]()
    labelled: dict[Path, list[Path]] = {}
    for image in sorted(tree.images):
        labelled[image] = [path for path in dict.fromkeys(_places(image)) if path in texts]
    folders = {image.parent for image, found in labelled.items() if found}
    drafts = []
    for image, found in labelled.items():
        if not (found or image.parent in folders or _IMAGES in image.parts[:-1] or is_below_good(image)):
            problems.note("an image outside the folders of annotated ones was left out", image)
            continue
        with problems.at(image):
            _check_pair(image, found, used)
            claims = _read_labels(tree.root, found[0], names, problems) if found else []
            drafts.append(Draft(image, str(image), claims, is_held_out(image.parent), is_relative=True))
    for path in sorted(texts - used.keys()):
        problems.add(path, "no image has this name; put it back or remove the file")
    return drafts, list(dict.fromkeys(names or sorted({c.label for draft in drafts for c in draft.claims})))


def _places(image: Path) -> Iterator[Path]:
    """Where the text file of an image may lie."""
    parts = list(image.with_suffix(".txt").parts)
    if _IMAGES in parts[:-1]:
        last = len(parts) - 2 - parts[-2::-1].index(_IMAGES)
        yield Path(*parts[:last], _LABELS, *parts[last + 1 :])
    yield image.with_suffix(".txt")
    yield image.parent / _LABELS / f"{image.stem}.txt"


def _check_pair(image: Path, found: Sequence[Path], used: dict[Path, Path]) -> None:
    for path in found:
        if path in used:
            raise RecordError(f"{path} belongs to {used[path]} as well; two images have one name, rename one")
        used[path] = image
    if len(found) > 1:
        raise RecordError(f"it has two files of labels, {found[0]} and {found[1]}; remove one")


def _read_labels(root: Path, path: Path, names: list[str] | None, problems: Problems) -> list[Claim]:
    claims = []
    for number, line in enumerate(_text(root / path).splitlines(), 1):
        where = f"{path}, line {number}"
        with problems.at(where):
            if fields := line.split():
                claims.append(_claim(fields, names, where))
    return claims


def _claim(fields: list[str], names: list[str] | None, where: str) -> Claim:
    if len(fields) != 5:
        raise RecordError(f"{len(fields)} fields, wanted 5: class cx cy w h (no outline, no confidence)")
    try:
        cx, cy, width, height = values = [float(field) for field in fields[1:]]
    except ValueError:
        raise RecordError(f"{' '.join(fields)!r:.80} holds what is no number") from None
    if not all(-_ROUNDING <= value <= 1 + _ROUNDING for value in values):  # NaN is not either
        raise RecordError(f"{' '.join(fields)!r:.80} holds a value outside 0..1; wanted shares of the image's sides")
    label = _label(fields[0], names)
    return Claim(where, label, (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2))


def _label(text: str, names: list[str] | None) -> str:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise RecordError(f"the class {text!r:.40} is no whole number of 0 or more")
    if names is None:
        return text
    if int(text) >= len(names) or not names[int(text)]:
        raise RecordError(f"the class {text} has no name; {len(names)} names are given, from 0")
    return names[int(text)]


def _read_names(tree: Tree, problems: Problems) -> list[str] | None:
    found: dict[tuple[str, ...], Path] = {}
    for path in find_names(tree):
        with problems.at(path):
            names = _names_of_txt(tree.root / path) if path.name == _TXT else _names_of_yaml(tree.root / path)
            found.setdefault(tuple(names), path)
    if len(found) > 1:
        first, second = list(found.values())[:2]
        problems.add(second, f"it names other classes than {first}; keep one")
    if not found:
        if not problems.count:
            problems.add(tree.root.name, f"nothing names the classes; wanted {_YAML[0]} with `names:`, or {_TXT}")
        return None
    return list(next(iter(found)))


def _names_of_txt(path: Path) -> list[str]:
    return [line.strip() for line in _text(path).rstrip().splitlines()]


def _names_of_yaml(path: Path) -> list[str]:
    import yaml

    try:
        content = yaml.safe_load(_text(path))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise RecordError(f"not YAML ({' '.join(str(error).split()):.120})") from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict):
        names = _by_number(names)
    if not isinstance(names, list) or not names or not all(isinstance(name, str | int) for name in names):
        raise RecordError("no `names:` with a list of class names, or 0: name and so on")
    count = content.get("nc", len(names))
    if count != len(names):
        raise RecordError(f"`nc` is {count!r:.40}, but there are {len(names)} names")
    return [str(name).strip() for name in names]


def _by_number(names: dict[Any, Any]) -> list[Any]:
    if sorted(map(str, names)) != sorted(map(str, range(len(names)))):
        raise RecordError(f"the ids of `names:` are {', '.join(map(str, names)):.60}; wanted 0 to {len(names) - 1}")
    return [names[key] for key in sorted(names, key=int)]


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise RecordError(f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise RecordError("not UTF-8 text; save it as UTF-8") from error
