import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.bundle import Bundle, open_bundle
from models.images import read_image
from models.manifest import Preprocess, Weights
from tests.trainer.plates import Plates, make_plates
from trainer.patchcore import Patchcore

SIZE_PX, BANK = 96, 300


@dataclass(frozen=True)
class Fitted:
    """What one real fit left, and what it said."""

    plates: Plates
    weights: Path
    out: Path
    said: str

    @property
    def bundle(self) -> Bundle:
        return open_bundle(self.out)

    @property
    def report(self) -> Path:
        return self.out.with_name(self.out.name + ".report")


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
        patch.setenv("HF_HOME", str(empty))
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
    return Fitted(plates, weights, out, said_by(fit_arguments(plates.root, out, "--weights", weights, "--seed", 3)))
