"""A training that is interrupted goes on where it stopped, and what it leaves is read without running anything."""

from dataclasses import replace

import pytest

from models.errors import ConfigError, MekikiError
from tests.trainer.marked import marked_set
from trainer.annotations import read_annotations
from trainer.detection import config
from trainer.detection.hooks import CURVE
from trainer.detection.plan import Plan
from trainer.detection.prepare import Prepared, prepare
from trainer.detection.split import split
from trainer.detection.train import stopped_at, train

MODEL = "rtmdet-tiny"
PLAN = Plan(steps=8, batch=2, learning_rate=1e-3, seed=0, rotation_deg=8, patience=9, validate_every=2)
pytestmark = pytest.mark.usefixtures("mmdet")


@pytest.fixture(autouse=True)
def _slim(monkeypatch):
    """A ninth of the weights: what is asked here does not depend on how well anything is learned."""
    real = config.model_config

    def slim(model, classes):
        found = real(model, classes)
        network = found.model
        network.backbone.widen_factor = 0.125
        network.neck.update(in_channels=[32, 64, 128], out_channels=32)
        network.bbox_head.update(in_channels=32, feat_channels=32)
        return found

    monkeypatch.setattr(config, "model_config", slim)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Prepared:
    folder = tmp_path_factory.mktemp("prepared")
    annotated = read_annotations(marked_set(folder / "data", n_good=4, n_bad=4, n_test=1))
    parts = split(annotated, 0)
    return prepare(parts.learn, parts.held_out, annotated.classes, 64, folder / "ready")


@pytest.fixture
def work(tmp_path):
    return tmp_path / "a.bundle.training/run"


@pytest.fixture
def counted(monkeypatch):
    """The steps that are taken, by number."""
    from mmengine.runner import IterBasedTrainLoop

    steps, real = [], IterBasedTrainLoop.run_iter

    def run(loop, batch):
        steps.append(loop.iter)
        real(loop, batch)

    monkeypatch.setattr(IterBasedTrainLoop, "run_iter", run)
    return steps


@pytest.fixture
def validated(monkeypatch):
    """What validations find, one after the other; None is Ctrl-C in the midst of it."""

    def plan(*found):
        values = iter(found)

        def fitness(_good, _bad):
            if (value := next(values)) is None:
                raise KeyboardInterrupt
            return {"fitness": value}

        monkeypatch.setattr("trainer.detection.parts.fitness", fitness)

    return plan


def read(torch, file):
    return torch.load(file, map_location="cpu", weights_only=True)


def test_after_ctrl_c_the_same_training_goes_on_and_takes_as_many_steps_in_all(data, work, counted, validated, torch):
    validated(0.9, 0.5, None)
    assert not stopped_at(work)
    with pytest.raises(MekikiError, match=r"interrupted; the same command goes on, unless you remove .*a\.bundle\.tr"):
        train(MODEL, data, PLAN, work, None)
    assert stopped_at(work)
    (first,) = work.glob("best_*.pth")
    best = read(torch, first)["state_dict"]
    validated(0.7)
    learned = read(torch, train(MODEL, data, PLAN, work, None))
    assert counted == [*range(6), 6, 7]
    assert learned.keys() == best.keys()
    assert all(torch.equal(value, best[name]) for name, value in learned.items()), "0.9 is still the best of all"


def test_a_better_validation_after_the_pause_replaces_the_best_one_before_it(data, work, validated, torch):
    validated(0.6, None)
    with pytest.raises(MekikiError, match="interrupted"):
        train(MODEL, data, PLAN, work, None)
    validated(0.7, 0.8)
    train(MODEL, data, PLAN, work, None)
    assert [file.name for file in work.glob("best_*.pth")] == ["best_val_fitness_iter_8.pth"]


def test_every_checkpoint_is_read_without_unpickling(data, work, validated, torch):
    validated(0.9, 0.5, None)
    with pytest.raises(MekikiError):
        train(MODEL, data, PLAN, work, None)
    files = sorted(file.name for file in work.glob("*.pth"))
    assert files == ["best_val_fitness_iter_2.pth", "iter_6.pth"]
    assert read(torch, work / "iter_6.pth")["meta"]["iter"] == 6


def test_other_options_than_those_of_the_interrupted_training_are_refused(data, work, validated, tmp_path):
    validated(None)
    with pytest.raises(MekikiError):
        train(MODEL, data, PLAN, work, None)
    start = tmp_path / "start.pth"
    start.write_bytes(b"weights")
    before = {path: path.stat().st_mtime_ns for path in work.iterdir()}
    for other in (
        ("rtmdet-s", data, PLAN, work, None),
        (MODEL, replace(data, side_px=96), PLAN, work, None),
        (MODEL, data, replace(PLAN, seed=1), work, None),
        (MODEL, data, replace(PLAN, steps=77), work, None),
        (MODEL, data, PLAN, work, start),
    ):
        with pytest.raises(ConfigError, match=r"a\.bundle\.training: a training of other data or with other options s"):
            train(*other)
    assert {path: path.stat().st_mtime_ns for path in work.iterdir()} == before


def test_a_training_that_is_done_is_not_done_again(data, work, counted, validated):
    validated(0.9)
    plan = replace(PLAN, steps=2)
    first = train(MODEL, data, plan, work, None)
    assert train(MODEL, data, plan, work, None) == first
    assert counted == [0, 1]


def test_in_bf16_it_learns_weights_of_f32(data, tmp_path, validated, torch):
    learned = []
    for bf16 in (False, True):
        validated(0.9)
        plan = replace(PLAN, steps=2, bf16=bf16)
        learned.append(read(torch, train(MODEL, data, plan, tmp_path / str(bf16), None)))
    assert all(value.dtype in (torch.float32, torch.int64) for value in learned[1].values())
    assert learned[0].keys() == learned[1].keys()
    assert any(not torch.equal(learned[0][name], value) for name, value in learned[1].items())


def test_it_stops_when_nothing_gets_better(data, work, counted, validated):
    validated(0.0, 1.9, 1.92, 1.92, 1.92, 1.95)
    train(MODEL, data, replace(PLAN, steps=30, validate_every=1, patience=2), work, None)
    assert counted == list(range(5)), "from 1.9 to 1.92 is better"


def test_it_does_not_stop_before_it_told_good_from_bad_once(data, work, counted, validated):
    validated(0.9, 0.1, 0.1, 0.1, 1.2, 0.1, 0.1, 0.1, 0.1)
    train(MODEL, data, replace(PLAN, steps=30, validate_every=1, patience=3), work, None)
    assert counted == list(range(8)), "the third without progress after 1.2"


def test_the_curve_has_a_line_for_each_validation_before_and_after_an_interruption(data, work, validated):
    validated(0.9, None, 0.8, 0.7)
    with pytest.raises(MekikiError, match="interrupted"):
        train(MODEL, data, PLAN, work, None)
    train(MODEL, data, PLAN, work, None)
    head, *lines = (work / CURVE).read_text().splitlines()
    assert head == "step,loss,fitness,auc"
    steps = [line.split(",") for line in lines]
    assert [(int(step[0]), float(step[2])) for step in steps] == [(2, 0.9), (6, 0.8), (8, 0.7)]
    assert all(float(step[1]) > 0 for step in steps)


def test_the_network_begins_with_the_weights_that_were_given(data, work, validated, torch):
    from mmdet.registry import MODELS

    torch.manual_seed(5)
    given = MODELS.build(config.model_config(MODEL, 1).model).state_dict()
    work.parent.mkdir()
    torch.save({"state_dict": given}, work.parent / "start.pth")
    validated(0.9)
    plan = replace(PLAN, steps=1, validate_every=1, learning_rate=1e-9)
    learned = read(torch, train(MODEL, data, plan, work, work.parent / "start.pth"))
    name = "backbone.stem.0.conv.weight"
    torch.testing.assert_close(learned[name], given[name], atol=1e-6, rtol=0)


def test_weights_that_are_no_numbers_are_an_error_and_not_a_model(data, work, validated, torch, monkeypatch):
    from mmengine.optim import OptimWrapper

    def step(wrapper, **_):
        for group in wrapper.optimizer.param_groups:
            for parameter in group["params"]:
                parameter.data.fill_(float("nan"))

    monkeypatch.setattr(OptimWrapper, "step", step)
    validated(0.5)
    with pytest.raises(
        MekikiError, match="training diverged: weights that are no numbers; try again with another --seed"
    ):
        train(MODEL, data, replace(PLAN, steps=2), work, None)
    assert not (work / "weights.pth").exists()


def test_a_training_leaves_opencv_and_processes_as_they_were_and_prints_nothing(data, work, validated, capsys):
    import multiprocessing

    import cv2

    before = cv2.getNumThreads(), multiprocessing.get_start_method(allow_none=True)
    validated(0.9)
    train(MODEL, data, replace(PLAN, steps=2), work, None)
    assert (cv2.getNumThreads(), multiprocessing.get_start_method(allow_none=True)) == before
    assert capsys.readouterr() == ("", "")
