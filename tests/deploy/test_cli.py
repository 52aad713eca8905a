import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cli import main
from models.bundle import MODEL_BIN, open_bundle
from models.store import Store
from tests.deploy.sshd import need_ansible
from tests.models.disk import flip

ROOT = Path(__file__).resolve().parents[2]
WARNING = (
    "mekiki-deploy: warning: nobody's signature was asked for, as this machine has no trusted keys; make some with "
    "`mekiki-deploy keys` and put them into /etc/mekiki/trust, or name their folder with --trust\n"
)


@pytest.fixture
def store(tmp_path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def deploy(store, capsys):
    """Runs a command on the store; returns exit code, stdout, stderr."""

    def run(command: str, *arguments: object) -> tuple[int, str, str]:
        code = main([command, *map(str, arguments), "--to", str(store)])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def two(deploy, bundle, newer) -> None:
    """Both versions are pushed: `old` is the previous one, `new` is active."""
    assert [deploy("push", source)[0] for source in (bundle, newer)] == [0, 0]


def active(store: Path) -> str | None:
    return Store(store).state().active


def refused(result: tuple[int, str, str]) -> str:
    """The one line of a command that failed."""
    code, _, err = result
    assert code == 1
    assert err.startswith("mekiki-deploy: ")
    assert err.count("\n") == 1
    return err


def test_push_puts_a_bundle_in_force_and_says_which(deploy, store, bundle, old):
    assert deploy("push", bundle) == (0, f"active {old[:12]} in {store}\n", WARNING)
    assert Store(store).active().digest == old


@pytest.mark.usefixtures("two")
def test_push_again_changes_nothing(deploy, store, newer, old, new):
    assert deploy("push", newer)[0] == 0
    assert (active(store), Store(store).state().previous) == (new, old)


def test_keep_active_only_stores(deploy, store, bundle, newer, old):
    deploy("push", bundle)
    new = open_bundle(newer).digest
    assert deploy("push", newer, "--keep-active") == (0, f"stored {new[:12]} in {store}\n", WARNING)
    assert active(store) == old
    assert Store(store).versions() == sorted([old, new])


def test_keep_active_into_an_empty_store_leaves_nothing_in_force(deploy, store, bundle, old):
    assert deploy("push", bundle, "--keep-active")[0] == 0
    assert active(store) is None
    assert "stored" in deploy("status")[1]


@pytest.mark.usefixtures("two")
def test_status_shows_every_version_and_its_role(deploy, old, new):
    code, out, err = deploy("status")
    assert (code, err) == (0, WARNING)
    about = "anomaly/patchcore  2026-01-01 00:00 UTC"
    assert set(out.splitlines()) == {f"{new[:12]}  active    {about}", f"{old[:12]}  previous  {about}"}


@pytest.mark.usefixtures("two")
def test_rollback_goes_back_and_says_to_what(deploy, store, old):
    assert deploy("rollback") == (0, f"active {old[:12]} in {store}\n", WARNING)
    assert active(store) == old


def test_rollback_without_a_version_before_is_refused(deploy, store, bundle, old):
    assert "no version before the active one; push another bundle" in refused(deploy("rollback"))
    deploy("push", bundle)
    assert "no version before the active one" in refused(deploy("rollback"))
    assert active(store) == old


def test_status_of_an_empty_store_says_how_to_fill_it(deploy, store):
    assert f"no versions; `mekiki-deploy push BUNDLE --to {store}` first" in refused(deploy("status"))
    assert not store.exists()


def test_a_damaged_bundle_is_refused_and_the_old_version_stays_in_force(deploy, store, bundle, spare, old):
    deploy("push", bundle)
    flip(spare / MODEL_BIN)
    assert "spare.bundle/model.bin: sha256 " in refused(deploy("push", spare))
    assert active(store) == old
    assert sorted(p.name for p in (store / "versions").iterdir()) == [old]


@pytest.mark.parametrize("what", ["none.bundle", "a.txt", "empty"])
def test_what_is_no_bundle_is_refused_and_makes_no_version(deploy, store, tmp_path, what):
    (tmp_path / "a.txt").touch()
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / what) in refused(deploy("push", tmp_path / what))
    assert Store(store).versions() == []


@pytest.mark.usefixtures("two")
def test_status_shows_a_damaged_version_beside_the_others_and_fails(deploy, store, old, new):
    flip(store / "versions" / old / MODEL_BIN)
    result = deploy("status")
    assert f"{old[:12]}  previous  DAMAGED\n" in result[1]
    assert f"{new[:12]}  active    anomaly/patchcore" in result[1]
    assert "model.bin: sha256" in refused(result)


@pytest.mark.usefixtures("two")
def test_status_shows_an_active_version_that_is_gone_and_fails(deploy, store, new):
    (store / "versions" / new).rename(store / "away")
    result = deploy("status")
    assert f"{new[:12]}  active    DAMAGED\n" in result[1]
    assert "nothing there" in refused(result)


def test_pushing_again_repairs_a_damaged_version(deploy, store, bundle, old):
    deploy("push", bundle)
    flip(store / "versions" / old / MODEL_BIN)
    assert deploy("push", bundle)[0] == 0
    assert deploy("status")[0] == 0
    assert Store(store).active().digest == old


def test_nothing_is_pushed_over_a_record_of_which_no_file_is_whole(deploy, store, bundle, old):
    """It would be forgotten what failed there, and what is older."""
    deploy("push", bundle)
    files = [store / "state.json", store / "state.copy.json"]
    for file in files:
        file.write_text("{")
    for command in (("status",), ("push", bundle)):
        assert "state.json: " in (line := refused(deploy(*command)))
        assert "put the file back from a backup, or delete state.json and state.copy.json" in line
    for file in files:
        file.unlink()
    assert deploy("push", bundle)[0] == 0
    assert active(store) == old


def test_a_store_in_a_file_is_refused_in_words(tmp_path, bundle, capsys):
    (tmp_path / "mine").write_text("mine")
    place = tmp_path / "mine" / "store"
    assert main(["push", str(bundle), "--to", str(place)]) == 1
    assert f"{place}/state.json: Not a directory; " in capsys.readouterr().err


def test_an_inventory_that_is_not_there_is_no_store(tmp_path, bundle, capsys):
    assert main(["push", str(bundle), "--to", str(tmp_path / "line.yml")]) == 2
    assert "line.yml: no such inventory; write one (deploy/README.md), or give a store" in capsys.readouterr().err
    assert not (tmp_path / "line.yml").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["push", "x.bundle", "--keep-active"], "--keep-active: for a store of this machine; on boxes, try a bundle"),
        (["status", "--trust", "keys"], "--trust: each box goes by its own trusted keys; leave it out"),
        (["rollback", "--trust", "keys"], "--trust: each box goes by its own trusted keys; leave it out"),
    ],
)
def test_what_only_a_store_understands_is_refused_for_boxes(tmp_path, capsys, command, words):
    (tmp_path / "line.yml").write_text("line3: {hosts: {a: }}\n")
    assert main([*command, "--to", str(tmp_path / "line.yml")]) == 2
    assert words in capsys.readouterr().err


def test_a_group_that_the_inventory_does_not_have_is_named(tmp_path, capsys):
    need_ansible()
    (tmp_path / "line.yml").write_text("line3: {hosts: {a: {ansible_connection: local}}}\n")
    assert main(["status", "--to", str(tmp_path / "line.yml"), "--group", "line4"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"mekiki-deploy: line4 of {tmp_path}/line.yml: Could not match supplied host pattern")
    assert err.endswith("line4; correct the inventory or --group\n")


def test_pull_wants_an_inventory_that_is_there(tmp_path, capsys):
    assert main(["pull", "--from", str(tmp_path / "line.yml"), "--to", str(tmp_path / "pulled")]) == 2
    assert "line.yml: no such inventory; write one (deploy/README.md)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option", [["--group", "line3"], ["--canary", "2"], ["--batch", "9"], ["--no-wait"], ["--shadow"]]
)
def test_what_only_boxes_understand_is_refused_for_a_store(deploy, store, bundle, option):
    code, _, err = deploy("push", bundle, *option)
    assert (code, "for boxes of an inventory, " in err) == (2, True)
    assert not store.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["push"],
        ["push", "x.bundle"],
        ["status"],
        ["rollback", "now"],
        ["pull"],
        ["push", "x.bundle", "--to", "s", "--canary", "-1"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_as_its_own_process_it_pushes_and_refuses(store, bundle, spare, old):
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "deploy.cli", *map(str, arguments), "--to", str(store)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    done = run("push", bundle)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"active {old[:12]} in {store}\n", WARNING)
    flip(spare / MODEL_BIN)
    done = run("push", spare)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert active(store) == old
