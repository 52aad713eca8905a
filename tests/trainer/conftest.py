import contextlib
import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.bundle import Bundle, open_bundle
from models.images import read_image
from models.manifest import Preprocess, Weights
from tests.trainer.marked import marked_set
from tests.trainer.plates import Plates, make_plates
from trainer.patchcore import Patchcore

SIZE_PX, BANK, STEPS = 96, 300, 80


@dataclass(frozen=True)
class Left:
    """What one real fit left, and what it said."""

    out: Path
    said: str

    @property
    def bundle(self) -> Bundle:
        return open_bundle(self.out)

    @property
    def report(self) -> Path:
        return self.out.with_name(self.out.name + ".report")


@dataclass(frozen=True)
class Fitted(Left):
    """Of plates."""

    plates: Plates
    weights: Path


@dataclass(frozen=True)
class Marked(Left):
    """Of bars with marks, by a detector."""

    data: Path
    learned: Path  # its weights
    interrupted: str  # what was said on stderr when it was interrupted,
    left: list[str]  # what lay beside the bundle to be then,
    other: str  # and what was said to the same command with another option


def fit_arguments(data: Path, out: Path, *more: object) -> list[str]:
    always = ["--family", "anomaly", "--image-size", SIZE_PX, "--bank", BANK]
    return [str(argument) for argument in ["fit", "--data", data, "--out", out, *always, *more]]


def said_by(arguments: list[str]) -> str:
    """What `mekiki-train` prints when it succeeds."""
    from trainer.cli import main

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(arguments) == 0
    return out.getvalue()


def detection_arguments(data: Path, out: Path, *more: object) -> list[str]:
    always = ["--family", "detection", "--image-size", SIZE_PX]
    return [str(argument) for argument in ["fit", "--data", data, "--out", out, *always, *more]]


def refusal_of(arguments: list[str], code: int) -> str:
    """What `mekiki-train` says on stderr when it fails with `code`."""
    from trainer.cli import main

    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        assert main(arguments) == code
    return err.getvalue()


def new_network(weights: Path | None = None, seed: int = 0) -> Patchcore:
    source = Weights(source="untrained", name="none", sha256=None)
    return Patchcore("resnet18", weights, source, seed)


@pytest.fixture(scope="session", autouse=True)
def _no_weights_of_this_machine(tmp_path_factory):
    """Neither its cache nor the starter weights, so that every machine tests the same."""
    from huggingface_hub import constants

    empty = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(empty / "cache"))
        patch.setattr("trainer.backbone.STARTER", empty)
        patch.setattr("trainer.detection.weights.STARTER", empty)
        patch.setenv("HF_HOME", str(empty))
        patch.setenv("TORCH_HOME", str(empty))
        yield


@pytest.fixture
def refused(tmp_path):
    """Runs a command that must fail with `code`; returns its one line. Nothing may change on disk."""

    def run(arguments: list[object], code: int) -> str:
        before = sorted(tmp_path.rglob("*"))
        err = refusal_of([str(argument) for argument in arguments], code)
        assert err.startswith("mekiki-train: ")
        assert err.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before
        return err

    return run


@pytest.fixture(scope="module")
def in_a_hurry():
    """A study takes little time to say how long a verdict takes."""
    from trainer.study import cost

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost, "_ENOUGH_S", 0.1)
        patch.setattr(cost, "_BUSY_S", 0.1)
        yield


@pytest.fixture(scope="session")
def torch():
    """On one thread: more of them stand in each other's way where tests run side by side."""
    import torch

    torch.set_num_threads(1)
    return torch


@pytest.fixture(scope="session")
def plates(tmp_path_factory) -> Plates:
    return make_plates(tmp_path_factory.mktemp("plates"))


@pytest.fixture(scope="session")
def spec() -> Preprocess:
    from tests.trainer.plates import plate
    from trainer.size import spec_for

    return spec_for(SIZE_PX, plate(0))


@pytest.fixture(scope="session")
def weights(torch, plates, spec, tmp_path_factory) -> Path:
    """Of a ResNet18 that has seen nothing but the statistics of the plates."""
    net = new_network()
    net.settle([read_image(path) for path in plates.train], spec)
    file = tmp_path_factory.mktemp("weights") / "settled.pth"
    torch.save(net.model.feature_extractor.feature_extractor.state_dict(), file)
    return file


@pytest.fixture(scope="session")
def fitted(plates, weights, tmp_path_factory) -> Fitted:
    out = tmp_path_factory.mktemp("fitted") / "plates.bundle"
    said = said_by(fit_arguments(plates.root, out, "--weights", weights, "--seed", 3))
    return Fitted(out, said, plates, weights)


@pytest.fixture(scope="session")
def mmdet(torch):
    """mmdet, ready to be used. Its import takes a dozen seconds, once.

    What mmengine writes for people to read takes a second for each checkpoint, and nobody reads it here.
    """
    from trainer.detection.train import ready

    ready()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmengine.config.Config.pretty_text", "")
        patch.setattr("mmengine.runner.Runner._log_env", lambda *_: None)
        yield


@pytest.fixture(scope="session")
def marked(mmdet, tmp_path_factory) -> Marked:
    """A detector trained from nothing on bars with marks; Ctrl-C was pressed once on the way."""
    folder = tmp_path_factory.mktemp("marked")
    data, out, learned = marked_set(folder / "data", n_bad=15), folder / "made/bars.bundle", folder / "learned.pth"
    out.parent.mkdir()
    arguments = detection_arguments(data, out, "--steps", STEPS, "--also", "f16,int8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.detection.plan._VALIDATIONS", 4)  # each writes 100 MB of checkpoints
        patch.setattr("trainer.detection.config._WARM_UP_STEPS", 8)
        patch.setattr("trainer.detection.plan.rate_for", lambda _: 2e-3)  # so few steps have to be long ones
        patch.setattr("trainer.detection.plan.cpu_has_bf16", lambda: False)  # on every machine the same
        patch.setattr("trainer.detection.fit.train", keeping(learned))
        with pytest.MonkeyPatch.context() as hand:
            hand.setattr("trainer.detection.parts.fitness", interrupting(2))
            interrupted = refusal_of(arguments, 1)
        left = sorted(path.name for path in out.parent.iterdir())
        other = refusal_of([*arguments, "--batch", "3"], 2)
        return Marked(out, said_by(arguments), data, learned, interrupted, left, other)


def keeping(learned: Path):
    """`train`, and a copy of the weights that it gives, with their curve."""
    from trainer.detection.hooks import CURVE
    from trainer.detection.train import train

    def run(*arguments):
        file = train(*arguments)
        shutil.copy(file, learned)
        shutil.copy(file.with_name(CURVE), learned.with_name(CURVE))
        return learned

    return run


def interrupting(count: int):
    """`fitness`, with Ctrl-C in its call number `count`."""
    from trainer.detection.parts import fitness

    calls = iter(range(1, count + 1))

    def run(good, bad):
        if next(calls) == count:
            raise KeyboardInterrupt
        return fitness(good, bad)

    return run
