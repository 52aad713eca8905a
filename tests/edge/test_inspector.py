import json
import time

import numpy as np
import pytest

from edge.cameras.frame import Fault, Frame, Grab
from edge.inspector import Inspector, new_epoch
from models.bundle import open_bundle
from models.errors import ModelError
from models.runner import Runner
from models.verdict import Verdict
from tests import tiny

EPOCH = "20261123T080155.123456Z"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    return open_bundle(tiny.make_bundle(tmp_path_factory.mktemp("nan") / "b", nan=True))


@pytest.fixture(scope="module")
def inspector(opened) -> Inspector:
    return Inspector(opened, Runner.of(opened), EPOCH)


def seen(inspector: Inspector, image, fault=None) -> Verdict:
    verdict = inspector.inspect(Frame("top", 7, Grab.now(image, "a.png", fault)))
    assert Verdict.model_validate_json(json.dumps(json.loads(verdict.model_dump_json()), allow_nan=False)) == verdict
    assert (verdict.epoch, verdict.camera, verdict.seq, verdict.source) == (EPOCH, "top", 7, "a.png")
    return verdict


def test_a_dark_frame_is_ok_and_its_verdict_says_by_which_model(inspector, opened):
    verdict = seen(inspector, tiny.frame(tiny.OK))
    assert (verdict.outcome, verdict.reason, verdict.detail, verdict.regions) == ("ok", None, None, ())
    assert (verdict.bundle, verdict.device, verdict.precision) == (opened.digest, "CPU", "f32")
    assert verdict.score < verdict.threshold == 0.5


def test_a_bright_patch_is_ng_and_the_region_is_around_it(inspector):
    verdict = seen(inspector, tiny.frame(tiny.NG, 100, 200))
    assert (verdict.outcome, verdict.reason) == ("ng", "defect")
    (region,) = verdict.regions
    assert (region.x_px, region.y_px) == (0, 0)
    assert 100 <= region.width_px <= 125
    assert 50 <= region.height_px <= 63
    assert region.score == verdict.score


def test_a_score_that_is_no_number_is_unknown_and_the_json_has_no_nan(inspector):
    verdict = seen(inspector, tiny.frame(tiny.WHITE))
    assert (verdict.outcome, verdict.reason, verdict.score) == ("unknown", "not_finite", None)
    assert "not a number" in verdict.detail


@pytest.mark.parametrize("fault", [Fault("camera_fault", "gone"), Fault("bad_frame", "torn\nin two")])
def test_a_fault_is_unknown_with_its_reason_on_one_line(inspector, fault):
    verdict = seen(inspector, None, fault)
    assert (verdict.outcome, verdict.reason, verdict.score) == ("unknown", fault.reason, None)
    assert verdict.detail == fault.detail.replace("\n", " ")


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 3), np.uint16),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((0, 64, 3), np.uint8),
        None,
    ],
)
def test_an_odd_frame_is_unknown_and_the_next_one_is_judged(inspector, image):
    verdict = seen(inspector, image)
    assert (verdict.outcome, verdict.reason) == ("unknown", "bad_frame")
    assert seen(inspector, tiny.frame()).outcome == "ok"


def test_a_model_that_fails_is_unknown_and_not_ok(opened):
    class BrokenRunner(Runner):
        def predict(self, image):
            raise ModelError("CPU: inference failed (out of memory);\nsee the device's driver")

    broken = BrokenRunner(opened.model_xml, opened.manifest.decoder, "f32")
    verdict = seen(Inspector(opened, broken, EPOCH), tiny.frame())
    assert (verdict.outcome, verdict.reason) == ("unknown", "model_error")
    assert verdict.detail == "CPU: inference failed (out of memory); see the device's driver"


def test_a_name_that_is_not_utf_8_does_not_break_the_verdict(inspector):
    verdict = seen(inspector, None, Fault("bad_frame", "line/\udcff.png: 0 bytes"))
    assert verdict.detail == "line/?.png: 0 bytes"


def test_the_stages_are_seconds_since_capture(inspector):
    grab = Grab.now(tiny.frame())
    time.sleep(0.05)
    stages = inspector.inspect(Frame("top", 0, grab)).stages
    assert 0.05 <= stages.queue_s < stages.total_s < 5
    assert 0 < stages.infer_s < stages.total_s - stages.queue_s
    assert stages.decode_s > 0


def test_a_later_epoch_sorts_after_an_earlier_one():
    epochs = []
    for _ in range(3):
        epochs.append(new_epoch())
        time.sleep(0.001)
    assert epochs == sorted(set(epochs))
    assert len(epochs[0]) == len("20261123T080155.123456Z")
