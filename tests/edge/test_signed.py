"""A box that trusts keys: what it says of a bundle, what it starts with, and what it does not change to."""

import shutil
from datetime import date
from pathlib import Path

import pytest

from edge.cli import main
from edge.settings import load_settings
from models.bundle import SIGNATURE, open_bundle
from models.gate import Gate
from models.store import State, Store
from tests import tiny
from tests.edge.box import Box, Subscriber, wait_for
from tests.signer import Signer

ENDLESS = "loop = true\nfps = 50\ndeadline_s = 5\n"


@pytest.fixture
def signer(box) -> Signer:
    return Signer(box.folder / "keys", "line-2026")


@pytest.fixture
def signed(box, signer, bundle) -> Box:
    """A box in order, with a signed bundle and the key that it trusts."""
    box.bundle = signer.sign(Path(shutil.copytree(bundle, box.folder / "signed.bundle")))
    box.images("line", [tiny.OK])
    configure(box)
    return box


def configure(box: Box, trust: str = 'trust = "keys/trust"', store: bool = False, extra: str = "") -> None:
    place = f'store = "{box.folder / "store"}"' if store else f'bundle = "{box.bundle}"'
    box.write_folder("line", extra, head=f"{place}\n{trust}")


def signature_line(box: Box, capsys) -> tuple[int, str]:
    """The exit code of a check, and what it said of the signature."""
    code = main(["check", "--config", str(box.config)])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if " signature: " in line]
    return code, line


def test_the_folder_of_keys_is_relative_to_the_settings_file(signed):
    assert load_settings(signed.config).trust == signed.folder / "keys" / "trust"


def test_check_says_who_signed_the_bundle(signed, capsys):
    assert signature_line(signed, capsys) == (0, "ok      signature: by line-2026, trusted until 2099-12-31")


def test_check_warns_where_no_keys_are_trusted(signed, capsys):
    configure(signed, trust="")
    code, line = signature_line(signed, capsys)
    assert code == 0
    assert line.startswith(
        "warning signature: not checked, as no trusted keys are set; make some (`mekiki-deploy keys`)"
    )


def test_check_fails_for_a_bundle_without_a_signature(signed, capsys):
    (signed.bundle / SIGNATURE).unlink()
    code, line = signature_line(signed, capsys)
    assert code == 1
    assert line.startswith(f"failed  signature: {signed.bundle / SIGNATURE}: missing")


def test_check_fails_where_the_keys_are_not_in_order(signed, signer, capsys):
    signer.pair.public.unlink()
    code, line = signature_line(signed, capsys)
    assert code == 1
    assert "no trusted key (.pub) in it" in line


def test_a_line_whose_key_has_ended_runs_on_and_check_warns(signed, signer, capsys):
    """Nobody's line stands still on New Year's morning."""
    public = signer.pair.public
    public.write_text(public.read_text().replace("2099-12-31", "2026-01-01"))
    code, line = signature_line(signed, capsys)
    assert (code, line) == (
        0,
        "warning signature: by line-2026, trusted until 2026-01-01: it runs on, but nothing new of that key is taken; "
        "sign the next with a newer key",
    )
    code, _, err = signed.run()
    assert code == 0
    assert "WARNING MainThread: bundle" in err
    assert "it runs on" in err


def test_a_start_says_who_signed_the_bundle(signed):
    code, _, err = signed.run()
    assert code == 0
    assert f"INFO MainThread: bundle {open_bundle(signed.bundle).digest[:12]}: signature by line-2026" in err


def test_a_start_without_trusted_keys_warns(signed):
    configure(signed, trust="")
    code, _, err = signed.run()
    assert code == 0
    assert "WARNING MainThread: bundle" in err
    assert "signature not checked" in err


@pytest.mark.parametrize(
    ("spoil", "code", "reason"),
    [
        (lambda box, signer: (box.bundle / SIGNATURE).unlink(), 1, "model.sig: missing"),
        (lambda box, signer: Signer(box.folder / "away", "stranger").sign(box.bundle), 1, "machine trusts line-2026"),
        (lambda box, signer: signer.pair.public.unlink(), 2, "no trusted key"),
        (lambda box, signer: shutil.rmtree(signer.trust), 2, "no such folder of trusted keys"),
    ],
    ids=["unsigned", "stranger", "no key", "no folder"],
)
def test_a_box_does_not_start_with_a_bundle_that_it_cannot_trust(signed, signer, spoil, code, reason):
    """Exit code 2, which systemd does not retry, where a person must mend the settings."""
    spoil(signed, signer)
    found, _, err = signed.run()
    assert found == code
    assert reason in err
    assert "Traceback" not in err


def test_a_running_daemon_does_not_change_to_what_nobody_signed_and_does_to_what_a_new_key_signed(
    signed, signer, newer
):
    """Whoever writes into the store by hand does not get further than that."""
    gate = Gate(signer.trust)
    store = Store(signed.folder / "store", gate)
    first = store.activate(store.add(signed.bundle).digest).digest
    configure(signed, store=True, extra=ENDLESS)
    with signed.daemon(), Subscriber(signed.address) as subscriber:
        assert subscriber.next()["bundle"] == first
        second = Store(store.root).add(newer).digest  # as a tool without keys would
        (store.root / "state.json").write_text(State(active=second, previous=first).model_dump_json())
        wait_for(lambda: signed.metric("mekiki_model_swaps_total", result="refused") == 1)
        assert subscriber.next()["bundle"] == first
        key = Signer(signed.folder / "keys", "line-2027", until=date(2030, 1, 1))
        fresh = key.sign(Path(shutil.copytree(newer, signed.folder / "fresh.bundle")))
        store.add(fresh)
        (store.root / "state.json").write_text(State(active=first).model_dump_json())
        store.activate(second)
        wait_for(lambda: subscriber.next()["bundle"] == second)
