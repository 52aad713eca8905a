"""New versions of a model while frames flow: the thread alone with a real store, then the whole daemon."""

import contextlib
import gc
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from edge.metrics import Metrics
from edge.model import Model
from edge.swap import Swap
from models.bundle import MANIFEST, MODEL_BIN, Bundle
from models.errors import DeviceError, ModelError
from models.gate import Gate
from models.store import Store
from tests import tiny
from tests.edge.box import Box, Subscriber, no_holes, wait_for
from tests.edge.engines import prepare
from tests.signer import Signer

TWO = """
[[camera]]
name = "top"
kind = "folder"
path = "line"
loop = true
fps = 100
[[camera]]
name = "side"
kind = "folder"
path = "line"
loop = true
fps = 50
"""


class Switch:
    """An engine that switches at once, or hangs."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.hangs, self.models = hangs, dict[str, Model]()

    def swap(self, cameras: Sequence[str], model: Model) -> threading.Event:
        done = threading.Event()
        if not self.hangs:
            self.models |= dict.fromkeys(cameras, model)
            done.set()
        return done


class Following:
    """A store with an active version, and a swap that follows it when it is told to look."""

    def __init__(self, folder: Path, bundle: Path, switch: Switch | None = None) -> None:
        self.store, self.switch = Store(folder / "store"), switch or Switch()
        self.first = self.push(bundle)
        self.metrics = Metrics(CollectorRegistry(), ["top", "side"])
        self.swap, self.prepared = Swap(self.switch, self.metrics, threading.Event()), list[str]()
        self.swap.follow(self.store, ["top", "side"], self.first, self._prepare)

    def _prepare(self, bundle: Bundle) -> Model:
        self.prepared.append(bundle.digest)
        return prepare(bundle)

    def push(self, bundle: Path) -> str:
        return self.store.activate(self.store.add(bundle).digest).digest

    def look(self) -> None:
        self.swap.look_at_all()

    def count(self, result: str) -> float:
        return self.metrics.registry.get_sample_value("mekiki_model_swaps_total", {"result": result})


@pytest.fixture
def following(tmp_path, bundle) -> Following:
    return Following(tmp_path, bundle)


def spoil_weights(version: Path) -> None:
    weights = version / MODEL_BIN
    weights.write_bytes(bytes([weights.read_bytes()[0] ^ 1]) + weights.read_bytes()[1:])


def spoil_family(version: Path) -> None:
    manifest = version / MANIFEST
    manifest.write_text(manifest.read_text().replace('"family": "anomaly"', '"family": "horoscope"'))


def spoil_manifest(version: Path) -> None:
    (version / MANIFEST).write_text("{")


def force_active(store: Store, digest: str) -> None:
    """As if an older or a broken tool had written the record: `activate` would have refused."""
    state = store.state()
    store.record.write(state.model_copy(update={"active": digest, "previous": state.active}))


def test_an_unchanged_store_is_not_even_read_again(following, monkeypatch):
    following.look()
    monkeypatch.setattr(Store, "state", lambda _: pytest.fail("it was read"))
    following.look()
    assert following.switch.models == {}


def test_a_new_active_version_is_prepared_once_and_put_in_force_for_all_cameras_of_the_store(following, newer, new):
    assert following.push(newer) == new
    for _ in range(3):
        following.look()
    assert {name: model.bundle.digest for name, model in following.switch.models.items()} == {"top": new, "side": new}
    assert following.prepared == [new]
    assert (following.count("switched"), following.count("refused")) == (1, 0)


def test_a_version_that_is_only_stored_stays_out(following, newer):
    following.store.add(newer)
    following.look()
    assert following.prepared == []


def test_a_rollback_is_followed_as_a_push_is(following, newer, new, old):
    following.push(newer)
    following.look()
    following.store.rollback()
    following.look()
    assert following.prepared == [new, old]
    assert following.switch.models["top"].bundle.digest == old


def test_a_push_that_was_taken_back_before_it_was_seen_changes_nothing(following, newer):
    following.push(newer)
    following.store.rollback()
    following.look()
    assert following.prepared == []
    assert following.count("switched") == 0


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (spoil_weights, "model.bin: sha256"),
        (spoil_family, "horoscope"),
        (spoil_manifest, "manifest.json"),
        (lambda version: (version / MODEL_BIN).unlink(), "model.bin"),
    ],
)
def test_a_damaged_version_stays_out_and_is_said_once(following, newer, caplog, spoil, complaint):
    digest = following.store.add(newer).digest
    spoil(following.store.root / "versions" / digest)
    force_active(following.store, digest)
    for _ in range(3):
        following.look()
    assert following.switch.models == {}
    assert following.count("refused") == 1
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.getMessage().startswith("model of top, side stays as it is: ")
    assert complaint in record.getMessage()


def test_golden_images_that_score_otherwise_keep_a_version_out(following, tmp_path, caplog):
    following.push(tiny.make_bundle(tmp_path / "wrong.bundle", golden_error=0.1))
    following.look()
    assert following.switch.models == {}
    assert following.count("refused") == 1
    assert "do not use this bundle on this device" in caplog.text


def test_keys_that_are_not_in_order_are_no_fault_of_a_version_and_end_no_thread(tmp_path, bundle, newer, new, caplog):
    signer = Signer(tmp_path / "keys", "line-2026")
    store = Store(tmp_path / "store", Gate(signer.trust))
    for one, is_new in ((bundle, False), (newer, True)):
        signed = signer.sign(Path(shutil.copytree(one, tmp_path / one.name)))
        store.activate(store.add(signed).digest, on_probation=is_new)
    signer.pair.public.write_text("half a key")
    swap = Swap(Switch(), Metrics(CollectorRegistry(), ["top"]), threading.Event())
    swap.follow(store, ["top"], "another", prepare)
    swap.look_at_all()
    assert "not a trusted key" in caplog.text
    assert (store.state().active, store.state().on_probation, store.state().failed) == (new, True, {})


def test_keys_that_are_mended_let_a_version_in_that_they_kept_out(tmp_path, bundle, newer, new):
    """Without another push, and without a restart."""
    signer = Signer(tmp_path / "keys", "line-2026")
    store = Store(tmp_path / "store", Gate(signer.trust))
    for one in (bundle, newer):
        store.activate(store.add(signer.sign(Path(shutil.copytree(one, tmp_path / one.name)))).digest)
    whole = signer.pair.public.read_text()
    signer.pair.public.write_text("half a key")
    switch, metrics = Switch(), Metrics(CollectorRegistry(), ["top"])
    swap = Swap(switch, metrics, threading.Event())
    swap.follow(store, ["top"], "another", prepare)
    for _ in range(3):
        swap.look_at_all()
    assert metrics.registry.get_sample_value("mekiki_model_swaps_total", {"result": "refused"}) == 1
    signer.pair.public.write_text(whole)
    swap.look_at_all()
    assert switch.models["top"].bundle.digest == new


def test_a_version_that_is_not_there_and_a_record_that_is_none_are_refused_each_once(following, caplog):
    force_active(following.store, "0" * 64)
    following.look()
    for name in ("state.copy.json", "state.json"):
        (following.store.root / name).write_text("{")
    following.look()
    following.look()
    assert following.count("refused") == 2
    assert "state.json" in caplog.text
    assert following.switch.models == {}


def test_a_record_that_is_gone_keeps_the_model_that_is_in_force(following):
    following.look()
    (following.store.root / "state.json").unlink()
    following.look()
    assert following.prepared == []


def test_a_refused_version_is_taken_when_it_is_pushed_again_whole(following, newer, new):
    digest = following.store.add(newer).digest
    spoil_weights(following.store.root / "versions" / digest)
    force_active(following.store, digest)
    following.look()
    following.store.rollback()
    following.look()
    following.push(newer)
    following.look()
    assert following.switch.models["top"].bundle.digest == new
    assert (following.count("switched"), following.count("refused")) == (1, 1)


def test_a_device_that_refuses_the_new_version_keeps_it_out(following, newer, caplog):
    def refuses(_) -> Model:
        raise ModelError("GPU: cannot compile; free its memory")

    following.swap._followed[0].prepare = refuses
    following.push(newer)
    following.look()
    assert following.count("refused") == 1
    assert "GPU: cannot compile; free its memory" in caplog.text


def test_a_device_that_is_gone_for_a_while_is_no_fault_of_a_version_and_a_reload_tries_it_again(following, newer, new):
    prepared, followed = following.swap._followed[0].prepare, following.swap._followed[0]

    def gone(_) -> Model:
        raise DeviceError("device GPU: not on this machine, which has CPU; set one of these")

    followed.prepare = gone
    following.store.activate(following.store.add(newer).digest, on_probation=True)
    following.look()
    state = following.store.state()
    assert (state.active, state.on_probation, state.failed, following.switch.models) == (new, True, {}, {})
    followed.prepare = prepared
    following.swap.look_again()
    following.look()
    assert following.switch.models["top"].bundle.digest == new


def test_a_version_on_probation_that_was_damaged_goes_back_and_is_taken_when_it_comes_again_whole(
    following, newer, new, old
):
    following.store.activate(following.store.add(newer).digest, on_probation=True)
    spoil_weights(following.store.root / "versions" / new)
    following.look()
    assert (following.store.state().active, following.store.state().failed) == (old, {})
    following.push(newer)
    following.look()
    assert following.switch.models["top"].bundle.digest == new


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), RuntimeError("out of device memory")])
def test_what_the_disk_or_the_device_throws_keeps_a_version_out_and_the_thread_alive(
    following, newer, monkeypatch, error
):
    following.push(newer)

    def broken(*_):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Store, "open", broken)
        following.look()
    assert (following.count("refused"), following.switch.models) == (1, {})


def test_a_version_that_is_taken_back_while_it_is_prepared_never_judges(tmp_path, bundle, newer):
    following = Following(tmp_path, bundle)
    following.push(newer)
    followed = following.swap._followed[0]
    prepare_it = followed.prepare

    def slow(version: Bundle) -> Model:
        model = prepare_it(version)
        following.store.rollback()
        return model

    followed.prepare = slow
    following.look()
    following.look()
    assert following.switch.models == {}
    assert (following.count("switched"), following.count("refused")) == (0, 0)


def test_an_engine_that_is_leaving_is_not_waited_for_for_ever(tmp_path, bundle, newer, monkeypatch):
    monkeypatch.setattr("edge.swap._SWITCH_S", 0.05)
    following = Following(tmp_path, bundle, Switch(hangs=True))
    following.push(newer)
    following.look()
    assert following.count("switched") == 0


def test_the_thread_follows_by_itself_and_ends_at_the_stop(tmp_path, bundle, newer, new):
    following = Following(tmp_path, bundle)
    stop = following.swap._stop
    thread = threading.Thread(target=following.swap.run)
    thread.start()
    following.push(newer)
    wait_for(lambda: "top" in following.switch.models)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert following.switch.models["top"].bundle.digest == new


def test_the_old_model_goes_when_its_last_frame_has_gone_and_memory_stays_flat_over_100_swaps(following, bundle, newer):
    """Every swap compiles a model and lets one go; what stays would be 100 of them."""
    pushes: list[Callable[[], str]] = [partial(following.push, newer), partial(following.push, bundle)]
    for push in pushes * 10:
        push()
        following.look()
    gc.collect()
    before = resident_bytes()
    for push in pushes * 40:
        push()
        following.look()
    gc.collect()
    assert following.count("switched") == 100
    assert sum(isinstance(thing, Model) for thing in gc.get_objects()) <= 3
    assert resident_bytes() - before < 40_000_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@contextlib.contextmanager
def flowing(box: Box) -> Iterator[tuple[Store, Subscriber]]:
    """A daemon that judges two cameras by a store."""
    store = Store(box.folder / "store")
    store.activate(store.add(box.bundle).digest)
    box.images("line", [tiny.OK, tiny.NG])
    box.write(TWO, head='store = "store"', bus="wait_for_subscriber_s = 20")
    with Subscriber(box.address) as subscriber, box.daemon():
        yield store, subscriber


def until(subscriber: Subscriber, digest: str, cameras: set[str]) -> list[dict]:
    """What comes until each of these cameras was judged by that version."""
    verdicts, left = [], set(cameras)
    while left:
        verdicts.append(subscriber.next())
        if verdicts[-1]["bundle"] == digest:
            left.discard(verdicts[-1]["camera"])
    return verdicts


def test_a_push_and_a_rollback_under_flow_lose_no_frame_and_switch_once_each_way(box, newer, old, new):
    with flowing(box) as (store, subscriber):
        verdicts = subscriber.take(20)
        store.activate(store.add(newer).digest)
        verdicts += until(subscriber, new, {"top", "side"})
        store.rollback()
        back = until(subscriber, old, {"top", "side"})
        verdicts += back + subscriber.take(20)
        assert box.metric("mekiki_model_swaps_total", result="switched") == 2
        assert box.metric("mekiki_model_info", camera="top", bundle=old) == 1
        assert box.metric("mekiki_model_info", camera="top", bundle=new) == 0
    assert no_holes(verdicts)
    assert {v["outcome"] for v in verdicts} == {"ok", "ng"}
    thresholds = {old: 0.5, new: 0.6}
    assert all(v["threshold"] == thresholds[v["bundle"]] for v in verdicts)
    for camera in ("top", "side"):
        digests = [v["bundle"] for v in verdicts if v["camera"] == camera]
        assert [digest for i, digest in enumerate(digests) if digest not in digests[max(0, i - 1) : i]] == [
            old,
            new,
            old,
        ]


def test_after_a_change_of_models_a_stop_is_still_in_order(box, newer, new):
    """OpenVINO's CPU plugin gives the thread that loads it a stack for signals, and takes it away when it goes."""
    store = Store(box.folder / "store")
    store.activate(store.add(box.bundle).digest)
    box.images("line", [tiny.OK])
    box.write_folder("line", "loop = true\nfps = 50", head='store = "store"')
    with Subscriber(box.address) as subscriber, box.daemon() as process:
        subscriber.next()
        store.activate(store.add(newer).digest)
        until(subscriber, new, {"top"})
        subscriber.take(20)
        process.terminate()
        assert process.wait(20) == 0
        assert "stopped: SIGTERM" in process.stderr.read()


def test_what_is_wrong_with_a_pushed_version_is_counted_and_logged_and_frames_go_on(box, newer, old):
    with flowing(box) as (store, subscriber):
        verdicts = subscriber.take(5)
        wrong = store.add(tiny.make_bundle(box.folder / "wrong.bundle", golden_error=0.1)).digest
        store.activate(wrong)
        wait_for(lambda: box.metric("mekiki_model_swaps_total", result="refused") == 1)
        damaged = store.add(newer).digest
        spoil_weights(store.root / "versions" / damaged)
        force_active(store, damaged)
        wait_for(lambda: box.metric("mekiki_model_swaps_total", result="refused") == 2)
        verdicts += subscriber.there() + subscriber.take(5)
        assert box.metric("mekiki_model_swaps_total", result="switched") == 0
    assert no_holes(verdicts)
    assert {v["bundle"] for v in verdicts} == {old}


def test_two_cameras_with_stores_of_their_own_are_switched_each_by_its_own(box, newer, old, new):
    stores = {name: Store(box.folder / name) for name in ("a", "b")}
    for store in stores.values():
        store.activate(store.add(box.bundle).digest)
    box.images("line", [tiny.OK])
    one = '[[camera]]\nname = "{0}"\nkind = "folder"\npath = "line"\nloop = true\nfps = 50\nstore = "{0}"\n'
    box.write(one.format("a") + one.format("b"), head="", bus="wait_for_subscriber_s = 20")
    with Subscriber(box.address) as subscriber, box.daemon():
        stores["b"].activate(stores["b"].add(newer).digest)
        verdicts = until(subscriber, new, {"b"}) + subscriber.take(10)
    assert no_holes(verdicts)
    assert {v["bundle"] for v in verdicts if v["camera"] == "a"} == {old}
