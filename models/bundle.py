"""Reads a bundle: one immutable folder of manifest, IR and golden images, and perhaps a signature.

`trainer/export.py` writes it. Reading verifies every hash and refuses anything odd, because what is
in this folder decides which parts pass.

The signature is the one file that the manifest does not name, as it covers the manifest. So it may come, go or be
replaced (by another key's) and the bundle is still the same version: its digest is that of the manifest.
`models/gate.py` reads it, where keys are trusted.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from models.errors import BundleError
from models.files import sha256_of
from models.images import png_size
from models.manifest import Manifest, parse_manifest
from models.variant import MODEL_XML, Precision, Variant, weights_of

__all__ = [
    "MANIFEST", "MAX_BYTES", "MAX_FILES", "MODEL_BIN", "MODEL_XML", "SIGNATURE", "Bundle", "open_bundle",
]  # fmt: skip

MANIFEST = "manifest.json"
MODEL_BIN = weights_of(MODEL_XML)
SIGNATURE = "model.sig"  # as the `model_signing` command calls it
MAX_BYTES = 4 << 30  # of all files; no model of a box comes near
MAX_FILES = 1000
_MAX_MANIFEST_BYTES = 4 << 20
_MAX_GOLDEN_PX = 1 << 28  # a few kB of PNG may unpack to more than there is memory


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle, as it reads for one of its precisions: the main one unless `at` says otherwise."""

    path: Path
    manifest: Manifest
    digest: str  # sha256 of manifest.json, which holds the hash of every other file but the signature
    model: str = MODEL_XML

    @property
    def model_xml(self) -> Path:
        """The IR; its weights lie beside it."""
        return self.path / self.model

    @property
    def bytes(self) -> int:
        """Of all files that the manifest names."""
        return sum(file.bytes for file in self.manifest.files.values())

    @property
    def main(self) -> "Bundle":
        """The bundle as its manifest is written."""
        names = {one.model: one.precision for one in self.manifest.variants}
        return self if self.model == MODEL_XML else self.at(names[MODEL_XML])

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """All that it holds, the one that it reads as first."""
        return self.manifest.precision, *(one.precision for one in self.manifest.variants)

    def at(self, precision: Precision) -> "Bundle":
        """The bundle as it reads for that precision: graph, scores and threshold are those of the variant, and what
        it reads as now is a variant of it. Raises BundleError when it holds none of that precision."""
        if precision == self.manifest.precision:
            return self
        if precision not in self.precisions:
            raise BundleError(
                f"{self.path}: holds {', '.join(self.precisions)}, not {precision}; choose one of these or fit again "
                "with that precision"
            )
        variants = (_variant_of(self), *self.manifest.variants)
        chosen = next(one for one in variants if one.precision == precision)
        fields = {name: getattr(chosen, name) for name in _SHARED}
        fields["variants"] = tuple(one for one in variants if one is not chosen)
        return replace(self, manifest=self.manifest.model_copy(update=fields), model=chosen.model)


_SHARED = tuple(name for name in Variant.model_fields if name in Manifest.model_fields and name != "model")


def _variant_of(bundle: Bundle) -> Variant:
    fields = {name: getattr(bundle.manifest, name) for name in _SHARED}
    return Variant(**fields | {"model": bundle.model, "hint": bundle.manifest.arithmetic})


def open_bundle(path: Path) -> Bundle:
    """Verifies the folder at `path` and returns it as a Bundle.

    Raises BundleError when it is missing, incomplete, changed, of a newer schema or another family, out of all
    proportion, or holds a file, link or folder that the manifest does not name.
    """
    text = _read_manifest(path)
    manifest = parse_manifest(text, str(path / MANIFEST))
    _refuse_disproportion(manifest, path / MANIFEST)
    found = _files_in(path)
    wanted = set(manifest.files)
    pose = () if manifest.pose is None else (manifest.pose.file,)
    graphs = [name for one in manifest.variants for name in (one.model, weights_of(one.model))]
    for name in (MODEL_XML, MODEL_BIN, *graphs, *pose, *(golden.file for golden in manifest.golden)):
        if name not in wanted:
            raise BundleError(f"{path / MANIFEST}: names no {name}; make the bundle again")
    if missing := sorted(wanted - found):
        raise BundleError(f"{path / missing[0]}: missing, the manifest names it; push the bundle again")
    if extra := sorted(found - wanted - {MANIFEST, SIGNATURE}):
        raise BundleError(f"{path / extra[0]}: the manifest does not name it; remove it or push the bundle again")
    for name in sorted(wanted):
        _verify(path / name, manifest.files[name].sha256, manifest.files[name].bytes)
    for golden in manifest.golden:
        _refuse_huge(path / golden.file)
    return Bundle(path=path, manifest=manifest, digest=hashlib.sha256(text).hexdigest())


def _read_manifest(path: Path) -> bytes:
    if not path.is_dir():
        found = "a file" if path.exists() else "nothing there"
        raise BundleError(f"{path}: {found}, a bundle folder was wanted; give the folder that `mekiki-train fit` wrote")
    manifest = path / MANIFEST
    if manifest.is_symlink() or (manifest.exists() and not manifest.is_file()):
        raise BundleError(f"{manifest}: a link or a special file; a bundle holds plain files: push it again")
    if not manifest.exists():
        raise BundleError(f"{manifest}: missing; this folder is not a bundle, or it is half-copied: push it again")
    if manifest.stat().st_size > _MAX_MANIFEST_BYTES:
        raise BundleError(f"{manifest}: over {_MAX_MANIFEST_BYTES} bytes; this is not a manifest: push it again")
    return manifest.read_bytes()


def _refuse_disproportion(manifest: Manifest, path: Path) -> None:
    """Before a byte of it is read."""
    if reserved := {MANIFEST, SIGNATURE} & set(manifest.files):
        raise BundleError(f"{path}: names {min(reserved)} as a file, which cannot hold its own hash; make it again")
    total = sum(file.bytes for file in manifest.files.values())
    if total > MAX_BYTES or len(manifest.files) > MAX_FILES:
        raise BundleError(
            f"{path}: {len(manifest.files)} files of {total} bytes, at most {MAX_FILES} of {MAX_BYTES} were wanted; "
            "make the bundle again"
        )


def _refuse_huge(golden: Path) -> None:
    size = png_size(golden)
    if size is not None and size[0] * size[1] > _MAX_GOLDEN_PX:
        raise BundleError(
            f"{golden}: {size[1]}x{size[0]} px, at most {_MAX_GOLDEN_PX} pixels were wanted; make the bundle again"
        )


def _files_in(path: Path) -> set[str]:
    found = set()
    for item in path.rglob("*"):
        if item.is_symlink() or not (item.is_file() or item.is_dir()):
            raise BundleError(f"{item}: a link or a special file; a bundle holds plain files: push it again")
        if item.is_dir() and not any(item.iterdir()):
            raise BundleError(f"{item}: an empty folder; the manifest does not name it: remove it or push it again")
        if item.is_file():
            found.add(item.relative_to(path).as_posix())
    return found


def _verify(path: Path, want: str, want_bytes: int) -> None:
    size = path.stat().st_size
    if size != want_bytes:
        raise BundleError(f"{path}: {size} bytes, manifest says {want_bytes}; push the bundle again")
    got = sha256_of(path)
    if got != want:
        raise BundleError(f"{path}: sha256 {got[:12]}, manifest says {want[:12]}; push the bundle again")
