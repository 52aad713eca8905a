"""An adversary with a real bundle in hand: whatever is done to it, it is refused or it is whole."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from models.bundle import MANIFEST, MODEL_BIN, MODEL_XML, open_bundle
from models.errors import BundleError
from models.files import sha256_of

DARK, SPOT = "golden/dark.png", "golden/spot.png"


def flip(path: Path, where: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int((len(content) - 1) * where)] ^= 1
    path.write_bytes(content)


def edit(folder: Path, change: Callable[[dict], None]) -> None:
    """Rewrites the manifest as one who knows the format would."""
    raw = json.loads((folder / MANIFEST).read_bytes())
    change(raw)
    (folder / MANIFEST).write_text(json.dumps(raw))


def disown(folder: Path, name: str) -> None:
    edit(folder, lambda raw: raw["files"].pop(name))
    (folder / name).unlink()


def swap(a: Path, b: Path) -> None:
    content = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(content)


def move_out(path: Path, link: Callable[[Path, Path], None]) -> None:
    """Moves a file out of the bundle and puts something in its place that leads there."""
    outside = path.parents[1] / f"outside-{path.name}"
    path.rename(outside)
    link(outside, path)


def symlink(outside: Path, path: Path) -> None:
    path.symlink_to(outside)


def symlink_folder(folder: Path) -> None:
    (folder / "golden").rename(folder.parent / "golden")
    (folder / "golden").symlink_to(folder.parent / "golden")


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_file(folder: Path) -> None:
    folder.rename(folder.parent / "away")
    folder.write_text("a bundle, honestly")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "first bit of weights": (lambda b: flip(b / MODEL_BIN, 0), "model.bin: sha256 "),
    "last bit of weights": (lambda b: flip(b / MODEL_BIN, 1), "model.bin: sha256 "),
    "bit of graph": (lambda b: flip(b / MODEL_XML), "model.xml: sha256 "),
    "bit of golden image": (lambda b: flip(b / SPOT), "golden/spot.png: sha256 "),
    "bit of manifest": (lambda b: flip(b / MANIFEST, 0), "manifest.json: not JSON"),
    "weights cut short": (lambda b: os.truncate(b / MODEL_BIN, 3), "model.bin: 3 bytes, manifest says"),
    "weights emptied": (lambda b: os.truncate(b / MODEL_BIN, 0), "model.bin: 0 bytes, manifest says"),
    "graph grown": (lambda b: (b / MODEL_XML).open("a").write("\n"), "model.xml: "),
    "graph re-saved": (lambda b: (b / MODEL_XML).write_text("<net/>"), "model.xml: 6 bytes, manifest says"),
    "manifest cut short": (lambda b: os.truncate(b / MANIFEST, 200), "manifest.json: not JSON"),
    "manifest emptied": (lambda b: os.truncate(b / MANIFEST, 0), "manifest.json: not JSON"),
    "manifest of zeros": (lambda b: (b / MANIFEST).write_bytes(bytes(900)), "manifest.json: not JSON"),
    "manifest huge": (lambda b: os.truncate(b / MANIFEST, 5 << 20), "manifest.json: over 4194304 bytes"),
    "weights missing": (lambda b: (b / MODEL_BIN).unlink(), "model.bin: missing, the manifest names it"),
    "golden missing": (lambda b: (b / DARK).unlink(), "golden/dark.png: missing, the manifest names it"),
    "manifest missing": (lambda b: (b / MANIFEST).unlink(), "manifest.json: missing; this folder is not a bundle"),
    "extra file": (lambda b: (b / "notes.txt").touch(), "notes.txt: the manifest does not name it"),
    "extra hidden file": (lambda b: (b / ".DS_Store").touch(), ".DS_Store: the manifest does not name it"),
    "extra file in folder": (lambda b: (b / "golden/.x").touch(), "golden/.x: the manifest does not name it"),
    "extra temporary file": (lambda b: (b / ".incoming-1").touch(), ".incoming-1: the manifest does not name it"),
    "empty folder": (lambda b: (b / "new").mkdir(), "new: an empty folder"),
    "nested empty folders": (lambda b: (b / "golden/a/b").mkdir(parents=True), "golden/a/b: an empty folder"),
    "symlinked weights": (lambda b: move_out(b / MODEL_BIN, symlink), "model.bin: a link or a special file"),
    "symlinked folder": (symlink_folder, "golden: a link or a special file"),
    "symlinked manifest": (lambda b: move_out(b / MANIFEST, symlink), "manifest.json: a link or a special file"),
    "dangling symlink": (lambda b: (b / "x").symlink_to("none"), "x: a link or a special file"),
    "dangling manifest": (
        lambda b: ((b / MANIFEST).unlink(), (b / MANIFEST).symlink_to("none")),
        "manifest.json: a link or a special file",
    ),
    "fifo for weights": (lambda b: replace_by_fifo(b / MODEL_BIN), "model.bin: a link or a special file"),
    "fifo for manifest": (lambda b: replace_by_fifo(b / MANIFEST), "manifest.json: a link or a special file"),
    "folder for weights": (
        lambda b: ((b / MODEL_BIN).unlink(), (b / MODEL_BIN).mkdir(), (b / MODEL_BIN / "x").touch()),
        "model.bin: missing, the manifest names it",
    ),
    "golden images swapped": (lambda b: swap(b / DARK, b / SPOT), "golden/"),
    "weights disowned": (lambda b: disown(b, MODEL_BIN), "manifest.json: names no model.bin; make the bundle"),
    "graph disowned": (lambda b: disown(b, MODEL_XML), "manifest.json: names no model.xml"),
    "golden disowned": (lambda b: disown(b, SPOT), "manifest.json: names no golden/spot.png"),
    "manifest names itself": (
        lambda b: edit(b, lambda raw: raw["files"].update({MANIFEST: raw["files"][MODEL_BIN]})),
        "manifest.json: ",
    ),
    "manifest names a file outside": (
        lambda b: edit(b, lambda raw: raw["files"].update({"../x": raw["files"][MODEL_BIN]})),
        "manifest.json: files",
    ),
    "newer schema": (lambda b: edit(b, lambda raw: raw.update(schema_version=2)), "manifest.json: schema 2, this"),
    "wrong family": (lambda b: edit(b, lambda raw: raw.update(family="horoscope")), "family 'horoscope', this"),
    "model of another family": (
        lambda b: edit(b, lambda raw: raw.update(family="detection")),
        "family detection with a decoder of PatchcoreDecoder, BoxesDecoder was wanted; make the bundle again",
    ),
    "a file, no folder": (replace_by_file, "a file, a bundle folder was wanted"),
    "nothing there": (lambda b: b.rename(b.parent / "away"), "nothing there, a bundle folder was wanted"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_bundle_is_refused_in_one_line_that_names_the_place(spare, damage):
    do, complaint = DAMAGES[damage]
    do(spare)
    with pytest.raises(BundleError) as caught:
        open_bundle(spare)
    message = str(caught.value)
    assert message.startswith(str(spare))
    assert complaint in message
    assert "\n" not in message
    assert "; " in message, "it must say what to do"


@pytest.mark.parametrize("name", [MODEL_BIN, DARK, SPOT])
def test_a_flipped_bit_is_found_wherever_it_is(spare, name):
    """Not of the manifest: its hash is the bundle's name, see test_store.py."""
    content = (spare / name).read_bytes()
    for i in {*range(0, len(content), 11), len(content) - 1}:
        (spare / name).write_bytes(content[:i] + bytes([content[i] ^ 0x80]) + content[i + 1 :])
        with pytest.raises(BundleError, match=f"{name}: sha256"):
            open_bundle(spare)
    (spare / name).write_bytes(content)
    open_bundle(spare)


def test_a_whole_bundle_opens_and_is_named_by_the_hash_of_its_manifest(bundle):
    opened = open_bundle(bundle)
    assert opened.digest == hashlib.sha256((bundle / MANIFEST).read_bytes()).hexdigest()
    assert opened.digest == sha256_of(bundle / MANIFEST)
    assert opened.model_xml == bundle / MODEL_XML
    assert set(opened.manifest.files) == {MODEL_XML, MODEL_BIN, DARK, SPOT}


def test_a_changed_threshold_gives_another_version_and_not_the_same_one(spare, bundle):
    edit(spare, lambda raw: raw["threshold"].update(ng_at_or_above=0.51))
    assert open_bundle(spare).digest != open_bundle(bundle).digest


def test_a_link_to_a_whole_bundle_opens(bundle, tmp_path):
    (tmp_path / "latest").symlink_to(bundle)
    assert open_bundle(tmp_path / "latest").digest == open_bundle(bundle).digest
