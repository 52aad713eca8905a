import stat

import pytest
import zmq

from edge.cli import main
from edge.client import Client, Source
from edge.keys import allowed_clients, client_keys, server_pair
from edge.sockets import open_context
from models.errors import ConfigError
from tests.edge.box import wait_for
from tests.edge.outlet import Outlet, Peer, local_config


@pytest.fixture
def keys(tmp_path):
    assert main(["keys", "--out", str(tmp_path / "keys"), "--client", "plc", "--client", "mes"]) == 0
    return tmp_path / "keys"


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_closed_to_others_and_each_client_gets_one_folder(keys, capsys):
    assert mode(keys) == 0o700
    secrets = list(keys.rglob("*.key_secret"))
    assert sorted(path.name for path in secrets) == ["mes.key_secret", "plc.key_secret", "server.key_secret"]
    assert {mode(path) for path in secrets} == {0o600}
    assert sorted(path.name for path in (keys / "handover" / "plc").iterdir()) == ["plc.key_secret", "server.key"]
    assert len(allowed_clients(keys)) == 2
    assert client_keys(keys / "handover" / "plc").own.public in allowed_clients(keys)
    assert client_keys(keys / "handover" / "plc").server == server_pair(keys).public
    assert sorted(path.name for path in keys.iterdir()) == ["clients", "handover", "server.key", "server.key_secret"]


def test_another_client_is_added_and_nothing_is_ever_overwritten(keys, capsys):
    before = {path: path.read_bytes() for path in keys.rglob("*") if path.is_file()}
    assert main(["keys", "--out", str(keys), "--client", "new"]) == 0
    assert main(["keys", "--out", str(keys), "--client", "other", "--client", "plc"]) == 1
    assert "is there already" in capsys.readouterr().err
    assert not (keys / "clients" / "other.key").exists()
    assert {path: path.read_bytes() for path in before} == before
    assert len(allowed_clients(keys)) == 3


@pytest.mark.parametrize("name", ["", "../evil", "a/b", "server", "-x y"])
def test_a_client_name_is_a_plain_word(tmp_path, capsys, name):
    assert main(["keys", "--out", str(tmp_path / "keys"), f"--client={name}"]) == 2
    assert not (tmp_path / "keys").exists()


def test_a_folder_of_other_things_is_left_alone(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["keys", "--out", str(tmp_path)]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_secret_that_others_can_read_is_refused(keys, tmp_path):
    (keys / "server.key_secret").chmod(0o640)
    with (
        pytest.raises(ConfigError, match="others can read this secret; chmod 600"),
        open_context(local_config(keys=keys)),
    ):
        pass
    secret = keys / "handover" / "plc" / "plc.key_secret"
    secret.chmod(0o604)
    with pytest.raises(ConfigError, match="chmod 600"):
        Client(Source("tcp://127.0.0.1:5555", keys=secret.parent))


def test_missing_and_damaged_keys_are_named(keys, tmp_path):
    with pytest.raises(ConfigError, match="mekiki-edge keys"), open_context(local_config(keys=tmp_path / "nowhere")):
        pass
    (keys / "server.key_secret").write_text("no key")
    with pytest.raises(ConfigError, match="no key pair in it"), open_context(local_config(keys=keys)):
        pass
    with pytest.raises(ConfigError, match="0 client secrets"):
        client_keys(keys)
    (keys / "handover" / "plc" / "server.key").unlink()
    with pytest.raises(ConfigError, match="no public key of the box"):
        client_keys(keys / "handover" / "plc")


@pytest.fixture
def outlet(tmp_path, keys):
    with Outlet(tmp_path, local_config(keys=keys, heartbeat_s=0.1)) as made:
        yield made


def heard(outlet: Outlet, folder, limit_s: float) -> bool:
    """Whether a client with these keys hears a verdict, and has a replay answered."""
    source = Source(outlet.config.bind, outlet.config.replay, folder)
    with Client(source, position={}) as client:
        return client.receive(limit_s) is not None


def test_a_client_with_its_key_has_verdicts_and_replay(outlet, keys):
    outlet.put(3)
    assert heard(outlet, keys / "handover" / "plc", 20)


def test_without_a_key_or_with_a_strange_one_nothing_is_heard_anywhere(outlet, keys, tmp_path):
    outlet.put(3)
    strange = tmp_path / "strange"
    assert main(["keys", "--out", str(strange), "--client", "plc"]) == 0
    mine = strange / "handover" / "plc"
    (mine / "server.key").write_bytes((keys / "server.key").read_bytes())  # it knows whom to talk to
    assert not heard(outlet, mine, 1.0)
    assert not heard(outlet, None, 1.0)
    with Peer(zmq.DEALER, outlet.config.replay) as plain:
        plain.socket.send(b'{"version": 1, "want": "snapshot"}')
        assert not plain.socket.poll(500)
    assert heard(outlet, keys / "handover" / "mes", 20)


def test_a_client_that_is_added_or_removed_needs_no_restart(outlet, keys):
    outlet.put(3)
    assert main(["keys", "--out", str(keys), "--client", "late"]) == 0
    assert heard(outlet, keys / "handover" / "late", 20)
    (keys / "clients" / "late.key").unlink()
    assert not heard(outlet, keys / "handover" / "late", 1.0)


def test_a_client_does_not_believe_another_box(outlet, keys, tmp_path):
    outlet.put(3)
    other = tmp_path / "other"
    assert main(["keys", "--out", str(other)]) == 0
    mine = keys / "handover" / "plc"
    (mine / "server.key").write_bytes((other / "server.key").read_bytes())
    assert not heard(outlet, mine, 1.0)
    wait_for(lambda: True)
