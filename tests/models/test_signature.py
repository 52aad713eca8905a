import base64
import json
from pathlib import Path
from typing import Any

import pytest

from models.bundle import MANIFEST, SIGNATURE, open_bundle
from models.errors import UntrustedError
from models.files import sha256_of
from models.signature import parse_signature
from tests.signer import Signer, statement


@pytest.fixture(scope="module")
def signer(tmp_path_factory) -> Signer:
    return Signer(tmp_path_factory.mktemp("signer") / "keys", "line")


@pytest.fixture
def text(spare, signer) -> bytes:
    return (signer.sign(spare) / SIGNATURE).read_bytes()


def changed(text: bytes, *path: str, to: Any) -> bytes:
    """The signature with one value of its outer part replaced, or taken away."""
    raw = part = json.loads(text)
    for key in path[:-1]:
        part = part[key]
    if to is None:
        del part[path[-1]]
    else:
        part[path[-1]] = to
    return json.dumps(raw).encode()


def stating(text: bytes, payload: object) -> bytes:
    encoded = base64.b64encode(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    return changed(text, "dsseEnvelope", "payload", to=encoded.decode())


def test_a_signature_names_its_key_and_every_file_with_its_hash(text, spare, signer):
    signature = parse_signature(text, "model.sig")
    assert signature.fingerprint == signer.fingerprint
    names = {MANIFEST, *open_bundle(spare).manifest.files}
    assert signature.files == {name: sha256_of(spare / name) for name in names}


def test_what_others_add_to_the_format_is_let_through(text):
    assert parse_signature(changed(text, "futureField", to={"a": 1}), "x").files


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("mediaType",), "application/json"),
        (("mediaType",), None),
        (("verificationMaterial", "publicKey"), None),
        (("verificationMaterial", "publicKey", "hint"), None),
        (("verificationMaterial", "publicKey", "hint"), "line"),
        (("verificationMaterial", "publicKey", "hint"), ""),
        (("dsseEnvelope",), None),
        (("dsseEnvelope", "payloadType"), "text/plain"),
        (("dsseEnvelope", "payload"), "not base64!"),
        (("dsseEnvelope", "payload"), "e30=\n"),  # lenient decoders take the line break
        (("dsseEnvelope", "payload"), 5),
        (("dsseEnvelope", "signatures"), []),
        (("dsseEnvelope", "signatures"), [{}, {}]),
    ],
)
def test_another_envelope_is_refused(text, path, to):
    with pytest.raises(UntrustedError, match=r"^here/model.sig: not a signature.*; sign the bundle again$"):
        parse_signature(changed(text, *path, to=to), "here/model.sig")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'"a"', b"\xff\xfe", b"[" * 100_000, b"{}"])
def test_what_is_no_signature_at_all_is_refused(content):
    with pytest.raises(UntrustedError, match="not a signature"):
        parse_signature(content, "model.sig")


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, {"_type": "x"}])
def test_a_payload_that_states_nothing_is_refused(text, payload):
    with pytest.raises(UntrustedError, match="not a signature"):
        parse_signature(stating(text, payload), "model.sig")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("method", "shards"),
        ("hash_type", "blake3"),
        ("allow_symlinks", True),
    ],
)
def test_another_way_to_hash_a_folder_is_refused(text, spare, part, value):
    payload = statement(spare)
    payload["predicate"]["serialization"][part] = value
    with pytest.raises(UntrustedError, match=rf"predicate.serialization.{part}"):
        parse_signature(stating(text, payload), "model.sig")


def test_the_statement_of_an_older_release_is_refused(text, spare):
    payload = statement(spare) | {"predicateType": "https://model_signing/Digests/v0.1"}
    with pytest.raises(UntrustedError, match="predicateType"):
        parse_signature(stating(text, payload), "model.sig")


def test_a_file_that_is_named_twice_is_refused(text, spare):
    payload = statement(spare)
    payload["predicate"]["resources"] *= 2
    with pytest.raises(UntrustedError, match="names a file twice"):
        parse_signature(stating(text, payload), "model.sig")


def test_every_byte_of_a_signature_matters_or_changes_nothing(text, spare, signer):
    """Cut anywhere, it is refused by what reads it; nothing but UntrustedError comes out."""
    for length in range(0, len(text), 97):
        with pytest.raises(UntrustedError):
            parse_signature(text[:length], "model.sig")


def test_the_signature_is_one_file_and_the_bundle_stays_the_same_version(spare, signer, old):
    before = {path: path.read_bytes() for path in spare.rglob("*") if path.is_file()}
    signer.sign(spare)
    after: dict[Path, bytes] = {path: path.read_bytes() for path in spare.rglob("*") if path.is_file()}
    assert after.keys() - before.keys() == {spare / SIGNATURE}
    assert {path: after[path] for path in before} == before
    assert open_bundle(spare).digest == old
