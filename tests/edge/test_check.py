import socket

from edge.cli import main
from models.bundle import MODEL_XML
from models.store import Store
from tests import tiny
from tests.edge.box import Box, free_port

CHECKS = ["settings", "bundle", "signature", "model", "golden", "camera top", "state", "bus", "replay", "metrics"]
EXTERNAL = '[[camera]]\nname = "top"\nkind = "folder"\npath = "line"\ntrigger = "external"\n'


def checked(box: Box, capsys) -> tuple[int, dict[str, tuple[str, str]]]:
    """Exit code, and of each check what it said: ok or failed, and why."""
    code = main(["check", "--config", str(box.config)])
    out, err = capsys.readouterr()
    assert err == ""
    lines = {}
    for line in out.splitlines():
        state, rest = line.split(maxsplit=1)
        name, text = rest.split(": ", 1)
        lines[name] = (state, text)
    return code, lines


def test_a_box_in_order_says_ok_to_each_check_and_exits_0(ready, capsys):
    code, lines = checked(ready, capsys)
    assert code == 0
    assert list(lines) == CHECKS
    assert {state for name, (state, _) in lines.items() if name != "signature"} == {"ok"}
    assert lines["signature"] == (
        "warning",
        "not checked, as no trusted keys are set; make some (`mekiki-deploy keys`) and set `trust`",
    )
    assert lines["golden"][1].startswith("2 images as the manifest says")
    assert lines["camera top"][1] == "opened, one frame of 64x64 px read"


def test_sockets_that_are_only_sometimes_bound_are_checked_when_they_will_be(ready, capsys):
    ready.write(EXTERNAL, bus=f'pictures = "tcp://127.0.0.1:{free_port()}"')
    code, lines = checked(ready, capsys)
    assert code == 0
    assert list(lines)[-4:] == ["replay", "trigger", "pictures", "metrics"]
    assert lines["camera top"] == ("ok", "opened, one frame of 64x64 px read")


def test_a_damaged_journal_is_told_and_left_alone(ready, capsys):
    journal = ready.folder / "state" / "journal.db"
    journal.parent.mkdir()
    journal.write_bytes(b"no database " * 1000)
    code, lines = checked(ready, capsys)
    assert code == 0
    assert "its journal is damaged" in lines["state"][1]
    assert journal.read_bytes() == b"no database " * 1000


def test_a_record_that_is_read_from_its_copy_is_a_warning(ready, capsys):
    store = Store(ready.folder / "store")
    store.activate(store.add(ready.bundle).digest)
    ready.write_folder("line", head='store = "store"')
    assert checked(ready, capsys)[1]["bundle"][0] == "ok"
    (store.root / "state.json").write_text("{")
    code, lines = checked(ready, capsys)
    assert (code, lines["bundle"][0]) == (0, "warning")
    assert lines["bundle"][1].endswith("state.copy.json serves, the next change writes both")


def test_a_state_folder_that_cannot_be_made_fails(ready, capsys):
    (ready.folder / "state").write_text("a file")
    code, lines = checked(ready, capsys)
    assert code == 1
    assert lines["state"][0] == "failed"
    assert "set `state`" in lines["state"][1]


def test_each_model_of_several_is_checked(ready, capsys):
    other = tiny.make_bundle(ready.folder / "other.bundle", golden_error=0.1)
    one = '[[camera]]\nname = "{0}"\nkind = "folder"\npath = "line"\n{1}\n'
    ready.write(one.format("top", "") + one.format("side", f'bundle = "{other}"'))
    assert main(["check", "--config", str(ready.config)]) == 1
    states = [line.split(":")[0].split() for line in capsys.readouterr().out.splitlines()]
    assert [state for state, name, *_ in states if name == "golden"] == ["ok", "failed"]


def test_a_check_leaves_all_ports_free_for_the_start_after_it(ready, capsys):
    assert checked(ready, capsys)[0] == 0
    assert main(["run", "--config", str(ready.config)]) == 0


def test_everything_that_is_wrong_is_reported_in_one_go(ready, capsys):
    ready.bundle = tiny.make_bundle(ready.folder / "b")
    (ready.bundle / MODEL_XML).write_text("tampered")
    ready.write_folder("none")
    with socket.create_server(("127.0.0.1", ready.bus_port)):
        code, lines = checked(ready, capsys)
    assert code == 1
    assert {name: state for name, (state, _) in lines.items()} == {
        "settings": "ok",
        "bundle": "failed",
        "camera top": "failed",
        "state": "ok",
        "bus": "failed",
        "replay": "ok",
        "metrics": "ok",
    }
    assert "push the bundle again" in lines["bundle"][1]
    assert "already in use" in lines["bus"][1]


def test_golden_scores_that_differ_fail(ready, capsys):
    ready.bundle = tiny.make_bundle(ready.folder / "b", golden_error=0.001)
    ready.write_folder("line")
    code, lines = checked(ready, capsys)
    assert code == 1
    assert lines["golden"][0] == "failed"
    assert lines["model"][0] == "ok"


def test_golden_scores_within_a_thousandth_pass(ready, capsys):
    ready.bundle = tiny.make_bundle(ready.folder / "b", golden_error=0.00005)
    ready.write_folder("line")
    assert checked(ready, capsys)[0] == 0


def test_a_camera_that_opens_but_gives_no_picture_fails(ready, capsys):
    (ready.folder / "line" / "0000.png").write_bytes(b"")
    code, lines = checked(ready, capsys)
    assert code == 1
    assert "0 bytes" in lines["camera top"][1]


def test_wrong_settings_exit_2_with_one_line_on_stderr(ready, capsys):
    ready.config.write_text("bundle = ")
    assert main(["check", "--config", str(ready.config)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "not TOML: Invalid value (at end of document)" in err


def test_a_bundle_that_leaves_parts_to_a_person_says_from_where_and_how_many_of_its_golden_images(ready, capsys):
    ready.bundle = tiny.make_bundle(ready.folder / "b", threshold=0.9, review=0.5)
    ready.write_folder("line")
    code, lines = checked(ready, capsys)
    assert code == 0
    assert lines["golden"][1].endswith("relative; 1 of them for review, 0.5 to 0.9")


def test_a_bundle_that_leaves_nothing_to_a_person_does_not_speak_of_review(ready, capsys):
    assert "review" not in checked(ready, capsys)[1]["golden"][1]


def test_only_the_settings_are_read_where_that_is_asked_though_nothing_else_is_in_order(box, capsys):
    box.write_folder("no such folder", head='store = "none"')
    assert main(["check", "--settings-only", "--config", str(box.config)]) == 0
    assert capsys.readouterr().out == f"ok      settings: {box.config}\n"
    box.config.write_text(box.config.read_text() + "colour = 1\n")
    assert main(["check", "--settings-only", "--config", str(box.config)]) == 2
    assert "unknown setting" in capsys.readouterr().err
