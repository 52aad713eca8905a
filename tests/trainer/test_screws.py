"""The numbers that were promised, on the real screws: minutes, so `make test-slow` only."""

import json

import pytest

from models.bundle import open_bundle
from tests.shared import find_shared
from tests.trainer.conftest import said_by

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SHARED = find_shared()
DATA = SHARED / "data/mvtec_screw" if SHARED else None


@pytest.fixture(scope="module")
def screws(tmp_path_factory):
    """The bundle of the first twenty good screws by name, with the weights that lie beside the data."""
    if DATA is None or not DATA.is_dir():
        pytest.skip("no data/mvtec_screw in ../shared or MEKIKI_SHARED")
    out = tmp_path_factory.mktemp("screws") / "screws.bundle"
    weights = next((SHARED / "weights").glob("resnet18*.pth"))
    arguments = ["fit", "--family", "anomaly", "--data", DATA, "--out", out, "--limit", 20, "--weights", weights]
    return out, said_by([str(argument) for argument in arguments])


def measured(screws, defects):
    return json.loads(said_by(["evaluate", str(screws[0]), "--data", str(DATA), "--defects", defects, "--json"]))


def test_scratches_on_the_neck_are_told_from_good_screws(screws):
    found = measured(screws, "scratch_neck")
    assert found["roc_auc"] >= 0.98
    assert found["precision_at_recall_1"] >= 0.90


def test_scratches_on_the_head_are_told_from_good_screws(screws):
    assert measured(screws, "scratch_head")["roc_auc"] >= 0.95


def test_torch_and_the_ir_agree_on_images_of_native_size(screws):
    parity = open_bundle(screws[0]).manifest.parity
    assert parity.n_images == 4
    assert parity.max_relative <= 1e-3
    assert parity.label_flips == 0


def test_screws_are_seen_to_lie_anyhow_and_the_size_is_chosen_with_its_reason(screws):
    assert "12 view(s) of each image in the bank (--augment auto)" in screws[1]
    assert "of the fine contrast, and 10000 vectors in about" in screws[1]
