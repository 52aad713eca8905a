"""Three boxes, three real sshd on loopback: what a push does to them, and what it leaves when it does not go well."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.bundle import MODEL_BIN, SIGNATURE, open_bundle
from models.files import sha256_of
from tests import tiny
from tests.deploy.cutter import Cutter
from tests.deploy.sshd import Plant, need_sshd
from tests.edge.box import wait_for
from tests.models.disk import flip
from tests.models.test_bundle import edit
from tests.signer import Signer

NAMES = ["a", "b", "c"]
LINE = '[[camera]]\nname = "top"\nkind = "folder"\npath = "line"\nloop = true\nfps = 30\n'
PADDING = 12_000_000
WHY = "it's {{ no }} template, and costs $HOME"


@pytest.fixture
def plant(tmp_path, bundle) -> Iterator[Plant]:
    """All three have the old version in force."""
    need_sshd()
    plant = Plant(tmp_path, bundle, NAMES)
    try:
        for box in plant.boxes.values():
            box.start()
            box.store.activate(box.store.add(bundle).digest)
        yield plant
    finally:
        plant.close()


def active(plant: Plant) -> list[str | None]:
    return [box.active for box in plant.boxes.values()]


def rows_of(out: str) -> dict[str, str]:
    """The table at the end: what it says of each box."""
    table = out[out.rindex("BOX ") :].splitlines()[1:]
    return {line.split()[0]: " ".join(line.split()[1:]) for line in table if line}


def padded(path: Path, n_bytes: int = PADDING) -> Path:
    """A bundle that takes a while to send."""
    made = tiny.make_bundle(path, threshold=0.61)
    (made / "padding.bin").write_bytes(os.urandom(n_bytes))
    about = {"sha256": sha256_of(made / "padding.bin"), "bytes": n_bytes}
    edit(made, lambda raw: raw["files"].update({"padding.bin": about}))
    return made


def test_a_canary_that_refuses_stops_the_roll_out_with_two_boxes_untouched(plant, newer, old, tmp_path):
    Signer(tmp_path / "signer", "line")
    box = plant.boxes["a"].box
    box.write_folder("line", head=f'store = "store"\ntrust = "{tmp_path}/signer/trust"')
    code, out, err = plant.run("push", newer, "--to", plant.inventory)
    assert code == 1
    assert active(plant) == [old] * 3
    rows = rows_of(out)
    assert rows["a"].startswith("failed")
    assert "model.sig: missing, this machine takes signed bundles only; `mekiki-deploy sign` the bundle" in rows["a"]
    assert (rows["b"], rows["c"]) == ("untouched", "untouched")
    assert err.startswith("mekiki-deploy: a: failed, and the roll-out stopped with 2 of 3 boxes untouched; ")
    assert plant.boxes["b"].incoming == plant.boxes["c"].incoming == []


def test_a_transfer_that_is_cut_off_goes_on_from_there_and_all_boxes_get_the_version(plant, tmp_path):
    big = padded(tmp_path / "big.bundle")
    new = open_bundle(big).digest
    with Cutter(plant.boxes["a"].port, PADDING * 2 // 3) as cutter:
        plant.boxes["a"].ssh_port = cutter.port
        plant.write_inventory()
        code, out, err = plant.run("push", big, "--to", plant.inventory, "--no-wait", "--older", WHY)
        assert (code, err) == (0, "")
        assert cutter.cuts == 1
    assert "a  was cut off; goes on from there" in out
    (sent,) = [line for line in out.splitlines() if line.startswith("a  sent ")]
    assert 3.0 < float(sent.split()[2]) < 9.0, "MB: of the 8 that went through, what was on its way was lost"
    assert "MB of 12.0 MB; the rest was there" in sent
    assert active(plant) == [new] * 3
    assert rows_of(out) == dict.fromkeys(NAMES, f"on probation {new[:12]}")
    assert [box.incoming for box in plant.boxes.values()] == [[], [], []]


def test_boxes_that_do_not_answer_say_why_and_the_others_answer(plant, old):
    plant.boxes["a"].stop()
    plant.boxes["b"].command.unlink()
    code, out, err = plant.run("status", "--to", plant.inventory)
    assert code == 1
    rows = rows_of(out)
    assert rows["a"] == "NO ANSWER nothing listens there; start sshd on it, or correct ansible_port"
    assert rows["b"].endswith("install mekiki there or set mekiki_edge in the inventory")
    assert rows["c"].startswith(f"active {old[:12]} none ")
    assert err.startswith("mekiki-deploy: 2 of the boxes failed: ")


def started(process: subprocess.Popen[str], begins: str) -> None:
    """Reads until a line begins so."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(begins):
            return
    raise AssertionError(f"no line {begins!r}")


def test_a_push_that_is_killed_goes_on_when_run_again_and_waits_for_the_canary(plant, newer, old, new):
    box = plant.boxes["a"].box
    box.write(LINE, head='store = "store"', tables="[probation]\nparts = 60\n")
    push = plant.popen("push", newer, "--to", plant.inventory)
    started(push, "a  proves it on its line")
    os.killpg(push.pid, signal.SIGKILL)
    push.communicate()
    assert active(plant) == [new, old, old]
    with box.daemon():
        code, out, err = plant.run("push", newer, "--to", plant.inventory)
        assert (code, err) == (0, "")
    rows = rows_of(out)
    assert "had it already" in rows["a"] or "60 parts: late 0.0%" in rows["a"]
    assert rows["a"].startswith(f"committed {new[:12]}")
    assert (rows["b"], rows["c"]) == (f"on probation {new[:12]}", f"on probation {new[:12]}")
    assert active(plant) == [new] * 3


def test_pull_brings_what_is_new_whole_and_deletes_nothing(plant):
    there, to = plant.boxes["a"].box.folder / "state", plant.folder / "pulled"
    pull = ["pull", "--from", plant.inventory, "--to", to, "--group", "a"]
    files = {
        "evidence/2026-11-28/e_top_1.png": b"picture",
        "evidence/2026-11-28/e_top_1.json": b"{}",
        "review/said.jsonl": b"one\n",
    }
    for name, content in (files | {"journal.db": b"stays", "evidence/2026-11-28/.incoming-x": b"half"}).items():
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_bytes(content)
    code, out, err = plant.run(*pull)
    assert (code, err) == (0, "")
    assert rows_of(out) == {"a": f"3 new files {to / 'a'}"}
    assert files_in(to / "a") == files
    (there / "evidence/2026-11-28/e_top_1.json").unlink()
    (there / "review/said.jsonl").write_bytes(b"one\ntwo\n")
    assert rows_of(plant.run(*pull)[1])["a"].startswith("1 new files")
    assert files_in(to / "a") == files | {"review/said.jsonl": b"one\ntwo\n"}
    assert (there / "evidence/2026-11-28/e_top_1.png").exists()


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_rollback_that_is_run_again_brings_no_box_forward(plant, newer, old):
    """The first time one box was not there."""
    for box in plant.boxes.values():
        box.store.activate(box.store.add(newer).digest)
    plant.boxes["c"].stop()
    assert plant.run("rollback", "--to", plant.inventory, "--because", WHY)[0] == 1
    plant.boxes["c"].start()
    code, out, _ = plant.run("rollback", "--to", plant.inventory)
    assert code == 0
    assert {box: row.split()[0] for box, row in rows_of(out).items()} == {"a": "left", "b": "left", "c": "rolled"}
    assert active(plant) == [old] * 3
    history = plant.boxes["a"].store.state().history
    assert (history[-1].step, history[-1].why) == ("rolled_back", WHY)


@pytest.mark.slow
def test_a_canary_that_rolls_itself_back_on_its_line_stops_the_roll_out(plant, old, tmp_path):
    """To this model every part is ng; its golden images agree, as they were made by it."""
    bad = tiny.make_bundle(tmp_path / "bad.bundle", threshold=0.05)
    box = plant.boxes["a"].box
    box.write(LINE, head='store = "store"', tables="[probation]\nparts = 60\n")
    with box.daemon():
        wait_for(lambda: box.answers() and box.metric("mekiki_verdicts_total") > 60)
        code, out, _ = plant.run("push", bad, "--to", plant.inventory)
    assert code == 1
    rows = rows_of(out)
    assert rows["a"].startswith(f"rolled back {old[:12]} version ")
    assert "is not in force any more (ng of " in rows["a"]
    assert (rows["b"], rows["c"]) == ("untouched", "untouched")
    assert active(plant) == [old] * 3
    assert json.dumps(plant.boxes["a"].store.state().failed).count("ng of ") == 1


@pytest.mark.slow
def test_the_version_in_force_is_sent_again_where_it_is_damaged_or_signed_anew(plant, bundle, old, tmp_path):
    flip(plant.boxes["a"].store.root / "versions" / old / MODEL_BIN)
    code, out, _ = plant.run("push", bundle, "--to", plant.inventory)
    assert code == 0
    assert rows_of(out) == {"a": f"active {old[:12]}"} | dict.fromkeys(["b", "c"], f"active {old[:12]} had it already")
    assert plant.boxes["a"].store.active().digest == old
    signed = Signer(tmp_path / "signer", "line").sign(Path(shutil.copytree(bundle, tmp_path / "signed.bundle")))
    assert plant.run("push", signed, "--to", plant.inventory, "--group", "a")[0] == 0
    assert (plant.boxes["a"].store.root / "versions" / old / SIGNATURE).is_file()


@pytest.mark.slow
def test_in_shadow_it_acts_on_nothing_and_where_the_line_holds_it_back_it_waits(plant, newer, old, new):
    """Run again, neither is sent again."""
    for _ in range(2):
        code, out, _ = plant.run("push", newer, "--to", plant.inventory, "--shadow", "--group", "a:b")
        assert (code, active(plant)) == (0, [old] * 3)
    assert rows_of(out) == dict.fromkeys(["a", "b"], f"in shadow {old[:12]} had it already")
    assert [box.store.state().shadow for box in plant.boxes.values()] == [new, new, None]
    plant.boxes["c"].box.write_folder("line", head='store = "store"', tables='[activation]\nhold = "running"')
    for _ in range(2):
        code, out, _ = plant.run("push", newer, "--to", plant.inventory, "--no-wait", "--group", "c")
    assert (code, rows_of(out)) == (0, {"c": f"waiting {old[:12]} had it already"})
    status = plant.run("status", "--to", plant.inventory)[1]
    assert f"{new[:12]} in shadow" in rows_of(status)["a"]
    assert f"{new[:12]} waits until the line stops" in rows_of(status)["c"]
