from pathlib import Path

import pytest

from edge.camera_config import FolderConfig, OpenCVConfig
from edge.cli import main
from edge.settings import load_settings
from models.errors import ConfigError

FOLDER = '[[camera]]\nname = "top"\nkind = "folder"\npath = "line"\n'
DEVICE = '[[camera]]\nname = "side"\nkind = "opencv"\nsource = "/dev/video9"\n'


def settings_file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "edge.toml"
    file.write_text(text)
    return file


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(settings_file(tmp_path, text))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_paths_are_relative_to_the_settings_file_and_defaults_are_loopback(tmp_path):
    text = f'bundle = "a.bundle"\n{FOLDER}{DEVICE}[[camera]]\nname = "v"\nkind = "opencv"\nsource = "v.mp4"\n'
    settings = load_settings(settings_file(tmp_path, text))
    assert settings.bundle == tmp_path / "a.bundle"
    top, side, video = settings.camera
    assert isinstance(top, FolderConfig)
    assert top.path == tmp_path / "line"
    assert isinstance(side, OpenCVConfig)
    assert side.source == "/dev/video9"
    assert isinstance(video, OpenCVConfig)
    assert video.source == str(tmp_path / "v.mp4")
    assert (settings.device, settings.bus.bind, settings.metrics.host) == ("CPU", "tcp://127.0.0.1:5555", "127.0.0.1")


@pytest.mark.parametrize(
    ("source", "origin"),
    [(0, "device"), ("1", "device"), ("/dev/video0", "device"), ("rtsp://cam/1", "stream"), ("a.mp4", "file")],
)
def test_the_source_says_whether_it_is_a_device_a_stream_or_a_file(source, origin):
    assert OpenCVConfig(kind="opencv", name="a", source=source).origin == origin


def test_the_password_of_a_stream_is_not_shown():
    config = OpenCVConfig(kind="opencv", name="a", source="rtsp://admin:secret@cam/1")
    assert config.shown == "rtsp://***@cam/1"


def test_an_unknown_setting_is_refused_with_its_place_and_the_nearest_name(tmp_path):
    line = refused(tmp_path, f'bundle = "b"\n{DEVICE}read_timeout_ms = 2000\n')
    assert line == f"{tmp_path / 'edge.toml'}: camera[0].read_timeout_ms: unknown setting; did you mean read_timeout_s?"


def test_a_misspelt_required_name_is_reported_as_misspelt_and_not_as_missing(tmp_path):
    text = 'bundle = "b"\n[[camera]]\nname = "top"\nkind = "folder"\npth = "line"\n'
    assert refused(tmp_path, text).endswith("camera[0].pth: unknown setting; did you mean path?")


def test_an_unknown_setting_in_a_table_and_at_the_top_are_refused(tmp_path):
    head = f'bundle = "b"\n{FOLDER}'
    assert "bus.bindd: unknown setting; did you mean bind?" in refused(tmp_path, f"{head}[bus]\nbindd = 1\n")
    assert "devise: unknown setting; did you mean device?" in refused(tmp_path, f'devise = "CPU"\n{head}')
    assert "qqq: unknown setting; known here: bundle, store" in refused(tmp_path, f"qqq = 1\n{head}")


def test_a_unit_in_the_value_is_refused_and_the_line_says_which_unit_is_wanted(tmp_path):
    line = refused(tmp_path, f'bundle = "b"\n{DEVICE}read_timeout_s = "2s"\n')
    assert "camera[0].read_timeout_s: " in line
    assert line.endswith("(got '2s'); give a number of seconds")


def test_a_table_that_is_wrong_as_a_whole_is_not_printed(tmp_path):
    both = FOLDER.replace('path = "line"', 'path = "line"\nbundle = "b"\nstore = "s"')
    line = refused(tmp_path, f'bundle = "b"\n{both}')
    assert "camera[0]: " in line
    assert "got" not in line


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ("read_timeout_s = 0", "greater than 0"),
        ("reopen_s = nan", "finite"),
        ("width_px = 1.5", "integer"),
        ("fps = -1", "greater than 0"),
    ],
)
def test_a_value_out_of_bounds_is_refused(tmp_path, extra, complaint):
    assert complaint in refused(tmp_path, f'bundle = "b"\n{DEVICE}{extra}\n')


@pytest.mark.parametrize("address", ["127.0.0.1:5555", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "udp://a:1"])
def test_a_bus_address_that_zeromq_would_misread_is_refused(tmp_path, address):
    line = refused(tmp_path, f'bundle = "b"\n{FOLDER}[bus]\nbind = "{address}"\n')
    assert ": bus.bind: " in line
    assert address in line


def test_a_kind_of_camera_that_does_not_exist_is_refused_with_those_that_do(tmp_path):
    line = refused(tmp_path, 'bundle = "b"\n[[camera]]\nname = "top"\nkind = "gige"\n')
    assert "camera[0]" in line
    assert "'folder', 'opencv'" in line


def test_two_cameras_of_one_name_are_refused(tmp_path):
    assert "two cameras are named 'top'; give each its own name" in refused(tmp_path, f'bundle = "b"\n{FOLDER * 2}')


def test_no_camera_is_refused(tmp_path):
    assert "camera: missing; add it" in refused(tmp_path, 'bundle = "b"\n')


def test_not_both_of_bundle_and_store_are_wanted(tmp_path):
    both = 'bundle = "b"\nstore = "s"\n'
    assert "both of bundle and store set, exactly one was wanted" in refused(tmp_path, both + FOLDER)
    assert "both bundle and store set, at most one was wanted" in refused(tmp_path, FOLDER + both)


def test_a_camera_without_any_model_is_refused_and_named(tmp_path):
    line = refused(tmp_path, f'{FOLDER}bundle = "b"\n{DEVICE}')
    assert "neither of bundle and store set, and camera 'side' names no model of its own" in line


def test_cameras_with_models_of_their_own_need_none_for_all(tmp_path):
    settings = load_settings(settings_file(tmp_path, f'{FOLDER}bundle = "b"\n{DEVICE}store = "s"\n'))
    assert [camera.bundle for camera in settings.camera] == [tmp_path / "b", None]
    assert [camera.store for camera in settings.camera] == [None, tmp_path / "s"]


def test_state_and_keys_are_relative_to_the_settings_file_too(tmp_path):
    text = f'bundle = "b"\nstate = "here"\n{FOLDER}[bus]\nkeys = "keys"\n'
    settings = load_settings(settings_file(tmp_path, text))
    assert (settings.state, settings.bus.keys) == (tmp_path / "here", tmp_path / "keys")


def test_the_state_folder_is_the_one_that_systemd_made(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/mekiki:/var/lib/other")
    assert str(load_settings(settings_file(tmp_path, f'bundle = "b"\n{FOLDER}')).state) == "/var/lib/mekiki"


@pytest.mark.parametrize("setting", ["bind", "replay", "trigger", "pictures"])
def test_a_socket_that_others_can_reach_without_a_key_is_refused(tmp_path, setting):
    head = f'bundle = "b"\n{FOLDER}[bus]\n{setting} = "tcp://0.0.0.0:6000"\n'
    assert f"{setting} is reachable from other machines without a key; run `mekiki-edge keys" in refused(tmp_path, head)
    assert load_settings(settings_file(tmp_path, f'{head}keys = "k"\n')).bus.addresses[setting] == "tcp://0.0.0.0:6000"


def test_two_sockets_on_one_address_are_refused(tmp_path):
    text = f'bundle = "b"\n{FOLDER}[bus]\npictures = "tcp://127.0.0.1:5556"\n'
    assert "bind, replay, trigger and pictures want an address each" in refused(tmp_path, text)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("[inference]\nrequests = 0", "inference.requests: "),
        ("[inference]\nhint = 'fast'", "inference.hint: "),
        ("[journal]\nmax_verdicts = 1", "journal.max_verdicts: "),
        ("[evidence]\nok_share = 2", "evidence.ok_share: "),
        ("[evidence]\nok_shares = 1", "evidence.ok_shares: unknown setting; did you mean ok_share?"),
        ("[bus]\nipc_mode = '0999'", "bus.ipc_mode: "),
    ],
)
def test_each_table_refuses_what_is_out_of_bounds_or_unknown_in_it(tmp_path, table, complaint):
    assert complaint in refused(tmp_path, f'bundle = "b"\n{FOLDER}{table}\n')


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ('trigger = "plc"', "'free', 'external' or 'presence'"),
        ("deadline_s = 0", "camera[0].deadline_s: "),
        ("max_repeats = -1", "camera[0].max_repeats: "),
        ("queue = 0", "camera[0].queue: "),
    ],
)
def test_what_a_part_waits_for_has_bounds(tmp_path, extra, complaint):
    assert complaint in refused(tmp_path, f'bundle = "b"\n{FOLDER}{extra}\n')


def test_a_toml_error_is_refused_with_its_line(tmp_path):
    assert "line 2" in refused(tmp_path, 'bundle = "b"\ndevice = CPU\n')


def test_a_file_that_is_not_utf_8_is_refused(tmp_path):
    file = tmp_path / "edge.toml"
    file.write_bytes(b'bundle = "\xff"\n')
    with pytest.raises(ConfigError, match="not UTF-8 at byte 10"):
        load_settings(file)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: no such file; give the settings file of this box"):
        load_settings(tmp_path / "none.toml")


def test_a_variable_overrides_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("MEKIKI_DEVICE", "NPU")
    monkeypatch.setenv("MEKIKI_BUS__BIND", "ipc:///tmp/mekiki.sock")
    monkeypatch.setenv("MEKIKI_EVIDENCE__MAX_BYTES", "0")
    settings = load_settings(settings_file(tmp_path, f'bundle = "b"\ndevice = "CPU"\n{FOLDER}[metrics]\nport = 9000\n'))
    assert (settings.device, settings.bus.bind, settings.metrics.port) == ("NPU", "ipc:///tmp/mekiki.sock", 9000)
    assert settings.evidence.max_bytes == 0


@pytest.mark.parametrize(
    ("variable", "complaint"),
    [
        ("MEKIKI_DEVISE", "MEKIKI_DEVISE: unknown setting; did you mean device?"),
        ("MEKIKI_BUS__BINDING", "MEKIKI_BUS__BINDING: unknown setting; did you mean bind?"),
        ("MEKIKI_METRIC__PORT", "MEKIKI_METRIC__PORT: unknown table 'metric'; did you mean metrics?"),
        ("MEKIKI_FOLDER__PATH", "MEKIKI_FOLDER__PATH: unknown table 'folder'"),
        ("MEKIKI_CAMERA__0__FPS", "MEKIKI_CAMERA__0__FPS: one camera's settings stand in the file only"),
    ],
)
def test_a_misspelt_variable_is_refused_and_not_ignored(tmp_path, monkeypatch, variable, complaint):
    monkeypatch.setenv(variable, "1")
    assert refused(tmp_path, f'bundle = "b"\n{FOLDER}').startswith(complaint)


def test_a_wrong_value_in_a_variable_names_the_variable_and_not_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("MEKIKI_METRICS__PORT", "http")
    assert refused(tmp_path, f'bundle = "b"\n{FOLDER}').startswith("MEKIKI_METRICS__PORT: metrics.port: ")


def test_a_table_in_a_variable_that_is_not_json_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MEKIKI_CAMERA", "top")
    assert "given as JSON" in refused(tmp_path, f'bundle = "b"\n{FOLDER}')


@pytest.mark.parametrize("command", ["check", "run"])
def test_wrong_settings_end_a_command_with_2_and_one_line(tmp_path, capsys, command):
    file = settings_file(tmp_path, f'bundle = "b"\n{FOLDER}lop = true\n')
    assert main([command, "--config", str(file)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"mekiki-edge: {file}: camera[0].lop: unknown setting; did you mean loop?\n"
