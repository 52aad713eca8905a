"""A candidate beside the active model: its process with a real thread around it, then the whole daemon."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from edge.cameras.frame import Grab
from edge.cli import main
from edge.config import EvidenceConfig, InferenceConfig, ReviewConfig
from edge.evidence import Evidence
from edge.inspector import Inspector
from edge.metrics import Metrics
from edge.parts import Judged, Part
from edge.shadow.judge import judge
from edge.shadow.messages import Asked, Setup
from edge.shadow.records import Records
from edge.shadow.report import reports
from edge.shadow.thread import Shadow
from models.bundle import MODEL_BIN, open_bundle
from models.health import Range
from models.measure import measure
from models.store import Store
from tests import tiny
from tests.edge.box import Box, Subscriber, children, no_holes, wait_for
from tests.edge.engines import prepare
from tests.models.disk import flip

SIZES = ((tiny.SIDE_PX, tiny.SIDE_PX),)
EVER = EvidenceConfig(max_age_days=1e6)
NOBODY = ReviewConfig(band=(1, 1), share=0)


def until(condition: Callable[[], object]) -> None:
    """A candidate has what nobody else wants of the processor: on a busy machine that may be little."""
    wait_for(condition, 150)


class Line:
    """An engine that leaves time, or none."""

    def __init__(self) -> None:
        self.is_idle, self.seconds = True, 0.0

    def expected_s(self, camera: str) -> float:
        return self.seconds


class Rig:
    """A store with an active version, the thread, and what it writes."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.store, self.line, self.stop = Store(folder / "store"), Line(), threading.Event()
        self.active = self.store.activate(self.store.add(bundle).digest)
        self.model = prepare(self.active)
        self.metrics = Metrics(CollectorRegistry(), ["top", "side"])
        self.evidence, self.path = Evidence(folder, EVER, NOBODY, self.metrics), folder / "shadow.db"
        self.shadow = Shadow(
            self.store, self._setup, self.line, Records(self.path), self.evidence, self.metrics, self.stop
        )
        self._seq = 0
        self._before: dict[tuple[str, ...], float] = {}

    def _setup(self, digest: str) -> Setup:
        return Setup(
            store=self.store.root,
            trust=None,
            digest=digest,
            state=self.path.parent / "state",
            device="CPU",
            precision="auto",
            inference=InferenceConfig(),
            budget_s=None,
            sizes=SIZES,
            epoch="E",
        )

    def judged(self, patch: int = tiny.OK, camera: str = "top") -> Judged:
        """A part as the engine lets it go."""
        now_ns = time.monotonic_ns()
        grab = Grab(now_ns, time.time_ns(), now_ns, tiny.frame(patch), "x.png")
        part = Part(camera, self._seq, now_ns, None, None, grab)
        self._seq += 1
        return Inspector("E").judged(part, self.model, self.model.runners[0].predict(grab.image))

    def offer(self, patch: int = tiny.OK, camera: str = "top") -> None:
        self.shadow.offer(self.judged(patch, camera))

    def count(self, name: str, **labels: str) -> float:
        """The sum of a metric over all its series that have these labels, since the last `settle`."""
        families = self.metrics.registry.collect()
        samples = [sample for family in families for sample in family.samples if sample.name == f"mekiki_shadow_{name}"]
        found = [sample for sample in samples if labels.items() <= sample.labels.items()]
        return sum(one.value - self._before.get((one.name, *one.labels.values()), 0.0) for one in found)

    def said(self, **labels: str) -> float:
        """How many parts a candidate judged, by these labels."""
        return self.count("verdicts_total", **labels)

    def settle(self) -> "Rig":
        """As if nothing had been judged yet."""
        self.line.is_idle, self.line.seconds = True, 0.0
        until(lambda: self.shadow._waiting is None and not self.shadow._at_work)
        self.shadow._taken.clear()
        families = self.metrics.registry.collect()
        samples = [sample for family in families for sample in family.samples if sample.name.endswith("_total")]
        self._before = {(one.name, *one.labels.values()): one.value for one in samples}
        return self

    def begin(self, bundle: Path) -> str:
        digest = self.store.shadow(self.store.add(bundle).digest).digest
        until(lambda: self.count("up", bundle=digest) == 1)
        return digest

    @contextlib.contextmanager
    def running(self) -> Iterator["Rig"]:
        threads = [threading.Thread(target=body.run) for body in (self.shadow, self.evidence)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.stop.set()
            self.evidence.finish()
            for thread in threads:
                thread.join(10)
                assert not thread.is_alive()


@pytest.fixture
def rig(tmp_path, bundle) -> Iterator[Rig]:
    with Rig(tmp_path, bundle).running() as rig:
        yield rig


@pytest.fixture(scope="module")
def begun(tmp_path_factory, bundle, newer) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("begun"), bundle).running() as rig:
        rig.begin(newer)
        yield rig


@pytest.fixture
def ready(begun) -> Rig:
    """One whose candidate judges, and has judged nothing."""
    return begun.settle()


@pytest.fixture(scope="module")
def blind(tmp_path_factory) -> Path:
    """Nothing is ng to it."""
    return tiny.make_bundle(tmp_path_factory.mktemp("blind") / "blind.bundle", threshold=0.95)


def asked(judged: Judged, health=None) -> Asked:
    return Asked(verdict=judged.verdict, height_px=tiny.SIDE_PX, width_px=tiny.SIDE_PX, health=health)


def test_a_candidate_says_what_it_would_have_said_in_force(tmp_path, ready):
    """The same model as the active one differs in nothing but its stages; one with limits looks at the picture too."""
    for patch in (tiny.OK, tiny.NG):
        active = ready.judged(patch)
        again = judge(Inspector("E"), ready.model, asked(active), active.grab.image)
        assert again.verdict.model_copy(update={"stages": active.verdict.stages}) == active.verdict
    dark = tiny.make_bundle(tmp_path / "dark.bundle", health=tiny.limits(brightness=Range(low=100, high=200)))
    model = prepare(open_bundle(dark))
    image = tiny.frame()
    found = judge(Inspector("E"), model, asked(active, measure(image)), image)
    assert (found.verdict.outcome, found.verdict.reason) == ("unknown", "too_dark")


def test_where_it_says_otherwise_is_counted_and_kept_with_both_heatmaps(rig, blind):
    digest = rig.begin(blind)
    for active, patch in (("ok", tiny.OK), ("ng", tiny.NG)):
        rig.offer(patch)
        until(lambda active=active: rig.said(active=active, candidate="ok") == 1)
    folder = rig.path.parent / "evidence"
    until(lambda: len(list(folder.rglob("*.json"))) == 1)
    (stem,) = {path.name.partition(".")[0] for path in folder.rglob("*.*") if path.is_file()}
    files = {path.name.removeprefix(stem): path for path in folder.rglob("*.*") if path.is_file()}
    assert set(files) == {".png", ".json", ".shadow", ".active.jpg", ".shadow.jpg"}
    verdicts = [json.loads(files[ending].read_bytes()) for ending in (".json", ".shadow")]
    assert [verdict["outcome"] for verdict in verdicts] == ["ng", "ok"]
    assert [verdict["bundle"] for verdict in verdicts] == [rig.active.digest, digest]
    until(lambda: reports(rig.path)[0].judged == 2)
    (difference,) = reports(rig.path)[0].differences
    assert folder / Path(difference.evidence).relative_to("evidence") == files[".png"].with_suffix("")


def test_a_frame_waits_while_the_line_is_busy_and_those_that_find_one_waiting_are_dropped_and_counted(ready):
    ready.line.is_idle = False
    for _ in range(5):
        ready.offer()
    assert ready.count("dropped_total", camera="top", why="line") == 4
    time.sleep(0.1)
    assert ready.said() == 0
    ready.line.is_idle = True
    until(lambda: ready.said() == 1)


def test_a_camera_that_is_always_first_is_not_the_only_one_that_is_looked_at(ready):
    for number in range(1, 5):
        ready.line.is_idle = False
        ready.offer(camera="top")
        ready.offer(camera="side")
        ready.line.is_idle = True
        until(lambda number=number: ready.said() == number)
    assert ready.said(camera="side") == 2


def test_parts_about_which_no_model_was_asked_are_none_of_its_business(ready):
    ready.line.is_idle = False
    for reason in ("deadline", "overload", "camera_fault"):
        judged = ready.judged()
        late = judged.verdict.model_copy(update={"outcome": "unknown", "reason": reason})
        ready.shadow.offer(Judged(late, judged.grab))
    ready.offer()  # would be dropped if one of them waited
    assert ready.count("dropped_total", camera="top", why="line") == 0


def test_a_device_that_gives_nobody_the_right_of_way_is_shared_where_the_deadline_has_room_for_both(ready):
    ready.line.is_idle, ready.line.seconds = False, 0.05

    def offer(deadline_s: float | None) -> None:
        judged = ready.judged()
        verdict = judged.verdict.model_copy(update={"device": "GPU.0", "deadline_s": deadline_s})
        ready.shadow.offer(Judged(verdict, judged.grab))

    offer(None)
    offer(0.05)
    assert ready.count("dropped_total", camera="top", why="no_room") == 2
    offer(5.0)
    assert ready.count("dropped_total", camera="top", why="no_room") == 2


def test_a_candidate_that_cannot_judge_is_ended_with_its_reason_and_nothing_else_happens(rig, tmp_path, newer, new):
    wrong = rig.store.add(tiny.make_bundle(tmp_path / "wrong.bundle", golden_error=0.1)).digest
    rig.store.shadow(wrong)
    until(lambda: rig.store.state().shadow is None)
    event = rig.store.state().history[-1]
    assert (event.step, event.version) == ("shadow_ended", wrong)
    assert "do not use this bundle on this device" in event.why
    assert rig.store.state().active == rig.active.digest
    damaged = rig.store.shadow(rig.store.add(newer).digest).digest
    flip(rig.store.root / "versions" / damaged / MODEL_BIN)
    until(lambda: rig.store.state().shadow is None)


def test_a_candidates_process_that_dies_ends_the_shadow_and_is_said(rig, newer, new):
    rig.begin(newer)
    for pid in children(os.getpid()):
        if b"edge.shadow.child" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    rig.offer()
    until(lambda: rig.store.state().shadow is None)
    assert rig.store.state().history[-1].why.startswith("its process died (SIGKILL)")
    assert rig.count("up", bundle=new) == 0


def test_its_process_has_the_lowest_priority_and_goes_when_it_is_stopped_or_another_comes(rig, newer, blind):
    def processes() -> list[int]:
        pids = children(os.getpid())
        return [pid for pid in pids if b"edge.shadow.child" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    rig.begin(newer)
    (pid,) = processes()
    threads = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_IDLE}
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n"
    assert os.getsid(pid) == os.getsid(0)  # a session of its own would be a group with as much of the processor as ours
    assert os.getpgid(pid) != os.getpgid(0)
    rig.begin(blind)
    until(lambda: len(processes()) == 1)
    assert processes() != [pid]
    rig.store.end_shadow()
    until(lambda: processes() == [])


def configure(box: Box) -> Store:
    store = Store(box.folder / "store")
    store.activate(store.add(box.bundle).digest)
    box.images("line", [tiny.OK, tiny.NG])
    extra = "loop = true\nfps = 50"
    box.write_folder("line", extra, head='store = "store"', bus="wait_for_subscriber_s = 20")
    return store


def same(verdicts: list[dict]) -> set[str]:
    """What was said of each picture, but for when and in which time."""
    moving = ("epoch", "seq", "captured_ns", "captured_at_ns", "stages")
    return {json.dumps({key: said for key, said in one.items() if key not in moving}) for one in verdicts}


def test_the_verdicts_of_a_box_are_the_same_with_a_candidate_and_what_it_said_outlives_a_restart(
    box, blind, old, capsys
):
    store = configure(box)
    candidate = open_bundle(blind).digest
    with Subscriber(box.address) as subscriber, box.daemon() as process:
        alone = subscriber.take(20)
        assert main(["model", "shadow", str(blind), "--config", str(box.config)]) == 0
        assert capsys.readouterr().out.splitlines()[-1].startswith(f"shadow {candidate[:12]}; see")
        until(lambda: box.metric("mekiki_shadow_verdicts_total", active="ng", candidate="ok") > 3)
        beside = subscriber.there()
        process.terminate()
        assert process.wait(20) == 0
    assert no_holes(alone + beside)
    assert same(alone) == same(beside)
    assert {verdict["bundle"] for verdict in beside} == {old}
    before = reports(box.folder / "state" / "shadow.db")[0]
    assert before.table["ng"]["ok"] > 3
    with Subscriber(box.address), box.daemon():
        until(lambda: reports(box.folder / "state" / "shadow.db")[0].judged > before.judged)
        assert main(["model", "shadow", "--stop", "--config", str(box.config)]) == 0
        until(lambda: box.metric("mekiki_shadow_up") == 0)
    assert [event.step for event in store.state().history if event.version == candidate] == [
        "staged", "qualified", "shadowed", "shadow_ended",
    ]  # fmt: skip


def test_a_shadow_of_what_is_not_there_and_a_stop_of_nothing_are_refused_in_words(box, old, capsys):
    configure(box)
    for what, why in (
        (["--stop"], "nothing to stop"),
        (["f00"], "no version starting with 'f00'"),
        ([old], "is the active"),
    ):
        assert main(["model", "shadow", *what, "--config", str(box.config)]) == 1
        assert why in capsys.readouterr().err
