"""A whole study on tiny plates: what it writes, that it repeats, goes on when stopped, and survives a bad candidate."""

import fcntl
import json
import operator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from models.bundle import open_bundle
from models.errors import ConfigError, MekikiError
from models.files import TEMPORARY_PREFIX
from models.images import read_image
from models.runner import Runner
from tests.trainer.conftest import refusal_of, said_by
from trainer.conditions import parse_condition, parse_conditions
from trainer.fit_command import run_fit
from trainer.study.cache import Fit, Measured, Place, place_of, read
from trainer.study.figures import figures_of
from trainer.study.jobs import jobs_of
from trainer.study.pool import read_pool
from trainer.study.splits import Wanted, make_splits
from trainer.study.types import Candidate, Study
from trainer.study.workers import Workers

pytestmark = pytest.mark.usefixtures("in_a_hurry")
CANDIDATES = """
[[candidate]]
name = "tiny"
family = "anomaly"
options = {image_size = 64, bank = 50, weights = "%s"}
[[candidate]]
name = "broken"
family = "anomaly"
options = {image_size = 64, weights = "%s"}
"""


@dataclass(frozen=True)
class Compared:
    """One study, and what was said."""

    out: Path
    said: str

    @property
    def study(self) -> Study:
        return Study.model_validate_json((self.out / "study.json").read_bytes())


@pytest.fixture(scope="module")
def arguments(plates, weights, tmp_path_factory):
    """Of the command, but for --out."""
    folder = tmp_path_factory.mktemp("candidates")
    (folder / "junk.pth").write_bytes(b"no weights")
    (folder / "two.toml").write_text(CANDIDATES % (weights, folder / "junk.pth"))
    always = ["--limit", "4", "--conditions", "brightness", "--seed", "3"]
    return ["compare", "--data", str(plates.root), "--candidates", str(folder / "two.toml"), *always]


@pytest.fixture(scope="module")
def compared(torch, arguments, tmp_path_factory) -> Compared:
    out = tmp_path_factory.mktemp("first") / "plates.study"
    return Compared(out, said_by([*arguments, "--out", str(out)]))


@pytest.fixture(scope="module")
def stopped(torch, arguments, tmp_path_factory) -> tuple[str, Compared]:
    """What Ctrl-C in the second fit said, and the same study gone on with."""
    out = tmp_path_factory.mktemp("second") / "plates.study"
    calls = iter(range(9))

    def run(options, say):
        if next(calls) == 1:
            raise KeyboardInterrupt
        run_fit(options, say)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.study.jobs.run_fit", run)
        words = refusal_of([*arguments, "--out", str(out)], 1)
    return words, Compared(out, said_by([*arguments, "--out", str(out)]))


def test_every_condition_is_measured_in_both_protocols_and_the_original_is_one_fit(compared):
    cells = compared.study.cells
    assert [(c.candidate, c.condition, c.protocol) for c in cells] == [
        ("tiny", "original", "matched"),
        ("tiny", "original", "frozen"),
        ("tiny", "brightness", "frozen"),
        ("tiny", "brightness", "matched"),
    ]
    assert cells[0].parts == cells[1].parts
    assert cells[2].parts != cells[3].parts
    assert len(list((compared.out / "work/fits").glob("*/fit.json"))) == 2


def test_the_parts_hold_the_scores_of_the_shipped_ir_and_the_figures_follow_from_them(compared):
    study = compared.study
    for cell in study.cells:
        good, bad = ([p.score for p in cell.parts if (p.label == "good") is flag] for flag in (True, False))
        assert cell.figures == figures_of(good, bad, cell.threshold, cell.figures.aupro)
        assert 0 <= cell.figures.aupro <= 1
        assert [study.data.images[p.sha256].split("/")[-2] for p in cell.parts] == ["good"] * 4 + ["hole"] * 4
    fits = (compared.out / "work/fits").glob("*/original*.json")
    (kept,) = [path for path in fits if read(path, Measured).parts == study.cells[0].parts]
    bundle = open_bundle(kept.parent / "bundle")
    assert study.cells[0].threshold == bundle.manifest.threshold
    runner = Runner.of(bundle)
    pictures = compared.out / "work/pictures"
    (original,) = pictures.glob("original.*")
    for part in study.cells[0].parts:
        picture = original / study.data.images[part.sha256].replace("/", "-")
        assert runner.predict(read_image(picture)).score == part.score


def test_nothing_that_is_tested_on_was_learned_from_nor_put_the_threshold(compared):
    tested = {part.sha256 for cell in compared.study.cells for part in cell.parts}
    for path in (compared.out / "work/fits").glob("*/bundle"):
        manifest = open_bundle(path).manifest
        assert not tested & {*manifest.training.images, *manifest.threshold.seen}
        assert (len(manifest.training.images), manifest.threshold.n_defect) == (4, 0)
        assert manifest.training.seed == 3


def test_defects_that_are_learned_from_put_the_threshold_and_are_not_tested_on(compared, arguments, tmp_path):
    (tmp_path / "one.toml").write_text(CANDIDATES.partition('[[candidate]]\nname = "broken"')[0] % weights_of(compared))
    more = ["--learn-defects", "2", "--splits", "1", "--conditions", "original", "--protocols", "frozen"]
    changed = ["--candidates", str(tmp_path / "one.toml"), "--out", str(tmp_path / "out"), *more]
    said = said_by([*arguments, *changed])
    (cell,) = Compared(tmp_path / "out", said).study.cells
    tested = {part.sha256 for part in cell.parts}
    assert (cell.threshold.policy, cell.threshold.n_defect, len(cell.threshold.seen)) == ("recall_1", 2, 2)
    assert (cell.figures.n_defect, cell.figures.n_good) == (2, 4)
    assert not tested & set(cell.threshold.seen)
    assert "data: 4 good and 2 defects to learn from, 4 good and 2 hole to test" in said


def weights_of(compared):
    return compared.study.candidates[0].options["weights"]


def test_the_worst_pictures_of_each_test_are_drawn(compared):
    for cell in compared.study.cells:
        assert len(cell.pictures) == 6
        drawn = [part for part in cell.parts if part.sha256 in cell.pictures]
        bad = sorted(part.score for part in cell.parts if part.label != "good")
        assert sorted(part.score for part in drawn if part.label != "good") == bad[:3]
        for name in cell.pictures.values():
            assert name.startswith("pictures/tiny-")
            assert read_image(compared.out / name).shape == (674, 640, 3)


def test_a_candidate_that_cannot_be_fitted_is_a_failure_and_not_the_end(compared):
    failures = compared.study.failures
    assert {(f.condition, f.protocol) for f in failures} == {
        (condition, protocol) for condition in ("original", "brightness") for protocol in ("matched", "frozen")
    }
    assert {f.candidate for f in failures} == {"broken"}
    assert "junk.pth" in failures[0].error
    assert compared.study.recommendation.ranking[-1].candidate == "broken"
    assert "4 measurements failed" not in compared.said
    assert "2 measurements failed, see the report" in compared.said


def test_the_command_prints_the_table_the_choice_and_where_it_lies(compared):
    lines = compared.said.splitlines()
    assert lines[0] == "data: 4 good to learn from, 4 good and 4 hole to test; 1 split(s), 2 condition(s)"
    assert any(line.startswith("original     1.000 0.") for line in lines)
    assert any(line.startswith("recommended: ") for line in lines)
    assert lines[-2:] == [f"study: {compared.out / 'study.json'}", f"report: {compared.out / 'report.html'}"]
    assert (compared.out / "report.html").is_file()


def test_costs_are_those_of_this_machine_and_stand_under_times_alone(compared):
    times = compared.study.times
    assert times.latency_s.keys() == times.throughput_per_s.keys() == times.memory_bytes.keys() == {"tiny"}
    assert (times.feasible, times.cycle_time_s) == ({"tiny": True}, None)
    assert times.fit_s["tiny"] > 0


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(stopped):
    words, after = stopped
    assert "stopped: 1 of 4 fits are done and kept in " in words
    assert "the same command goes on with the others" in words
    assert "1 of 4 fits were found done, with their tests" in after.said


def test_a_study_that_was_stopped_and_gone_on_with_is_the_same_file_but_for_its_times(compared, stopped):
    first, second = (json.loads((one.out / "study.json").read_text()) for one in (compared, stopped[1]))
    assert first.pop("times") != second.pop("times")
    assert first == second


def test_the_command_in_the_study_makes_it_again_without_naming_this_machine(compared):
    want = "mekiki-train compare --data {} --out plates.study --candidates two.toml --limit 4 --conditions brightness"
    found = compared.study.command
    assert found.startswith(want.format(compared.study.data.root))
    assert found.endswith(" --seed 3")
    assert "/" not in found


def test_what_is_done_is_not_done_again_and_lost_pictures_are_drawn_anew(compared, arguments, monkeypatch):
    def refuse(options, say):
        raise MekikiError("fitted again")

    monkeypatch.setattr("trainer.study.jobs.run_fit", refuse)
    lost = next(iter(compared.study.cells[2].pictures.values()))
    before = compared.study
    (compared.out / lost).unlink()
    said = said_by([*arguments, "--out", str(compared.out), "--cycle-time", "1e-9"])
    after = compared.study
    assert (after.cells, (compared.out / lost).is_file()) == (before.cells, True)
    assert "1 of 4 fits were found done" in said
    assert (after.recommendation.choice, after.times.feasible) == (None, {"tiny": False})
    assert "it does not fit the cycle time" in said


def test_frozen_is_one_fit_for_all_conditions_and_matched_one_for_each():
    conditions = parse_conditions("original,noise")
    one = Candidate(name="a", family="anomaly")
    jobs = jobs_of([one], ["split"], conditions, ("matched", "frozen"))
    assert [(job.learn, job.tests) for job in jobs] == [
        ("original", (("original", ("matched", "frozen")), ("noise", ("frozen",)))),
        ("noise", (("noise", ("matched",)),)),
    ]
    matched = jobs_of([one], ["split"], conditions, ("matched",))
    assert [job.tests for job in matched] == [(("original", ("matched",)),), (("noise", ("matched",)),)]
    assert len(jobs_of([one], ["split"], conditions, ("frozen",))) == 1


@pytest.fixture
def keys(plates, tmp_path):
    """What a key is made of, and how to make one with something changed."""
    pool = read_pool(plates.root)
    (tmp_path / "w.pth").write_bytes(b"one")
    usual = {
        "work": tmp_path,
        "candidate": Candidate(name="a", family="anomaly", options={"weights": str(tmp_path / "w.pth")}),
        "split": make_splits(pool, Wanted(limit=4))[0],
        "learn": parse_condition("noise"),
        "seed": 0,
        "policy": "auto",
    }
    return lambda **changed: place_of(**{**usual, **changed}).folder


def test_whatever_decides_what_comes_out_of_a_fit_makes_another_key(keys, plates, tmp_path):
    pool = read_pool(plates.root)
    first = keys()
    assert first == keys()
    others = [
        keys(candidate=Candidate(name="a", family="anomaly", options={"bank": 5})),
        keys(candidate=Candidate(name="b", family="anomaly", options={"weights": str(tmp_path / "w.pth")})),
        keys(split=make_splits(pool, Wanted(limit=5))[0]),
        keys(learn=parse_condition("noise:0.6")),
        keys(seed=1),
        keys(policy="normal_quantile"),
    ]
    (tmp_path / "w.pth").write_bytes(b"another")
    assert len({first, *others, keys()}) == 8


def test_other_starter_weights_make_another_key_where_none_were_given(keys, tmp_path, monkeypatch):
    plain, given = keys(candidate=Candidate(name="a", family="anomaly")), keys()
    (tmp_path / "starter").mkdir()
    (tmp_path / "starter/resnet18.pth").write_bytes(b"later ones")
    monkeypatch.setattr("trainer.backbone.STARTER", tmp_path / "starter")
    assert keys(candidate=Candidate(name="a", family="anomaly")) != plain
    assert keys() == given


def test_what_is_tested_on_is_no_part_of_a_fits_key_but_of_its_tests(keys, plates):
    pool = read_pool(plates.root)
    one, other = make_splits(pool, Wanted(limit=4)) + make_splits(pool, Wanted(limit=4, seed=1))
    fewer = replace(other, test=other.test[1:])
    assert keys(split=one) == keys(split=fewer)
    place = Place(keys())
    assert place.test(parse_condition("noise"), one.test) != place.test(parse_condition("noise"), fewer.test)


def test_ctrl_c_that_a_fit_turned_into_its_own_error_is_no_failure(arguments, tmp_path, monkeypatch):
    def run(options, say):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise MekikiError("interrupted; the same command goes on") from error

    monkeypatch.setattr("trainer.study.jobs.run_fit", run)
    assert "stopped: 0 of 4 fits are done" in refusal_of([*arguments, "--out", str(tmp_path / "out")], 1)


def test_what_another_mekiki_kept_in_another_form_is_done_again(tmp_path):
    (tmp_path / "fit.json").write_text('{"took": 3}')
    assert read(tmp_path / "fit.json", Fit) is None
    assert read(tmp_path / "none.json", Fit) is None


def test_a_folder_that_holds_something_else_or_lies_in_the_data_is_left_alone(arguments, plates, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    assert "holds something that is no study" in refusal_of([*arguments, "--out", str(tmp_path)], 2)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert "lies in the data" in refusal_of([*arguments, "--out", str(plates.root / "study")], 2)
    assert "is a file" in refusal_of([*arguments, "--out", str(tmp_path / "thesis.txt")], 2)


def test_studies_that_share_their_work_share_fits_and_the_second_tests_on_fewer(
    compared, arguments, tmp_path, monkeypatch
):
    def refuse(options, say):
        raise MekikiError(f"fitted again {options.data}")

    monkeypatch.setattr("trainer.study.jobs.run_fit", refuse)
    work, out = compared.out / "work", tmp_path / "few.study"
    (out / "pictures").mkdir(parents=True)  # as a study that was stopped leaves it,
    (out / f"{TEMPORARY_PREFIX}a").touch()  # and a power cut
    few = [*arguments, "--out", str(out), "--work", str(work), "--test-good", "2", "--test-defects", "1"]
    study = Compared(out, said_by(few)).study
    assert {(c.figures.n_good, c.figures.n_defect) for c in study.cells} == {(2, 1)}
    assert len(study.cells) == len(compared.study.cells)
    known = {part for cell in compared.study.cells for part in cell.parts}
    assert {part for cell in study.cells for part in cell.parts} < known
    assert "--test-good 2 --test-defects 1" in study.command
    assert "--work" not in study.command
    assert all((out / name).is_file() for cell in study.cells for name in cell.pictures.values())
    assert not (out / "work").exists()
    assert {failure.error for failure in study.failures} >= {"fitted again data"}


def test_work_that_is_kept_elsewhere_is_refused_where_it_would_do_harm(arguments, plates, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    elsewhere = [*arguments, "--out", str(tmp_path / "out"), "--work"]
    assert "holds something that is no study; choose another --work" in refusal_of([*elsewhere, str(tmp_path)], 2)
    assert "lies in the data" in refusal_of([*elsewhere, str(plates.root / "work")], 2)
    assert "is a file" in refusal_of([*elsewhere, str(tmp_path / "thesis.txt")], 2)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_studies_do_not_work_in_one_folder(arguments, tmp_path):
    (tmp_path / "work").mkdir()
    with (tmp_path / "work/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another study works in it" in refusal_of([*arguments, "--out", str(tmp_path)], 2)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--strength", "0.8"], "--strength: belongs to --conditions eight or all"),
        (["--protocols", "thawed"], "--protocols: 'thawed' is none; wanted matched or frozen, or both"),
        (["--policy", "recall_1"], "--policy recall_1: no defects are learned from; add --learn-defects N"),
        (["--learn-defects", "4"], "4 images of hole, --learn-defects 4 leaves none to test"),
        (["--defects", "dent"], "no defect 'dent'; it has hole"),
        (["--ray", "127.0.0.1:1"], "--ray"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_any_work(arguments, tmp_path, more, words):
    code = 1 if "--learn-defects" in more else 2
    assert words in refusal_of([*arguments, "--out", str(tmp_path / "out"), *more], code)
    assert not (tmp_path / "out/study.json").exists()


def test_work_in_other_processes_comes_back_in_order_and_a_bug_there_is_raised_here():
    assert Workers(2).each(operator.neg, [3, 1, 2], "test", "number") == [-3, -1, -2]
    with pytest.raises(TypeError):
        Workers(2).each(operator.neg, [1, "a"], "test", "number")


def test_a_refusal_in_another_process_keeps_its_class():
    with pytest.raises(ConfigError, match="no option 'bnk'"):
        Workers(2).each(_refuse, ["bnk"], "test", "option")


def _refuse(name):
    from trainer.fit_command import options_of

    return options_of("anomaly", {name: 1}, data=Path("a"), out=Path("b"))


@pytest.mark.slow
def test_a_real_ray_cluster_of_this_machine_finds_the_same(compared, arguments, tmp_path):
    pytest.importorskip("ray")
    out = tmp_path / "plates.study"
    said_by([*arguments, "--out", str(out), "--ray", "local", "--jobs", "1"])
    first, second = (json.loads((one / "study.json").read_text()) for one in (compared.out, out))
    assert first.pop("times") != second.pop("times")
    assert first == second
