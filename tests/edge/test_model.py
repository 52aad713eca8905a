"""A model in force: what it takes to have it ready, and no more."""

import pytest

from models.bundle import open_bundle
from models.runner import Runner
from tests import tiny
from tests.edge.engines import prepare

GOLDEN = [(tiny.SIDE_PX, tiny.SIDE_PX)] * 2


@pytest.fixture
def predicted(monkeypatch) -> list[tuple[int, int]]:
    """The size of every frame that is judged."""
    predict, seen = Runner.predict, []
    monkeypatch.setattr(Runner, "predict", lambda self, image: seen.append(image.shape[:2]) or predict(self, image))
    return seen


def test_golden_images_of_the_frames_size_warm_the_device_and_say_how_quick_it_is(bundle, predicted):
    model = prepare(open_bundle(bundle), {GOLDEN[0]})
    assert predicted == GOLDEN
    assert 0 < model.pace.expected_s < 1


def test_each_other_lane_and_size_is_warmed_and_measured_too(bundle, predicted):
    prepare(open_bundle(bundle), {GOLDEN[0]}, 3)
    assert predicted == GOLDEN * 2
    predicted.clear()
    model = prepare(open_bundle(bundle), {(80, 90)})
    assert predicted == [*GOLDEN, *[(80, 90)] * 4]
    assert 0 < model.pace.expected_s < 1
