import json
import re
import time
from dataclasses import replace

import numpy as np
import pytest

from edge.cameras.frame import Checkup, Fault, Grab
from edge.inspector import Doubt, Inspector
from edge.model import Model
from edge.parts import Part
from models.bundle import open_bundle
from models.errors import ModelError
from models.health import Range
from models.measure import measure
from models.verdict import Verdict
from tests import keys, tiny
from tests.edge.engines import prepare

EPOCH = "20261123T080155.123456Z"
INSPECTOR = Inspector(EPOCH)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    """With health limits, and a score that is NaN for a white picture."""
    path = tmp_path_factory.mktemp("nan") / "b"
    made = tiny.make_bundle(path, nan=True, health=tiny.limits(brightness=Range(low=10, high=256)))
    return prepare(open_bundle(made))


def part_of(image, fault=None) -> Part:
    grab = Grab.now(image, "a.png", fault)
    return Part("top", 7, grab.captured_ns, "A-17", 2.0, grab)


def seen(model: Model, image, fault=None) -> Verdict:
    """As the engine does it: what speaks against a picture, or what the model says."""
    part = part_of(image, fault)
    doubt = INSPECTOR.doubt_of(part, model)
    part.started_ns = time.monotonic_ns()
    if doubt is None:
        judged = INSPECTOR.judged(part, model, model.runners[0].predict(image))
    else:
        judged = INSPECTOR.unknown(part, model, doubt)
    verdict = judged.verdict
    assert judged.grab is part.grab
    assert Verdict.model_validate_json(json.dumps(json.loads(verdict.model_dump_json()), allow_nan=False)) == verdict
    assert (verdict.epoch, verdict.camera, verdict.seq, verdict.source) == (EPOCH, "top", 7, "a.png")
    assert (verdict.part_id, verdict.deadline_s) == ("A-17", 2.0)
    return verdict


def test_a_dark_frame_is_ok_and_its_verdict_says_by_which_model(model):
    verdict = seen(model, tiny.frame(tiny.OK))
    assert (verdict.outcome, verdict.reason, verdict.detail, verdict.regions) == ("ok", None, None, ())
    assert (verdict.bundle, verdict.device, verdict.precision) == (model.bundle.digest, "CPU", "f32")
    assert verdict.score < verdict.threshold == 0.5


def test_a_bright_patch_is_ng_and_the_region_is_around_it(model):
    verdict = seen(model, tiny.frame(tiny.NG, 100, 200))
    assert (verdict.outcome, verdict.reason) == ("ng", "defect")
    (region,) = verdict.regions
    assert (region.x_px, region.y_px) == (0, 0)
    assert 100 <= region.width_px <= 125
    assert 50 <= region.height_px <= 63
    assert region.score == verdict.score


def test_a_score_that_is_no_number_is_unknown_and_the_json_has_no_nan(model):
    verdict = seen(model, tiny.frame(tiny.WHITE))
    assert (verdict.outcome, verdict.reason, verdict.score) == ("unknown", "not_finite", None)
    assert "not a number" in verdict.detail


@pytest.mark.parametrize("fault", [Fault("camera_fault", "gone"), Fault("bad_frame", "torn\nin two")])
def test_a_fault_is_unknown_with_its_reason_on_one_line(model, fault):
    verdict = seen(model, None, fault)
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
def test_an_odd_frame_is_unknown_and_the_next_one_is_judged(model, image):
    verdict = seen(model, image)
    assert (verdict.outcome, verdict.reason) == ("unknown", "bad_frame")
    assert seen(model, tiny.frame()).outcome == "ok"


def test_a_model_that_fails_is_unknown_and_not_ok(model):
    error = ModelError("CPU: inference failed (out of memory);\nsee the device's driver")
    judged = INSPECTOR.judged(part_of(tiny.frame()), model, error)
    assert (judged.verdict.outcome, judged.verdict.reason) == ("unknown", "model_error")
    assert judged.verdict.detail == "CPU: inference failed (out of memory); see the device's driver"
    assert judged.prediction is None


def test_a_name_that_is_not_utf_8_does_not_break_the_verdict(model):
    verdict = seen(model, None, Fault("bad_frame", "line/\udcff.png: 0 bytes"))
    assert verdict.detail == "line/?.png: 0 bytes"


def test_a_picture_outside_of_the_limits_is_a_doubt_and_a_fit_one_is_none(model):
    black = checked(np.zeros((64, 64, 3), np.uint8))
    doubt = INSPECTOR.doubt_of(black, model)
    assert doubt.reason == "too_dark"
    assert "brightness 0 of 255, trained on 10 to 256" in doubt.detail
    assert INSPECTOR.doubt_of(checked(tiny.frame()), model) is None


def test_a_picture_that_turns_out_unfit_while_the_device_worked_is_unknown(model):
    part = checked(np.zeros((64, 64, 3), np.uint8))
    verdict = INSPECTOR.judged(part, model, model.runners[0].predict(part.grab.image)).verdict
    assert (verdict.outcome, verdict.reason, verdict.score) == ("unknown", "too_dark", None)


def test_a_picture_is_waited_for_until_it_was_measured_and_is_unknown_when_it_never_is(model):
    part = part_of(tiny.frame())
    assert not INSPECTOR.waits_for_checkup(part, model)
    part.grab = replace(part.grab, checkup=Checkup())
    assert INSPECTOR.waits_for_checkup(part, model)
    assert INSPECTOR.doubt_of(part, model) is None
    part.grab.checkup.is_done = True
    assert not INSPECTOR.waits_for_checkup(part, model)
    verdict = INSPECTOR.judged(part, model, model.runners[0].predict(part.grab.image)).verdict
    assert (verdict.outcome, verdict.reason) == ("unknown", "camera_fault")


def test_health_is_not_asked_where_nobody_measures(model):
    assert INSPECTOR.doubt_of(part_of(np.zeros((64, 64, 3), np.uint8)), model) is None


def test_a_part_that_never_had_a_picture_has_a_verdict_too(model):
    part = Part("top", 7, time.monotonic_ns(), "A-17", None)
    verdict = INSPECTOR.unknown(part, model, Doubt("overload", "8 parts wait already")).verdict
    assert (verdict.outcome, verdict.reason, verdict.detail) == ("unknown", "overload", "8 parts wait already")
    assert (verdict.part_id, verdict.source, verdict.score) == ("A-17", None, None)


def test_the_stages_are_seconds_since_capture(model):
    captured_ns = time.monotonic_ns() - 100_000_000
    grab = Grab(captured_ns, time.time_ns(), captured_ns + 30_000_000, tiny.frame())
    part = Part("top", 0, captured_ns, None, None, grab)
    part.started_ns = captured_ns + 80_000_000
    stages = INSPECTOR.judged(part, model, model.runners[0].predict(grab.image)).verdict.stages
    assert (stages.read_s, stages.queue_s) == (pytest.approx(0.03), pytest.approx(0.05))
    assert 0 < stages.infer_s < 5
    assert stages.decode_s > 0
    assert 0.1 + stages.infer_s <= stages.total_s < 10


def checked(image) -> Part:
    """As the camera's process measured it."""
    part = part_of(image)
    part.grab = replace(part.grab, checkup=Checkup(measure(image), is_done=True))
    return part


@pytest.fixture(scope="module")
def careful(tmp_path_factory) -> Model:
    """ng from 0.5 as the other, and a person looks from 0.3."""
    made = tiny.make_bundle(tmp_path_factory.mktemp("careful") / "b", nan=True, review=0.3)
    return prepare(open_bundle(made))


def test_between_review_and_threshold_a_part_is_unknown_and_the_verdict_says_why(careful):
    verdict = seen(careful, tiny.frame(100))
    assert (verdict.outcome, verdict.reason, verdict.regions) == ("unknown", "review", ())
    assert verdict.score == pytest.approx(100 / 255)
    assert (verdict.threshold, verdict.review_at_or_above) == (0.5, 0.3)
    assert verdict.detail == ("score 0.3922 lies between 0.3, from where a person looks, and 0.5, from where it is ng")


def test_a_review_band_leaves_ok_ng_and_not_finite_as_they_are(careful):
    found = [seen(careful, tiny.frame(patch)) for patch in (tiny.OK, tiny.NG, tiny.WHITE)]
    assert [(one.outcome, one.reason) for one in found] == [("ok", None), ("ng", "defect"), ("unknown", "not_finite")]
    assert [one.detail is None for one in found] == [True, True, False]
    assert len(found[1].regions) == 1
    assert {one.review_at_or_above for one in found} == {0.3}


def test_without_a_review_band_the_same_part_is_ok(model):
    verdict = seen(model, tiny.frame(100))
    assert (verdict.outcome, verdict.review_at_or_above) == ("ok", None)


@pytest.fixture(scope="module")
def finding(tmp_path_factory) -> Model:
    """It looks for a key and lays it upright."""
    made = keys.make_bundle(tmp_path_factory.mktemp("keys") / "b")
    return prepare(open_bundle(made), {(keys.SIDE_PX, keys.SIDE_PX)})


@pytest.mark.parametrize("lying", keys.poses(2, seed=12))
def test_a_part_is_judged_however_it_lies_and_finding_it_is_a_stage_of_its_own(finding, lying):
    found = [seen(finding, keys.key(*lying, mark=mark)) for mark in (None, keys.BRIGHT)]
    assert [(one.outcome, one.reason, len(one.regions)) for one in found] == [("ok", None, 0), ("ng", "defect", 1)]
    assert 0 < found[0].stages.find_s < 1
    assert found[0].stages.find_s + found[0].stages.infer_s <= found[0].stages.total_s


@pytest.mark.parametrize(
    ("image", "detail"),
    [
        (keys.empty(), r"no part was found \(match 0\.\d\d, 0\.45 was wanted\)"),
        (keys.washer(), r"no part was found \(match 0\.\d\d, 0\.45 was wanted\)"),
        (keys.key(0, (90, 0)), r"\d\d% of the part lie in the picture, 97% were wanted"),
        (keys.key(0, (90, 0), mark=keys.BRIGHT), r"\d\d% of the part lie in the picture, 97% were wanted"),
    ],
    ids=["empty", "another part", "half beyond the frame", "a bad one half beyond the frame"],
)
def test_without_a_whole_part_in_the_picture_it_is_unknown_and_the_verdict_says_why(finding, image, detail):
    verdict = seen(finding, image)
    assert (verdict.outcome, verdict.reason, verdict.score, verdict.regions) == ("unknown", "not_found", None, ())
    assert re.fullmatch(detail, verdict.detail)
    assert verdict.stages.find_s > 0


def test_a_lost_part_is_unknown_even_where_its_score_were_a_good_one(finding):
    prediction = replace(finding.runners[0].predict(keys.key(5)), lost="no part was found")
    verdict = INSPECTOR.judged(part_of(keys.key(5)), finding, prediction).verdict
    assert prediction.score < verdict.threshold
    assert (verdict.outcome, verdict.reason, verdict.score) == ("unknown", "not_found", None)
