"""`mekiki-edge model`: from a folder on the box to a version in force, and back."""

import os
import shutil
from pathlib import Path

import pytest

from edge.cli import main
from edge.manage import Place
from edge.settings import load_settings
from edge.startup import count_end, count_start, load_bundles, withdraw_unfit
from models.bundle import MODEL_BIN, open_bundle
from models.errors import BundleError, DeviceError, MekikiError
from models.files import sha256_of
from models.store import Store
from models.upright import UPRIGHT
from tests import keys, tiny
from tests.models.disk import Disk, flip, leftovers
from tests.models.test_bundle import edit
from tests.signer import Signer


@pytest.fixture
def store(stocked) -> Store:
    return Store(stocked.folder / "store")


@pytest.fixture
def model(stocked, capsys):
    """Runs an action; returns exit code, stdout, stderr."""

    def run(action: str, *arguments: object) -> tuple[int, str, str]:
        code = main(["model", action, *map(str, arguments), "--config", str(stocked.config)])
        return code, *capsys.readouterr()

    return run


def steps(store: Store, digest: str) -> list[str]:
    return [event.step for event in store.state().history if event.version == digest]


def test_install_says_each_step_and_puts_the_version_in_force_on_probation(model, store, newer, new, old):
    code, out, err = model("install", newer)
    assert (code, err) == (0, "")
    verified, staged, qualified, active = out.splitlines()
    assert verified == f"verified {new[:12]}, nobody's signature was asked for"
    assert staged == f"staged in {store.root}"
    assert qualified.startswith("qualified on CPU at f32, 2 golden images, ")
    assert active == f"active {new[:12]}, on probation for 200 parts"
    state = store.state()
    assert (state.active, state.previous, state.on_probation) == (new, old, True)
    assert steps(store, new) == ["staged", "qualified", "activated"]


def test_the_first_version_of_a_box_is_not_on_probation(model, store, newer, new):
    shutil.rmtree(store.root)
    code, out, _ = model("install", newer)
    assert (code, out.splitlines()[-1]) == (0, f"active {new[:12]}")
    assert not store.state().on_probation


def test_a_box_without_probation_commits_at_once(model, stocked, store, newer):
    stocked.write_folder("line", head='store = "store"', tables="[probation]\nparts = 0")
    assert model("install", newer)[0] == 0
    assert not store.state().on_probation


def test_keep_active_only_tries_it(model, store, newer, new, old):
    assert model("install", newer, "--keep-active")[0] == 0
    assert store.state().active == old
    assert steps(store, new) == ["staged", "qualified"]
    assert model("activate", new[:8])[0] == 0
    assert store.state().active == new


def test_a_bundle_that_judges_otherwise_on_this_device_is_refused_and_the_old_one_stays(model, store, stocked, old):
    wrong = tiny.make_bundle(stocked.folder / "wrong.bundle", golden_error=0.1)
    code, _, err = model("install", wrong)
    assert code == 1
    assert "do not use this bundle on this device" in err
    assert store.active().digest == old
    assert steps(store, open_bundle(wrong).digest) == ["staged", "refused"]


def test_a_bundle_whose_template_of_a_part_is_none_is_refused_and_the_old_one_stays(model, store, stocked, old):
    foreign = keys.make_bundle(stocked.folder / "foreign.bundle")
    (foreign / UPRIGHT).write_bytes(b"no template")
    edit(foreign, lambda raw: raw["files"].update({UPRIGHT: {"sha256": sha256_of(foreign / UPRIGHT), "bytes": 11}}))
    code, _, err = model("install", foreign)
    assert code == 1
    assert f"{UPRIGHT}: no template of a part" in err
    assert store.active().digest == old
    assert steps(store, open_bundle(foreign).digest) == ["staged", "refused"]


def test_a_bundle_that_is_too_slow_for_the_line_is_refused(model, store, stocked, newer, old):
    stocked.write_folder("line", "deadline_s = 0.000001", head='store = "store"')
    code, _, err = model("install", newer)
    assert code == 1
    assert "0.001 ms are there from capture to verdict; fit a smaller model" in err
    assert store.active().digest == old


def test_what_is_refused_before_it_is_copied_leaves_nothing(model, store, spare, old):
    flip(spare / MODEL_BIN)
    code, out, err = model("install", spare)
    assert (code, out) == (1, "")
    assert "model.bin: sha256" in err
    assert store.versions() == [old]


def test_only_signed_bundles_are_installed_where_keys_are_trusted(model, stocked, store, newer, new, old):  # noqa: PLR0917
    signer = Signer(stocked.folder / "keys", "line")
    stocked.write_folder("line", head='store = "store"\ntrust = "keys/trust"')
    code, _, err = model("install", newer)
    assert (code, "model.sig: missing" in err) == (1, True)
    assert store.state().active == old
    signed = signer.sign(Path(shutil.copytree(newer, stocked.folder / "signed.bundle")))
    code, out, _ = model("install", signed)
    assert (code, out.splitlines()[0]) == (0, f"verified {new[:12]}, signed by line")


def test_a_rollback_keeps_its_reason_and_history_and_list_show_what_happened(model, store, newer, new, old):
    model("install", newer)
    assert model("rollback", "--because", "rejects good parts") == (0, f"active {old[:12]}\n", "")
    lines = model("history")[1].splitlines()
    taken = [line.split()[3] for line in lines]
    assert taken == ["staged", "activated", "staged", "qualified", "activated", "rolled_back"]
    assert lines[-1].endswith(f"rolled_back   {new[:12]}: rejects good parts")
    assert {line.split()[0]: line.split()[1] for line in model("list")[1].splitlines()} == {
        old[:12]: "active",
        new[:12]: "previous",
    }


def test_a_version_that_failed_here_is_not_tried_again_until_it_changes(model, store, newer, new, old, stocked):  # noqa: PLR0917
    model("install", newer)
    store.give_up(new, "late of 50 parts 40%")
    for action, what in (("install", newer), ("activate", new)):
        code, _, err = model(action, what)
        assert code == 1
        assert "was rolled back here (late of 50 parts 40%); push a bundle that was made anew" in err
    assert store.state().active == old
    assert f"{new[:12]}  failed" in model("list")[1]
    changed = tiny.make_bundle(stocked.folder / "changed.bundle", threshold=0.61)
    assert model("install", changed)[0] == 0


def test_a_box_with_two_stores_wants_to_know_which(stocked, store, newer, new, capsys):
    one = '[[camera]]\nname = "{0}"\nkind = "folder"\npath = "line"\nstore = "{1}"\n'
    stocked.write(one.format("top", "store") + one.format("side", "other"), head="")
    command = ["model", "install", str(newer), "--config", str(stocked.config)]
    assert main(command) == 2
    assert "2 stores are set: " in capsys.readouterr().err
    assert main([*command, "--camera", "front"]) == 2
    assert "--camera front: this box has top, side" in capsys.readouterr().err
    assert main([*command, "--camera", "side"]) == 0
    assert Store(stocked.folder / "other").state().active == new
    assert store.state().active != new


def test_a_box_without_a_store_says_so(stocked, newer, capsys):
    stocked.write_folder("line")
    assert main(["model", "install", str(newer), "--config", str(stocked.config)]) == 2
    assert "no store is set" in capsys.readouterr().err


def test_a_start_with_a_damaged_version_on_probation_goes_back_and_serves(model, stocked, store, newer, new, old):  # noqa: PLR0917
    model("install", newer)
    flip(store.root / "versions" / new / MODEL_BIN)
    code, _, err = stocked.run()
    assert code == 0
    assert f"version {new[:12]} rolled back: " in err
    assert {verdict["bundle"] for verdict in stocked.journal().values()} == {old}
    assert "model.bin" in store.state().history[-1].why
    model("install", newer)  # whole again
    assert store.state().active == new


def test_a_version_with_which_the_daemon_starts_again_and_again_goes_back(model, stocked, store, newer, new, old):  # noqa: PLR0917
    model("install", newer)
    settings = load_settings(stocked.config)
    for _ in range(3):
        withdraw_unfit(settings)
        assert store.state().active == new
        count_start(settings)
    withdraw_unfit(settings)
    assert store.state().active == old
    assert store.state().failed == {new: "3 starts within its probation did not end in order"}


def test_starts_that_end_in_order_and_power_cuts_speak_against_no_version(  # noqa: PLR0917
    model, stocked, store, newer, new, monkeypatch
):
    model("install", newer)
    settings = load_settings(stocked.config)
    for number in range(10):
        monkeypatch.setattr("edge.startup._boot", lambda number=number: f"boot {number // 2}")
        withdraw_unfit(settings)
        count_start(settings)
        if number % 2 == 0:
            count_end(settings)
    assert (store.state().active, store.state().starts) == (new, 1)


def test_a_camera_that_is_not_there_is_not_the_doing_of_a_version_on_probation(model, stocked, store, newer, new):
    """Systemd starts the daemon again every few seconds until somebody has plugged it in."""
    model("install", newer)
    shutil.rmtree(stocked.folder / "line")
    assert stocked.run()[0] != 0
    assert (store.state().active, store.state().starts, store.state().failed) == (new, 0, {})


def test_a_device_that_is_not_there_is_not_the_doing_of_a_version_on_probation(model, stocked, store, newer, new):
    model("install", newer)
    settings = load_settings(stocked.config).model_copy(update={"device": "GPU.7"})
    with pytest.raises(DeviceError, match=r"GPU\.7: not on this machine"):
        count_start(settings)
    assert (store.state().active, store.state().starts, store.state().failed) == (new, 0, {})
    with pytest.raises(DeviceError):
        Place(settings).install(newer, None, print)
    assert store.state().history[-1].step != "refused"


def test_a_damaged_version_that_is_committed_stops_the_start_as_before(model, stocked, store, newer, new):
    """There is no promise that the one before it still fits: a person decides."""
    model("install", newer)
    store.commit(new, "")
    flip(store.root / "versions" / new / MODEL_BIN)
    assert stocked.run()[0] == 1
    assert store.state().active == new


@pytest.mark.parametrize("lost", [False, True], ids=["killed", "power cut"])
@pytest.mark.parametrize("end", ["commit", "give_up"])
def test_after_a_cut_between_any_two_steps_from_install_to_the_end_a_known_good_model_serves(  # noqa: PLR0917
    stocked, store, newer, new, old, tmp_path, lost, end
):
    """The steps are all system calls that change the disk: a kill -9 can fall nowhere else."""
    settings = load_settings(stocked.config)
    disk = Disk(store.root, tmp_path / "cuts", lose_what_is_not_synced=lost)
    with disk.recorded():
        Place(settings).install(newer, None, lambda _: None, activate=True)
        store.start(new, "a boot")
        getattr(store, end)(new, "because")
    seen = []
    for root in disk.cuts:
        at_cut = settings.model_copy(update={"store": root})
        (bundle,) = load_bundles(at_cut).values()
        seen.append(bundle.digest)
        Place(at_cut).store.note("staged", old)  # the next writer
        assert leftovers(Store(root)) == []
    assert len(seen) > 30
    assert seen[0] == old
    changes = [one for i, one in enumerate(seen) if i == 0 or one != seen[i - 1]]
    assert changes == ([old, new] if end == "commit" else [old, new, old])


def test_what_root_installs_belongs_to_the_owner_of_the_store(stocked, newer, store):
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    shutil.rmtree(store.root)
    store.root.mkdir()
    os.chown(store.root, 65534, 65534)
    Place(load_settings(stocked.config)).install(newer, None, lambda _: None, activate=True)
    assert {path.stat().st_uid for path in store.root.rglob("*")} == {65534}


def test_nothing_of_a_failed_install_is_an_exception_that_nobody_expects(stocked, tmp_path):
    place = Place(load_settings(stocked.config))
    for source in (tmp_path / "none", stocked.config):
        with pytest.raises(MekikiError):
            place.install(source, None, lambda _: None, activate=True)
    with pytest.raises(BundleError):
        place.activate("f00", None, lambda _: None)
