"""Secrets that systemd hands over, and those that lie beside the settings."""

import pytest

from edge.camera_config import OpenCVConfig
from edge.cameras.opencv import OpenCVCamera
from edge.credentials import read_login, secret_file
from edge.keys import make_keys, server_pair
from edge.settings import load_settings
from models.errors import CameraError, ConfigError


@pytest.fixture
def handed(tmp_path, monkeypatch):
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def camera(login: object) -> OpenCVCamera:
    config = OpenCVConfig(kind="opencv", name="top", source="rtsp://10.0.0.9:554/stream", login=login)
    return OpenCVCamera(config)


def test_the_file_beside_the_settings_serves_where_nothing_is_handed_over(tmp_path, handed):
    assert secret_file(tmp_path / "top.login") == tmp_path / "top.login"
    (handed / "secret_top.login").write_text("a:b")
    assert secret_file(tmp_path / "top.login") == handed / "secret_top.login"


def test_a_login_stands_in_the_address_with_every_odd_character_escaped(tmp_path):
    (tmp_path / "top.login").write_text("line 3:p@ss/w:rd\n")
    assert camera(tmp_path / "top.login")._address() == "rtsp://line%203:p%40ss%2Fw%3Ard@10.0.0.9:554/stream"


@pytest.mark.parametrize("text", ["", "nothing", ":no user", "a:b\nc:d"])
def test_a_file_that_is_no_login_is_refused_without_being_shown(tmp_path, text):
    (tmp_path / "top.login").write_text(text)
    with pytest.raises(ConfigError, match="one line `user:password` was wanted") as refused:
        read_login(tmp_path / "top.login")
    assert not text or text not in str(refused.value)


def test_a_login_that_is_not_there_is_a_camera_error_that_names_the_file(tmp_path):
    with pytest.raises(CameraError, match=r"camera top: .*top\.login: a login cannot be read \(No such file"):
        camera(tmp_path / "top.login")._address()


def test_a_login_is_for_streams_and_not_beside_a_user_in_the_source(box):
    for source, words in (("/dev/video0", "login is for a network stream"), ("rtsp://a:b@c/d", "keep one of them")):
        with pytest.raises(ConfigError, match=words):
            load_settings(box.write_source(source, 'login = "top.login"'))
    settings = load_settings(box.write_source("rtsp://c/d", 'login = "top.login"'))
    assert settings.camera[0].login == box.folder / "top.login"


def test_the_secret_key_may_be_handed_over_whatever_its_mode_shows(tmp_path, handed):
    make_keys(tmp_path / "keys", [])
    secret = tmp_path / "keys/server.key_secret"
    pair = server_pair(tmp_path / "keys")
    secret.rename(handed / "secret_server.key_secret")
    (handed / "secret_server.key_secret").chmod(0o440)  # systemd's access list shows as the group's mode
    assert server_pair(tmp_path / "keys") == pair
