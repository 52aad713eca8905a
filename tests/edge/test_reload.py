"""SIGHUP: what a running daemon takes of new settings, and what it says of the rest."""

import signal

import pytest

from edge.reload import Reload, differences
from edge.settings import load_settings
from models.errors import ConfigError
from models.store import Store
from tests import tiny
from tests.edge.box import Subscriber, no_holes
from tests.edge.manager import Manager

CAMERA = '[[camera]]\nname = "{}"\nkind = "folder"\npath = "line"\nloop = true\nfps = 50\n'
TOP = CAMERA.format("top")


class Taker:
    def __init__(self) -> None:
        self.taken: list[object] = []

    def configure(self, config: object) -> None:
        self.taken.append(config)


@pytest.fixture
def read(box):
    """Settings with these tables, read from the file as a start does."""
    box.images("line", [tiny.OK])
    return lambda tables="", cameras=TOP: load_settings(box.write(cameras, tables=tables))


def test_differences_are_named_as_they_are_written(read):
    old = read()
    assert differences(old, read()) == []
    assert differences(old, read("[evidence]\nok_share = 0.5\n[inference]\nhang_s = 9")) == [
        "inference.hang_s",
        "evidence.ok_share",
    ]
    slower = TOP.replace("50", "40")
    assert differences(old, read(cameras=slower)) == ["camera.top.fps"]
    assert differences(old, read(cameras=CAMERA.format("side") + TOP)) == ["camera.side"]


def test_what_can_change_does_and_the_rest_is_named_at_every_reload(read, caplog):
    old, taker = read(), Taker()
    wanted = read("[evidence]\nok_share = 0.5\n[inference]\nhang_s = 9")
    reload = Reload(old, lambda: wanted, {"evidence": [taker]})
    assert reload.run() == "reloaded: evidence.ok_share; restart for inference.hang_s"
    assert taker.taken == [wanted.evidence]
    assert reload.run() == "reloaded: nothing new; restart for inference.hang_s"
    assert "inference.hang_s: changes with the next start" in caplog.text


def test_wrong_settings_change_nothing_and_are_told(read, caplog):
    def wrong():
        raise ConfigError("edge.toml: not TOML; correct that line")

    taker = Taker()
    assert Reload(read(), wrong, {"evidence": [taker]}).run().startswith("reload refused: edge.toml")
    assert taker.taken == []
    assert "the settings stay as they are" in caplog.text


def test_a_reload_of_the_daemon_takes_a_new_model_without_a_hole_and_says_ready_after_it(box, bundle, newer, new):
    store = Store(box.folder / "store")
    store.activate(store.add(bundle).digest)
    box.images("line", [tiny.OK])
    box.write_folder("line", "loop = true\nfps = 50", head='store = "store"')
    manager = Manager(box.folder / "notify", watchdog_s=2)
    with manager, Subscriber(box.address) as subscriber, box.daemon(**manager.environment) as process:
        manager.wait_for("READY=1")
        verdicts = subscriber.take(5)
        store.activate(store.add(newer).digest)
        box.write_folder("line", "loop = true\nfps = 50", head='store = "store"', tables="[evidence]\nok_share = 1.0")
        process.send_signal(signal.SIGHUP)
        manager.wait_for("RELOADING=1")
        assert "reloaded: evidence.ok_share" in manager.wait_for("READY=1")[1]
        verdicts += subscriber.there()
        verdicts += subscriber.take(5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert verdicts[-1]["bundle"] == new
    assert no_holes(verdicts)
    assert list((box.folder / "state/evidence").rglob("*.png"))
