import shutil
import subprocess
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from models.errors import ConfigError
from models.trust import fingerprint_of, load_trust
from tests.signer import Signer

END = date(2027, 6, 30)


@pytest.fixture
def signer(tmp_path) -> Signer:
    return Signer(tmp_path / "keys", "line", until=END)


@pytest.fixture
def file(signer) -> Path:
    return signer.pair.public


def refusal(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_trust(folder)
    return str(caught.value)


def test_a_folder_gives_its_keys_by_name(signer, tmp_path):
    Signer(tmp_path / "keys", "a-second", compatible=["m5-screw", "m5-nut"])
    second, first = load_trust(signer.trust)
    assert (first.name, first.head.trusted_until, first.head.compatible) == ("line", END, None)
    assert first.fingerprint == signer.fingerprint
    assert (second.name, second.head.compatible) == ("a-second", ("m5-screw", "m5-nut"))


def test_a_key_is_trusted_to_the_end_of_its_last_day(signer):
    (key,) = load_trust(signer.trust)
    assert key.is_trusted_at(datetime(2027, 6, 30, 23, 59, 59, tzinfo=UTC))
    assert not key.is_trusted_at(datetime(2027, 7, 1, tzinfo=UTC))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command here")
def test_openssl_reads_the_file_as_the_public_key_it_is(file):
    command = ["openssl", "pkey", "-pubin", "-in", str(file), "-outform", "PEM"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    assert fingerprint_of(done.stdout) == fingerprint_of(file.read_bytes())


def test_another_file_in_the_folder_is_no_matter(signer):
    (signer.trust / "README").write_text("whose keys these are")
    (signer.trust / "old").mkdir()
    assert len(load_trust(signer.trust)) == 1


def test_a_folder_that_is_missing_or_without_a_key_is_refused(tmp_path):
    assert "no such folder of trusted keys" in refusal(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "no trusted key (.pub) in it" in refusal(tmp_path / "empty")


def test_a_private_key_on_a_box_is_refused(signer):
    (signer.trust / "line.key").write_bytes(signer.pair.secret.read_bytes())
    assert "line.key: a private key; it belongs to who signs: delete it here" in refusal(signer.trust)


@pytest.mark.parametrize("which", ["folder", "file"])
def test_what_everybody_may_write_to_is_refused(signer, which):
    path = signer.trust if which == "folder" else signer.pair.public
    path.chmod(0o777)
    assert refusal(signer.trust) == f"{path}: everybody may write to it, and so add a key; chmod o-w {path}"


def test_the_same_key_under_two_names_is_refused(signer, file):
    (signer.trust / "copy.pub").write_bytes(file.read_bytes().replace(b"2027", b"2099"))
    assert "line.pub: the same key as copy.pub; delete one of the two" in refusal(signer.trust)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"trusted_until = 2027-06-30\n", b"", "trusted_until: missing"),
        (b"-----BEGIN", b"revoked = true\n-----BEGIN", "revoked: unknown key"),
        (b"2027-06-30", b'"some day"', "trusted_until: "),
        (b"2027-06-30", b"2027-13-30", "not a trusted key"),
        (b"-----BEGIN", b"compatible = []\n-----BEGIN", "compatible: "),
        (b"-----BEGIN", b'compatible = ["a b"]\n-----BEGIN', "compatible.0: "),
        (b"-----BEGIN PUBLIC KEY-----", b"", "trusted key"),
        (b"-----END PUBLIC KEY-----", b"", "not a trusted key"),
        (b"MFkw", b"MFkx", "not a trusted key"),
        (b"#", b"\xff#", "not a trusted key"),
    ],
)
def test_with_a_doubt_about_one_key_none_is_trusted(signer, file, old, new, reason):
    Signer(signer.pair.secret.parent, "fine")
    assert old in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(old, new, 1))
    assert reason in (line := refusal(signer.trust))
    assert line.startswith(f"{file}: ")


def test_a_key_of_another_kind_is_refused(signer, file):
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    for key in (ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256K1())):
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        file.write_bytes(b"trusted_until = 2027-06-30\n" + pem)
        assert "an elliptic key on P-256, P-384 or P-521 was wanted" in refusal(signer.trust)


def test_a_file_of_megabytes_is_refused_unread(signer, file):
    with file.open("ab") as more:
        more.truncate(1 << 30)
    assert "line.pub: not a trusted key (over 65536 bytes)" in refusal(signer.trust)
