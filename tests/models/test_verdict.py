import json

import pytest
from pydantic import ValidationError

from models.verdict import Verdict

# As a box published it before there was review.
OLD = {
    "schema_version": 1, "epoch": "20261123T145033.827623Z", "camera": "top", "seq": 0, "part_id": "A-17",
    "source": "000.png", "outcome": "ok", "reason": None, "detail": None, "score": 2.35, "threshold": 5.34,
    "regions": [], "bundle": "0" * 64, "device": "CPU", "precision": "f32", "captured_at_ns": 1, "captured_ns": 1,
    "stages": {"read_s": 0.1, "queue_s": 0.0, "infer_s": 0.1, "decode_s": 0.0, "total_s": 0.2}, "deadline_s": 0.5,
}  # fmt: skip


def test_a_verdict_from_before_there_was_review_is_still_read():
    assert Verdict.model_validate_json(json.dumps(OLD)).review_at_or_above is None


def test_a_verdict_from_before_parts_were_looked_for_took_no_time_to_find_one():
    assert Verdict.model_validate_json(json.dumps(OLD)).stages.find_s == 0


def test_a_verdict_for_review_says_from_where_on_and_comes_back():
    said = OLD | {"outcome": "unknown", "reason": "review", "score": 5.0, "review_at_or_above": 4.5}
    said["stages"] = OLD["stages"] | {"find_s": 0.01}
    verdict = Verdict.model_validate_json(json.dumps(said))
    assert json.loads(verdict.model_dump_json()) == said


def test_a_reader_ignores_keys_that_it_does_not_know_and_refuses_reasons_that_it_does_not_know():
    assert Verdict.model_validate_json(json.dumps(OLD | {"weight_g": 3})).seq == 0
    with pytest.raises(ValidationError, match="reason"):
        Verdict.model_validate_json(json.dumps(OLD | {"outcome": "unknown", "reason": "full moon"}))
