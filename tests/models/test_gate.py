"""Who may bring a bundle: several keys at a time, the next one before the last one ends, and anybody's own check."""

import os
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from models.bundle import SIGNATURE, open_bundle
from models.errors import BundleError, ConfigError, UntrustedError
from models.gate import Gate
from models.store import Store
from tests.models.disk import Disk, leftovers
from tests.signer import Signer

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "model_signing"]
IN_2026, IN_2028 = datetime(2026, 6, 1, tzinfo=UTC), datetime(2028, 6, 1, tzinfo=UTC)


@pytest.fixture
def first(tmp_path) -> Signer:
    return Signer(tmp_path / "keys", "line-2026", until=date(2027, 3, 31))


@pytest.fixture
def second(tmp_path) -> Signer:
    return Signer(tmp_path / "keys", "line-2027", until=date(2029, 3, 31))


def at(signer: Signer, now: datetime) -> Gate:
    return Gate(signer.trust, lambda: now)


def public(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command that everybody has."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def verify_key(bundle: Path, key: Path) -> int:
    return public("verify", "key", bundle, "--signature", bundle / SIGNATURE, "--public_key", key).returncode


def test_anyone_verifies_our_bundle_with_the_public_command(spare, first, tmp_path):
    first.sign(spare)
    assert verify_key(spare, first.pair.public) == 0
    stored = Store(tmp_path / "store").add(spare).path
    assert verify_key(stored, first.pair.public) == 0
    (stored / "golden" / "spot.png").write_bytes(b"changed")
    assert verify_key(stored, first.pair.public) != 0


def test_the_public_command_refuses_another_key(spare, first, second):
    assert verify_key(first.sign(spare), second.pair.public) != 0


def test_a_bundle_that_was_signed_with_the_public_command_is_taken(spare, first):
    path = spare / SIGNATURE
    done = public("sign", "key", spare, "--signature", path, "--private_key", first.pair.secret)
    assert done.returncode == 0, done.stderr
    assert at(first, IN_2026).take_in(open_bundle(spare)).name == "line-2026"


def test_a_file_that_the_public_command_was_told_to_ignore_is_not_trusted(spare, first):
    path, left_out = spare / SIGNATURE, spare / "model.bin"
    public("sign", "key", spare, "--signature", path, "--private_key", first.pair.secret, "--ignore-paths", left_out)
    assert verify_key(spare, first.pair.public) == 0
    with pytest.raises(UntrustedError, match=r"model.bin: .* the signature says nothing"):
        at(first, IN_2026).verify(open_bundle(spare))


def test_without_keys_anybodys_bundle_passes_and_nobody_is_named(spare, bundle, first):
    assert Gate().take_in(open_bundle(bundle)) is None
    (first.sign(spare) / SIGNATURE).write_text("damaged")
    assert Gate().take_in(open_bundle(spare)) is None


def test_the_old_and_the_new_key_are_trusted_at_the_same_time(spare, bundle, first, second, tmp_path):
    other = Path(shutil.copytree(bundle, tmp_path / "other.bundle"))
    gate = at(first, IN_2026)
    assert gate.take_in(open_bundle(first.sign(spare))).name == "line-2026"
    assert gate.take_in(open_bundle(second.sign(other))).name == "line-2027"


def test_a_key_that_is_added_or_deleted_counts_at_the_next_look(spare, first, second):
    second.sign(spare)
    file, content = second.pair.public, second.pair.public.read_bytes()
    gate = at(first, IN_2026)
    file.unlink()
    with pytest.raises(UntrustedError, match="this machine trusts line-2026; sign it with one of these"):
        gate.verify(open_bundle(spare))
    file.write_bytes(content)
    assert gate.verify(open_bundle(spare)).name == "line-2027"


def test_what_a_key_signed_runs_on_after_its_trust_ended_but_nothing_new_comes_in(spare, first):
    bundle = open_bundle(first.sign(spare))
    assert at(first, IN_2026).take_in(bundle).name == "line-2026"
    assert at(first, IN_2028).verify(bundle).name == "line-2026"
    with pytest.raises(
        UntrustedError, match="line-2026, which was trusted until 2027-03-31; sign the bundle with a newer"
    ):
        at(first, IN_2028).take_in(bundle)


def test_a_box_whose_clock_stands_before_the_bundle_was_made_takes_nothing(spare, first):
    with pytest.raises(UntrustedError, match="here it is 1970-01-01 00:00 UTC; set the clock that is wrong"):
        at(first, datetime(1970, 1, 1, tzinfo=UTC)).take_in(open_bundle(first.sign(spare)))


def test_a_store_goes_back_to_a_version_whose_key_has_ended(first, second, spare, newer, tmp_path):
    """Going back is what one does in need."""
    fresh = Path(shutil.copytree(newer, tmp_path / "fresh.bundle"))
    store = Store(tmp_path / "store", at(first, IN_2026))
    store.activate(store.add(first.sign(spare)).digest)
    later = Store(tmp_path / "store", at(first, IN_2028))
    later.activate(later.add(second.sign(fresh)).digest)
    assert later.rollback().digest == open_bundle(spare).digest
    with pytest.raises(UntrustedError, match="was trusted until"):
        later.activate(open_bundle(spare).digest)


def test_a_store_does_not_go_back_to_a_version_whose_key_was_deleted(first, second, spare, newer, tmp_path):
    fresh = Path(shutil.copytree(newer, tmp_path / "fresh.bundle"))
    store = Store(tmp_path / "store", at(first, IN_2026))
    store.activate(store.add(first.sign(spare)).digest)
    store.activate(store.add(second.sign(fresh)).digest)
    first.pair.public.unlink()
    with pytest.raises(UntrustedError):
        store.rollback()
    assert store.active().digest == open_bundle(fresh).digest


def test_a_store_from_before_takes_the_signature_that_is_pushed_and_keeps_the_version(first, spare, bundle, tmp_path):
    """How a box with unsigned bundles comes to trust keys: push the same bundle again, signed."""
    plain = Store(tmp_path / "store")
    digest = plain.activate(plain.add(bundle).digest).digest
    store = Store(tmp_path / "store", at(first, IN_2026))
    with pytest.raises(UntrustedError, match=r"model.sig: missing"):
        store.active()
    assert store.activate(store.add(first.sign(spare)).digest).digest == digest
    assert store.active().digest == digest
    assert (store.state().active, store.state().previous, store.versions()) == (digest, None, [digest])
    assert plain.add(bundle).digest == digest, "an unsigned one does not take the signature away"
    assert store.active().digest == digest


def test_a_version_is_signed_anew_with_the_next_key(first, second, spare, tmp_path):
    store = Store(tmp_path / "store", at(first, IN_2026))
    digest = store.activate(store.add(first.sign(spare)).digest).digest
    store.add(second.sign(spare))
    first.pair.public.unlink()
    assert store.active().digest == digest


@pytest.mark.parametrize("lost", [False, True], ids=["killed", "power cut"])
def test_after_a_cut_at_any_step_of_signing_anew_the_version_is_signed(first, second, spare, tmp_path, lost):
    store = Store(tmp_path / "store", at(first, IN_2026))
    digest = store.activate(store.add(first.sign(spare)).digest).digest
    second.sign(spare)
    disk = Disk(store.root, tmp_path / "cuts", lose_what_is_not_synced=lost)
    with disk.recorded():
        store.add(spare)
    seen = []
    for root in disk.cuts:
        cut = Store(root, store.gate)
        seen.append(store.gate.verify(cut.active()).name)
        cut.activate(digest)
        assert leftovers(cut) == []
    assert len(seen) > 5
    assert seen == sorted(seen)
    assert set(seen) == {"line-2026", "line-2027"}


def test_a_folder_of_keys_that_is_not_in_order_lets_nothing_pass(bundle, tmp_path):
    with pytest.raises(ConfigError):
        Gate(tmp_path / "none").verify(open_bundle(bundle))


def test_a_full_disk_is_told_before_anything_is_copied(bundle, tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=(64 << 20) + 100))
    with pytest.raises(BundleError, match=r"64 MB free, .* must stay free; free space, then push again"):
        store.add(bundle)
    assert store.versions() == []


def test_signing_and_verifying_reach_for_no_network_and_write_nothing_at_home(first, spare, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise SystemExit('reached for the network')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "from deploy.cli import main\n"
        "bundle, key, trust, store = sys.argv[1:]\n"
        "signed = main(['sign', bundle, '--key', key])\n"
        "sys.exit(signed or main(['push', bundle, '--to', store, '--trust', trust]))"
    )
    arguments = [spare, first.pair.secret, first.trust, tmp_path / "store"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT, env=kept | {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(", signed by line-2026\n")
    assert list(home.rglob("*")) == []
