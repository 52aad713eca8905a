"""What must stop a start: one line that says what to do, the right exit code, no traceback."""

import os
import socket

import pytest

from edge.cli import main
from edge.keys import make_keys
from models.bundle import MANIFEST, MODEL_BIN
from tests import tiny
from tests.edge.box import Box, children, free_port, wait_for


def refused(box: Box, capsys, command: str = "run") -> str:
    """The one line on stderr of a start that fails with 1."""
    assert main([command, "--config", str(box.config)]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("mekiki-edge: ")
    assert err.count("\n") == 1
    assert out == ""
    return err


def test_a_start_in_order_ends_with_0(ready, capsys):
    assert main(["run", "--config", str(ready.config)]) == 0
    assert capsys.readouterr().err.count("mekiki-edge:") == 0


def test_golden_images_that_score_otherwise_stop_the_start_before_a_port_is_open(ready, capsys):
    ready.bundle = tiny.make_bundle(ready.folder / "wrong.bundle", golden_error=0.01)
    ready.write_folder("line")
    line = refused(ready, capsys)
    assert "golden/dark.png: CPU at f32 says ok 0.0980392, the manifest says ok 0.108039; do not use" in line
    assert not ready.answers()


def test_a_golden_image_with_another_outcome_stops_the_start(ready, capsys):
    """The threshold was moved in the manifest after its golden images were scored."""
    manifest = tiny.make_bundle(ready.folder / "moved.bundle") / MANIFEST
    manifest.write_text(manifest.read_text().replace('"ng_at_or_above": 0.5', '"ng_at_or_above": 0.9'))
    ready.bundle = manifest.parent
    ready.write_folder("line")
    assert "says ok 0.784313, the manifest says ng 0.784313" in refused(ready, capsys)


def test_a_tampered_bundle_stops_the_start(ready, capsys):
    ready.bundle = tiny.make_bundle(ready.folder / "tampered.bundle")
    weights = ready.bundle / MODEL_BIN
    weights.write_bytes(bytes([weights.read_bytes()[0] ^ 1]) + weights.read_bytes()[1:])
    ready.write_folder("line")
    assert "model.bin: sha256" in refused(ready, capsys)


@pytest.mark.parametrize(
    ("head", "complaint"),
    [
        ('bundle = "none.bundle"', "nothing there, a bundle folder was wanted"),
        ('store = "none"', "no such folder; correct `store`"),
        ('store = "."', "no active version"),
    ],
)
def test_a_missing_model_stops_the_start(ready, capsys, head, complaint):
    ready.write_folder("line", head=head)
    assert complaint in refused(ready, capsys)


def test_a_device_that_is_not_there_stops_the_start(ready, capsys, monkeypatch):
    monkeypatch.setenv("MEKIKI_DEVICE", "TPU")
    assert "device TPU: not on this machine, which has CPU" in refused(ready, capsys)


def test_a_folder_without_images_stops_the_start(ready, capsys):
    (ready.folder / "empty").mkdir()
    ready.write_folder("empty")
    assert "camera top: " in (line := refused(ready, capsys))
    assert "no image in it" in line


def test_a_camera_that_does_not_open_stops_the_start_and_nothing_else_is_said(ready):
    """As its own process: FFmpeg and OpenCV must not add lines of their own."""
    ready.write_source(f"http://127.0.0.1:{free_port()}/video", "read_timeout_s = 1")
    code, out, err = ready.run()
    *logged, line = err.splitlines()
    assert (code, out) == (1, "")
    assert all("signature not checked" in one or " INFO device: bundle " in one for one in logged), err
    assert line.startswith("mekiki-edge: camera side: http://127.0.0.1:")
    assert "does not open; check the address" in line


def test_one_camera_that_does_not_open_ends_the_processes_of_those_that_did(ready):
    before = set(children(os.getpid()))
    top = '[[camera]]\nname = "top"\nkind = "folder"\npath = "line"\n'
    ready.write(top + top.replace('"top"', '"side"').replace('"line"', '"none"'))
    assert main(["run", "--config", str(ready.config)]) == 1
    assert set(children(os.getpid())) <= before


@pytest.mark.parametrize(
    ("port", "table"),
    [("bus_port", "[bus] bind"), ("replay_port", "[bus] replay"), ("metrics_port", "[metrics] port")],
)
def test_a_busy_port_stops_the_start_and_is_named(ready, capsys, port, table):
    with socket.create_server(("127.0.0.1", getattr(ready, port))):
        line = refused(ready, capsys)
    assert f"{getattr(ready, port)}" in line
    assert f"already in use; stop what holds it (another mekiki-edge?) or set {table}" in line
    assert not ready.answers()


def test_a_busy_trigger_port_stops_the_start_of_a_box_that_is_triggered_and_of_no_other(ready, capsys):
    with socket.create_server(("127.0.0.1", ready.trigger_port)):
        assert main(["run", "--config", str(ready.config)]) == 0
        ready.write_folder("line", 'trigger = "external"')
        assert "set [bus] trigger" in refused(ready, capsys)


def test_a_second_daemon_on_the_same_state_folder_is_refused(ready, capsys):
    ready.write_folder("line", "loop = true\nfps = 100")
    with ready.daemon() as first:
        wait_for(ready.answers)
        other = Box(ready.folder, ready.bundle)
        wait_for((ready.folder / "state" / "journal.db").exists)
        other.write_folder("line")
        line = refused(other, capsys)
        assert "journal.db: in use; stop the other mekiki-edge, or set `state`" in line
        assert first.poll() is None


def test_a_second_daemon_on_the_same_ports_is_refused_and_the_first_goes_on(ready):
    ready.write_folder("line", "loop = true\nfps = 100")
    with ready.daemon() as first:
        wait_for(ready.answers)
        code, _, err = ready.run()
        assert code == 1
        assert "already in use" in err
        assert first.poll() is None
        assert "mekiki_verdicts_total" in ready.scrape()


def test_an_address_that_this_machine_does_not_have_may_come_and_is_no_wrong_setting(ready, capsys, monkeypatch):
    make_keys(ready.folder / "keys", ["plc"])
    monkeypatch.setenv("MEKIKI_BUS__KEYS", str(ready.folder / "keys"))
    monkeypatch.setenv("MEKIKI_BUS__BIND", "tcp://203.0.113.9:5555")
    assert main(["run", "--config", str(ready.config)]) == 1
    assert "bus tcp://203.0.113.9:5555: " in capsys.readouterr().err
    monkeypatch.delenv("MEKIKI_BUS__BIND")
    monkeypatch.setenv("MEKIKI_METRICS__HOST", "203.0.113.9")
    assert main(["run", "--config", str(ready.config)]) == 1
    assert "metrics port" in capsys.readouterr().err


def test_no_subscriber_in_time_is_said_and_the_daemon_starts(ready, caplog):
    caplog.set_level("INFO")
    ready.write_folder("line", bus="wait_for_subscriber_s = 0.1")
    assert main(["run", "--config", str(ready.config)]) == 0
    assert "no subscriber within 0.1 s; starting without one" in caplog.text
