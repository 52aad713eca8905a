from dataclasses import replace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from edge.cameras.frame import Checkup, Grab
from edge.config import DriftConfig
from edge.drift import Drift
from edge.metrics import Metrics
from edge.model import Model, Pace
from edge.parts import Judged
from models.bundle import open_bundle
from models.drift import Usual
from models.health import Health, limits_of
from tests.edge.outlet import verdict

SCORES = Usual(n_images=200, quartiles=(0.1, 0.2, 0.3))


def health(brightness: float) -> Health:
    return Health(brightness, 0.5, 0.5, 0.4, 0.5, 0.5, 0.2)


@pytest.fixture
def model(bundle) -> Model:
    opened, rng = open_bundle(bundle), np.random.default_rng(1)
    limits = limits_of([health(float(100 + rng.normal())) for _ in range(200)])
    threshold = opened.manifest.threshold.model_copy(update={"usual": SCORES, "false_reject_upper_95": 0.05})
    manifest = opened.manifest.model_copy(update={"threshold": threshold, "health": limits})
    return Model(replace(opened, manifest=manifest), (), Pace())


class Watched:
    def __init__(self, model: Model) -> None:
        self.metrics, self.models = Metrics(CollectorRegistry(), ["top"]), {"top": model}
        self.drift = Drift(self.models, DriftConfig(), self.metrics)
        self._rng, self._seq = np.random.default_rng(0), 0

    def parts(self, count: int, shift: float = 0, light: float = 0, **update: object) -> None:
        for _ in range(count):
            score = float(self._rng.uniform(0, 0.4)) + shift
            one = verdict(self._seq).model_copy(
                update={"score": score, "bundle": self.models["top"].bundle.digest, **update}
            )
            checkup = Checkup(health(100 + light + float(self._rng.normal())), is_done=True)
            self.drift.saw(Judged(one, replace(Grab.now(None), checkup=checkup)))
            self._seq += 1

    def ratio(self, of: str) -> float | None:
        return self.metrics.registry.get_sample_value("mekiki_drift_ratio", {"camera": "top", "of": of})


@pytest.fixture
def watched(model) -> Watched:
    return Watched(model)


def test_a_line_as_it_was_has_not_drifted_in_anything(watched):
    watched.parts(300)
    assert 0 < watched.ratio("score") < 1
    assert 0 < watched.ratio("brightness") < 1
    assert watched.ratio("ng") == 0


def test_nothing_is_said_before_there_are_enough_parts(watched):
    watched.parts(49, shift=0.3)
    assert watched.ratio("score") == 0
    watched.parts(1, shift=0.3)
    assert watched.ratio("score") > 1


def test_what_drifts_is_named_and_what_comes_back_has_come_back_after_a_window(watched):
    watched.parts(200)
    watched.parts(200, light=-5)
    assert watched.ratio("brightness") > 1 > watched.ratio("score")
    watched.parts(200)
    assert watched.ratio("brightness") < 1


def test_more_ng_than_false_rejects_explain_is_drift(watched):
    watched.parts(200, outcome="ng", reason="defect")
    assert watched.ratio("ng") > 1


def test_a_part_without_a_score_counts_by_its_picture_alone(watched):
    watched.parts(100, light=-5, outcome="unknown", reason="too_dark", score=None)
    assert watched.ratio("brightness") > 1
    assert watched.ratio("score") == 0


def test_a_measure_that_did_not_scatter_is_not_watched(watched):
    watched.parts(100)
    assert watched.ratio("contrast") is None


def test_another_model_begins_anew_and_the_last_parts_of_the_old_one_do_not_count(watched, model):
    watched.parts(200, shift=0.3)
    old = model.bundle.digest
    newer = replace(model, bundle=replace(model.bundle, digest="f" * 64))
    watched.models["top"] = newer
    watched.parts(100, shift=0.3, bundle=old)
    watched.parts(1)
    assert watched.ratio("score") == 0
    watched.parts(100)
    assert watched.ratio("score") < 1


def test_what_is_no_number_counts_for_nothing(watched):
    for _ in range(100):
        watched.parts(1, light=float("nan"))
    assert watched.ratio("brightness") == 0


def test_memory_stays_bounded(watched):
    watched.parts(500)
    (watch,) = watched.drift._watches.values()
    assert {len(window.bins) for window in watch.windows.values()} == {200}
