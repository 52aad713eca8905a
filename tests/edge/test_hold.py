"""A new version that waits for the line to stop: the thread alone with a real store, then the whole daemon."""

import threading
from functools import partial

import pytest
import zmq
from prometheus_client import CollectorRegistry

from edge.cli import main
from edge.config import ActivationConfig
from edge.hold import Hold
from edge.metrics import Metrics
from edge.swap import Swap
from models.bundle import MODEL_BIN
from models.store import Store
from tests import tiny
from tests.edge.box import Box, Subscriber, no_holes
from tests.edge.engines import prepare
from tests.edge.outlet import Peer
from tests.edge.test_swap import Switch, until
from tests.models.disk import flip

HELD = '[activation]\nhold = "running"'


class Holding:
    """A store with a version that waits, and a swap that looks when it is told to."""

    def __init__(self, store: Store, newer, **config: str) -> None:
        self.store, self.switch = store, Switch()
        self.hold = Hold(ActivationConfig(**config))
        self.digest = store.hold(store.add(newer).digest).digest
        self.prepared: list[str] = []
        metrics = Metrics(CollectorRegistry(), ["top"])
        self.swap = Swap(self.switch, metrics, threading.Event(), self.hold)
        self.swap.follow(store, ["top"], store.active().digest, self._prepare)

    def _prepare(self, bundle):
        self.prepared.append(bundle.digest)
        return prepare(bundle)

    def look(self) -> None:
        self.swap.look_at_all()


@pytest.fixture
def store(tmp_path, bundle) -> Store:
    store = Store(tmp_path / "store")
    store.activate(store.add(bundle).digest)
    return store


@pytest.fixture
def holding(store, newer) -> Holding:
    return Holding(store, newer, hold="running")


def test_a_held_version_is_prepared_while_the_line_runs_and_switched_when_it_stops(holding, store, old, new):
    for _ in range(2):
        holding.look()
    assert (holding.prepared, holding.switch.models, store.state().active) == ([new], {}, old)
    holding.hold.told(is_running=False)
    holding.look()
    assert holding.switch.models["top"].bundle.digest == store.state().active == new
    assert holding.prepared == [new], "it was compiled before"
    assert [event.step for event in store.state().history if event.version == new] == ["staged", "waiting", "activated"]


def test_a_version_that_waits_when_the_hold_is_lifted_comes_into_force(store, newer, new):
    holding = Holding(store, newer)  # the settings hold nothing any more
    holding.look()
    assert holding.switch.models["top"].bundle.digest == store.state().active == new


def test_one_that_cannot_judge_waits_no_more_and_history_says_why(store, tmp_path, old):
    holding = Holding(store, tiny.make_bundle(tmp_path / "wrong.bundle", golden_error=0.1), hold="running")
    holding.look()
    assert (store.state().waiting, store.state().active) == (None, old)
    assert store.state().history[-1].step == "refused"
    assert "do not use this bundle on this device" in store.state().history[-1].why


def test_one_that_is_damaged_while_it_waits_is_refused_when_the_line_stops(holding, store, old, new):
    holding.look()
    flip(store.root / "versions" / new / MODEL_BIN)
    holding.hold.told(is_running=False)
    holding.look()
    assert (store.state().waiting, store.state().active, holding.switch.models) == (None, old, {})


def test_another_version_that_is_put_in_force_at_once_takes_the_place_of_the_one_that_waits(holding, store, tmp_path):
    third = store.add(tiny.make_bundle(tmp_path / "third.bundle", threshold=0.7)).digest
    store.activate(third)
    holding.hold.told(is_running=False)
    holding.look()
    assert holding.switch.models["top"].bundle.digest == third
    assert holding.prepared == [third]


def configure(box: Box, extra: str = "loop = true\nfps = 100") -> Store:
    store = Store(box.folder / "store")
    store.activate(store.add(box.bundle).digest)
    box.images("line", [tiny.OK, tiny.NG])
    box.write_folder("line", extra, head='store = "store"', bus="wait_for_subscriber_s = 20", tables=HELD)
    return store


def test_a_box_takes_a_version_when_it_is_told_that_the_line_is_stopped_also_after_a_kill(box, newer, new, old, capsys):
    """A start in the middle of a run is no stop of the line."""
    store, stop = configure(box), partial(main, ["line", "stopped", "--connect", box.trigger, "--timeout", "20"])
    with Subscriber(box.address) as subscriber, box.daemon() as process:
        subscriber.take(5)
        assert main(["model", "install", str(newer), "--config", str(box.config)]) == 0
        assert capsys.readouterr().out.splitlines()[-1].startswith(f"waiting {new[:12]}, in force when the line stops")
        assert main(["model", "list", "--config", str(box.config)]) == 0
        assert f"{new[:12]}  waiting" in capsys.readouterr().out
        process.kill()
    with Subscriber(box.address) as subscriber, box.daemon():
        verdicts = subscriber.take(60)
        assert {verdict["bundle"] for verdict in verdicts} == {old}
        assert (store.state().active, store.state().waiting.version) == (old, new)
        assert stop() == 0
        verdicts += until(subscriber, new, {"top"})
    assert no_holes(verdicts)
    assert (store.state().active, store.state().waiting, store.state().on_probation) == (new, None, True)


def test_now_is_said_by_who_does_not_want_to_wait(box, newer, new):
    store = configure(box)
    assert main(["model", "install", str(newer), "--now", "--config", str(box.config)]) == 0
    assert store.state().active == new


def test_the_first_version_of_a_box_waits_for_nothing(box, newer, new):
    box.images("line", [tiny.OK])
    box.write_folder("line", head='store = "store"', tables=HELD)
    assert main(["model", "install", str(newer), "--config", str(box.config)]) == 0
    assert Store(box.folder / "store").state().active == new


def test_a_message_about_the_line_that_is_none_is_refused_in_words(box):
    configure(box, "loop = true\nfps = 5")
    with box.daemon(), Subscriber(box.address), Peer(zmq.DEALER, box.trigger) as plc:
        for line, wrong in (("stopped", False), ("broken", True)):
            plc.socket.send_json({"version": 1, "line": line})
            (answer,) = plc.frames()
            assert (b'"accepted":false' in answer, b"line" in answer) == (wrong, wrong)
