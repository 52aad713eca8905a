import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.cli import main
from deploy.sign import sign_bundle
from models.bundle import MODEL_BIN, SIGNATURE, open_bundle
from models.gate import Gate
from models.trust import load_trust
from tests.models.disk import flip
from tests.signer import Signer


@pytest.fixture
def keys(tmp_path) -> Path:
    return tmp_path / "keys"


def made(keys: Path, *more: str) -> int:
    return main(["keys", "--out", str(keys), *more])


def test_a_key_is_made_with_modes_that_keep_the_secret(keys, capsys):
    assert made(keys, "--name", "line-2026", "--until", "2027-12-31", "--compatible", "m5-screw") == 0
    secret, public = keys / "line-2026.key", keys / "trust" / "line-2026.pub"
    assert [path.stat().st_mode & 0o777 for path in (keys, secret, public.parent, public)] == [
        0o700,
        0o600,
        0o755,
        0o644,
    ]
    assert sorted(path.name for path in keys.rglob("*")) == ["line-2026.key", "line-2026.pub", "trust"]
    assert capsys.readouterr().out == (
        f"{secret}: keep it secret; it signs bundles\n"
        f"{public}: copy it to /etc/mekiki/trust of every box; trusted until 2027-12-31\n"
    )
    (key,) = load_trust(keys / "trust")
    assert (key.name, str(key.head.trusted_until), key.head.compatible) == ("line-2026", "2027-12-31", ("m5-screw",))


def test_the_secret_was_never_open_to_others_whatever_the_umask(keys):
    before = os.umask(0)
    try:
        assert made(keys, "--name", "a") == 0
    finally:
        os.umask(before)
    assert (keys / "a.key").stat().st_mode & 0o777 == 0o600
    assert (keys / "trust" / "a.pub").stat().st_mode & 0o777 == 0o644
    assert len(load_trust(keys / "trust")) == 1


def test_a_key_is_trusted_for_two_years_unless_told(keys):
    made(keys, "--name", "a")
    (key,) = load_trust(keys / "trust")
    assert key.head.trusted_until.year == datetime.now(UTC).year + 2


def test_a_second_key_joins_the_first(keys):
    assert (made(keys, "--name", "a"), made(keys, "--name", "b")) == (0, 0)
    first, second = load_trust(keys / "trust")
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize("left", ["a.key", "trust/a.pub"])
def test_a_key_is_never_overwritten(keys, capsys, left):
    made(keys, "--name", "a")
    for path in (keys / "a.key", keys / "trust" / "a.pub"):
        if path != keys / left:
            path.unlink()
    before = (keys / left).read_bytes()
    assert made(keys, "--name", "a") == 1
    assert "is there already; choose another name" in capsys.readouterr().err
    assert (keys / left).read_bytes() == before
    assert sorted(path.name for path in keys.rglob("*")) == sorted({"trust", Path(left).name})


def test_a_folder_that_others_can_look_into_is_refused(keys, capsys):
    keys.mkdir(mode=0o755)
    keys.chmod(0o755)
    assert made(keys, "--name", "a") == 2
    assert "others can look into it; chmod 700" in capsys.readouterr().err
    assert list(keys.iterdir()) == []


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".a", "ü", "a" * 65])
def test_a_name_that_is_no_file_name_is_refused(keys, name):
    assert made(keys, f"--name={name}") == 2
    assert not keys.exists()


@pytest.mark.parametrize("more", [["--until", "soon"], ["--until", "2027-02-30"], ["--compatible", "m5 screw"]])
def test_wrong_values_are_wrong_usage(keys, more):
    with pytest.raises(SystemExit) as ended:
        made(keys, "--name", "a", *more)
    assert ended.value.code == 2
    assert not keys.exists()


def test_signing_says_what_was_signed_and_with_which_key(keys, spare, old, capsys):
    signer = Signer(keys, "line")
    assert main(["sign", str(spare), "--key", str(signer.pair.secret)]) == 0
    assert capsys.readouterr().out == f"signed {old[:12]} with line (key {signer.fingerprint[:12]})\n"
    assert Gate(signer.trust).take_in(open_bundle(spare)).name == "line"


def test_signing_again_replaces_the_signature(keys, spare):
    first, second = Signer(keys, "a"), Signer(keys, "b")
    first.sign(spare)
    second.sign(spare)
    assert Gate(first.trust).verify(open_bundle(spare)).name == "b"
    assert [path.name for path in spare.parent.iterdir() if path.name.startswith(".")] == []


def test_a_damaged_bundle_is_not_signed(keys, spare, capsys):
    flip(spare / MODEL_BIN)
    assert main(["sign", str(spare), "--key", str(Signer(keys, "a").pair.secret)]) == 1
    assert "model.bin: sha256" in capsys.readouterr().err
    assert not (spare / SIGNATURE).exists()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda key: key.unlink(), "a.key: cannot be read (No such file or directory); make a key with"),
        (lambda key: key.chmod(0o640), "a.key: mode 0640, others can read this secret; chmod 600"),
        (lambda key: key.write_text("no key"), "a.key: not a private key of ours"),
        (
            lambda key: key.write_bytes((key.parent / "trust" / "a.pub").read_bytes()),
            "a.key: not a private key of ours",
        ),
        (lambda key: (key.unlink(), key.mkdir(mode=0o700)), "a.key: not a key file"),
    ],
    ids=["gone", "open", "none", "public", "folder"],
)
def test_a_key_that_is_none_or_open_to_others_signs_nothing(keys, spare, capsys, spoil, reason):
    key = Signer(keys, "a").pair.secret
    spoil(key)
    assert main(["sign", str(spare), "--key", str(key)]) == 2
    assert reason in capsys.readouterr().err
    assert not (spare / SIGNATURE).exists()


def test_a_bundle_on_a_disk_that_may_not_be_written_keeps_its_signature(keys, spare, monkeypatch):
    first, second = Signer(keys, "a"), Signer(keys, "b")
    before = (first.sign(spare) / SIGNATURE).read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        sign_bundle(spare, second.pair.secret)
    monkeypatch.undo()
    assert (spare / SIGNATURE).read_bytes() == before
    assert open_bundle(spare)
