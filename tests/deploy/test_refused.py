"""Bad bundles of every kind, pushed to a store that has a good one and trusts one key: each is refused with its
reason, nothing of it stays, and the old version is active and whole."""

import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from deploy.cli import main
from models.bundle import MANIFEST, MODEL_BIN, MODEL_XML, SIGNATURE, open_bundle
from models.errors import BundleError
from models.files import sha256_of
from models.gate import Gate
from models.store import Store
from tests import tiny
from tests.signer import Signer, edit, statement

PRODUCT = "m5-screw"
DARK, SPOT = "golden/dark.png", "golden/spot.png"


@dataclass(frozen=True)
class Scene:
    """What the adversary has in hand. `candidate` is newer than the active version, and would be taken."""

    candidate: Path
    line: Signer  # trusted
    ended: Signer  # trusted until the day before yesterday
    nuts: Signer  # trusted, for another product only
    gone: Signer  # was trusted; its file was deleted
    stranger: Signer
    active: Path


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def own(folder: Path, name: str) -> None:
    """Makes the manifest agree with a file that was changed."""
    raw = json.loads((folder / MANIFEST).read_bytes())
    raw["files"][name] = {"sha256": sha256_of(folder / name), "bytes": (folder / name).stat().st_size}
    (folder / MANIFEST).write_text(json.dumps(raw))


def signed_then(change: Callable[[Path], object]) -> Callable[[Scene], object]:
    """The honest signature, and what was done to the bundle after it."""

    def make(scene: Scene) -> None:
        scene.line.sign(scene.candidate)
        change(scene.candidate)

    return make


def forged_after(change: Callable[[Path], object]) -> Callable[[Scene], object]:
    """Made bad before it was signed, with the trusted key: a mistake, or a thief at the workstation."""

    def make(scene: Scene) -> None:
        change(scene.candidate)
        scene.line.forge(scene.candidate)

    return make


def swap_files(folder: Path) -> None:
    a, b = (folder / DARK).read_bytes(), (folder / SPOT).read_bytes()
    (folder / DARK).write_bytes(b)
    (folder / SPOT).write_bytes(a)


def link_away(path: Path) -> None:
    outside = path.parents[1] / f"outside-{path.name}"
    path.rename(outside)
    path.symlink_to(outside)


def traverse(folder: Path) -> None:
    raw = json.loads((folder / MANIFEST).read_bytes())
    raw["files"]["../../state.json"] = raw["files"][DARK]
    (folder / MANIFEST).write_text(json.dumps(raw))


def claim_terabytes(folder: Path) -> None:
    """A file of 5 TB that takes no room until it is copied."""
    os.truncate(folder / MODEL_BIN, 5 << 40)
    raw = json.loads((folder / MANIFEST).read_bytes())
    raw["files"][MODEL_BIN]["bytes"] = 5 << 40
    (folder / MANIFEST).write_text(json.dumps(raw))


def forge_terabytes(scene: Scene) -> None:
    scene.line.sign(scene.candidate)
    claim_terabytes(scene.candidate)


def unpack_huge(folder: Path) -> None:
    """A picture of a few hundred bytes that unpacks to 10 gigapixel."""
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(head)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (folder / DARK).write_bytes(png + bytes(200))
    own(folder, DARK)


def many_files(folder: Path) -> None:
    raw = json.loads((folder / MANIFEST).read_bytes())
    raw["files"] |= {f"golden/{i}.png": raw["files"][DARK] for i in range(2000)}
    (folder / MANIFEST).write_text(json.dumps(raw))


def name_the_signature(folder: Path) -> None:
    raw = json.loads((folder / MANIFEST).read_bytes())
    raw["files"][SIGNATURE] = raw["files"][DARK]
    (folder / MANIFEST).write_text(json.dumps(raw))


def loosen(folder: Path) -> None:
    """The threshold so high that every part passes; the hashes of the manifest still hold."""
    raw = json.loads((folder / MANIFEST).read_bytes())
    raw["threshold"]["ng_at_or_above"] = 0.9
    (folder / MANIFEST).write_text(json.dumps(raw))


def replayed(scene: Scene) -> None:
    """A true signature by the trusted key, of another bundle."""
    shutil.copyfile(scene.active / SIGNATURE, scene.candidate / SIGNATURE)


# Kind -> how it is made, and the reason that must be given. These are refused by whatever way they came.
KINDS: dict[str, tuple[Callable[[Scene], object], str]] = {
    "bit flip in the manifest": (signed_then(lambda folder: flip(folder / MANIFEST)), "manifest.json: "),
    "bit flip in the model": (signed_then(lambda folder: flip(folder / MODEL_XML)), "model.xml: sha256 "),
    "bit flip in the weights": (signed_then(lambda folder: flip(folder / MODEL_BIN)), "model.bin: sha256 "),
    "bit flip in a golden image": (signed_then(lambda folder: flip(folder / DARK)), "dark.png: sha256 "),
    "bit flip in the signature": (signed_then(lambda folder: flip(folder / SIGNATURE)), "model.sig: "),
    "two files swapped": (signed_then(swap_files), "dark.png: "),
    "threshold moved, hashes right": (signed_then(loosen), "manifest.json: sha256 "),
    "extra file": (signed_then(lambda folder: (folder / "run.sh").touch()), "run.sh: the manifest does not name it"),
    "hidden file": (signed_then(lambda folder: (folder / ".gitignore").touch()), ".gitignore: the manifest does not"),
    "missing file": (signed_then(lambda folder: (folder / SPOT).unlink()), "spot.png: missing"),
    "truncated": (signed_then(lambda folder: os.truncate(folder / MODEL_XML, 100)), "model.xml: 100 bytes, manifest"),
    "symlink": (signed_then(lambda folder: link_away(folder / DARK)), "dark.png: a link or a special file"),
    "symlink as signature": (signed_then(lambda folder: link_away(folder / SIGNATURE)), "model.sig: a link"),
    "path traversal": (forged_after(traverse), "String should match pattern"),
    "no signature": (lambda scene: None, "model.sig: missing, this machine takes signed bundles only"),
    "signature that is none": (signed_then(lambda folder: (folder / SIGNATURE).write_text("trust me")), "not a sig"),
    "signature too large": (
        signed_then(lambda folder: os.truncate(folder / SIGNATURE, 5 << 20)),
        "model.sig: over ",
    ),
    "wrong key": (lambda scene: scene.stranger.sign(scene.candidate), "this machine trusts ended, line, nuts; sign it"),
    "wrong key under the right name": (
        lambda scene: scene.stranger.forge(scene.candidate, fingerprint=scene.line.fingerprint),
        "model.sig: not made with line for these files",
    ),
    "revoked key": (lambda scene: scene.gone.sign(scene.candidate), "this machine trusts ended, line, nuts; sign it"),
    "signature of another bundle": (replayed, "manifest.json: sha256 "),
    "signature that leaves a file out": (
        lambda scene: scene.line.forge(
            scene.candidate, payload=statement(scene.candidate, leave_out=MODEL_BIN, ignore=[MODEL_BIN])
        ),
        "the signature says nothing",
    ),
    "signature by another hash": (
        lambda scene: scene.line.forge(scene.candidate, payload=statement(scene.candidate, algorithm="md5")),
        "Input should be 'sha256'",
    ),
    "newer schema": (
        forged_after(lambda folder: edit(folder, schema_version=2)),
        "schema 2, this mekiki reads up to 1",
    ),
    "unknown family": (forged_after(lambda folder: edit(folder, family="oracle")), "family 'oracle'"),
    "manifest that names the signature": (forged_after(name_the_signature), "names model.sig as a file"),
    "terabytes in the manifest": (forge_terabytes, "at most 1000 of 4294967296 were wanted"),
    "too many files": (forged_after(many_files), "at most 1000"),
    "picture that unpacks to gigabytes": (forged_after(unpack_huge), "dark.png: 100000x100000 px"),
}
# What is asked of a bundle only as long as it is new to the machine.
NEW_KINDS: dict[str, tuple[Callable[[Scene], object], str]] = {
    "key whose trust ended": (
        lambda scene: scene.ended.sign(scene.candidate),
        "signed by ended, which was trusted until 2026-01-01; sign the bundle with a newer key",
    ),
    "key for another product": (
        lambda scene: scene.nuts.sign(scene.candidate),
        "for m5-screw, nuts may sign for m5-nut",
    ),
    "wrong product": (
        forged_after(lambda folder: edit(folder, compatible="m5-nut")),
        "for m5-nut, the active version is for m5-screw; push it to the store of its own product",
    ),
    "no product": (
        forged_after(lambda folder: edit(folder, compatible=None)),
        "for no named product, the active version is for m5-screw",
    ),
    "downgrade": (
        forged_after(lambda folder: edit(folder, created_at="2025-12-31T00:00:00Z")),
        "made on 2025-12-31 00:00 UTC, the active version on 2026-01-01 00:00 UTC; push a newer one, or say why",
    ),
    "made tomorrow": (
        forged_after(lambda folder: edit(folder, created_at="2098-01-01T00:00:00Z")),
        "made on 2098-01-01 00:00 UTC, here it is 20",
    ),
}
BOTH = KINDS | NEW_KINDS


@pytest.fixture(scope="module")
def signers(tmp_path_factory) -> dict[str, Signer]:
    keys, away = tmp_path_factory.mktemp("keys") / "keys", tmp_path_factory.mktemp("away")
    people = {
        "line": Signer(keys, "line"),
        "ended": Signer(keys, "ended", until=date(2026, 1, 1)),
        "nuts": Signer(keys, "nuts", compatible=["m5-nut"]),
        "gone": Signer(keys, "gone"),
        "stranger": Signer(away / "keys", "stranger"),
    }
    people["gone"].fingerprint  # noqa: B018  while its file is there
    people["gone"].pair.public.unlink()
    return people


@pytest.fixture(scope="module")
def made(tmp_path_factory, signers) -> Path:
    """A folder with the version that is active, signed, and a newer one."""
    folder = tmp_path_factory.mktemp("made")
    old = tiny.make_bundle(folder / "old.bundle", manifest={"compatible": PRODUCT})
    signers["line"].sign(old)
    newer = {"compatible": PRODUCT, "created_at": datetime(2026, 1, 2, tzinfo=UTC)}
    tiny.make_bundle(folder / "newer.bundle", threshold=0.6, manifest=newer)
    return folder


@pytest.fixture
def scene(tmp_path, made, signers) -> Scene:
    candidate = Path(shutil.copytree(made / "newer.bundle", tmp_path / "candidate.bundle"))
    return Scene(candidate=candidate, active=made / "old.bundle", **signers)


@pytest.fixture
def store(tmp_path, made, signers) -> Store:
    """It has the old version in force."""
    store = Store(tmp_path / "store", Gate(signers["line"].trust))
    store.activate(store.add(made / "old.bundle").digest)
    return store


def snapshot(root: Path) -> dict[str, str]:
    """Every file of the store and its hash."""
    return {str(path.relative_to(root)): sha256_of(path) for path in sorted(root.rglob("*")) if path.is_file()}


def push(store: Store, source: Path, *more: str) -> int:
    return main(["push", str(source), "--to", str(store.root), "--trust", str(store.gate.trust), *more])


def test_there_are_at_least_twenty_kinds_with_a_reason_of_their_own():
    assert len(BOTH) >= 20


@pytest.mark.parametrize("kind", BOTH)
def test_a_bad_bundle_is_refused_with_its_reason_and_the_old_version_stays_active_and_whole(kind, store, scene, capsys):
    make, reason = BOTH[kind]
    make(scene)
    before = snapshot(store.root)
    assert push(store, scene.candidate) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("mekiki-deploy: ")
    assert reason in err
    assert snapshot(store.root) == before
    assert store.active().digest == open_bundle(scene.active).digest


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_bundle_that_somebody_put_into_the_store_by_hand_is_not_opened(kind, store, scene):
    KINDS[kind][0](scene)
    digest = sha256_of(scene.candidate / MANIFEST)
    if kind != "terabytes in the manifest":  # nobody copies that by hand
        shutil.copytree(scene.candidate, store.root / "versions" / digest, symlinks=True)
        with pytest.raises(BundleError):
            store.open(digest)
        with pytest.raises(BundleError):
            store.activate(digest)
    assert store.active().digest == open_bundle(scene.active).digest


def test_the_same_bundle_unharmed_is_taken(store, scene, capsys):
    """Else the refusals above would prove nothing."""
    scene.line.sign(scene.candidate)
    assert push(store, scene.candidate) == 0
    digest = open_bundle(scene.candidate).digest
    assert capsys.readouterr() == (f"active {digest[:12]} in {store.root}, signed by line\n", "")
    assert store.active().digest == digest


def test_a_signature_made_by_hand_is_taken_too(store, scene):
    """So the forger knows the format: what he makes is refused for what it says, not for how."""
    scene.line.forge(scene.candidate)
    assert push(store, scene.candidate) == 0


def test_an_older_bundle_is_taken_when_a_reason_is_given_and_the_reason_is_kept(store, scene, capsys):
    edit(scene.candidate, created_at="2025-12-31T00:00:00Z")
    scene.line.sign(scene.candidate)
    assert push(store, scene.candidate, "--older", "rejects good parts since Monday") == 0
    capsys.readouterr()
    assert main(["status", "--to", str(store.root), "--trust", str(store.gate.trust)]) == 0
    assert capsys.readouterr().out.endswith("older than the version before it: rejects good parts since Monday\n")


@pytest.mark.parametrize("kind", ["no signature", "wrong product", "key whose trust ended", "made tomorrow"])
def test_a_reason_to_go_back_is_no_reason_for_anything_else(kind, store, scene):
    BOTH[kind][0](scene)
    before = snapshot(store.root)
    assert push(store, scene.candidate, "--older", "please") == 1
    assert snapshot(store.root) == before
