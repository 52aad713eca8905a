import socket
import urllib.request
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry

from edge.config import MetricsConfig
from edge.metrics import Metrics
from edge.metrics.endpoint import Endpoint
from models.bundle import open_bundle
from models.errors import ConfigError, MekikiError
from models.verdict import Reason, Stages
from tests.edge.box import free_port
from tests.edge.outlet import verdict


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry(), ["top"])


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_every_series_of_a_camera_is_there_at_zero_before_its_first_event(metrics):
    for how in ("undecoded", "replaced"):
        assert value(metrics, "mekiki_frames_dropped_total", camera="top", how=how) == 0
    for socket_name in ("bus", "replay", "trigger", "pictures"):
        assert value(metrics, "mekiki_bad_messages_total", socket=socket_name) == 0
    for result in ("switched", "refused"):
        assert value(metrics, "mekiki_model_swaps_total", result=result) == 0
    assert value(metrics, "mekiki_camera_faults_total", camera="top") == 0
    assert value(metrics, "mekiki_evidence_lost_total") == 0
    unknowns = [("unknown", reason) for reason in get_args(Reason) if reason != "defect"]
    for outcome, reason in (("ok", "none"), ("ng", "defect"), *unknowns):
        assert value(metrics, "mekiki_verdicts_total", camera="top", outcome=outcome, reason=reason) == 0


def test_verdicts_are_counted_by_outcome_and_reason(metrics):
    metrics.verdict(verdict(0))
    metrics.verdict(verdict(1))
    unknown = {"outcome": "unknown", "reason": "model_error", "score": None}
    metrics.verdict(verdict(2).model_copy(update=unknown))
    assert value(metrics, "mekiki_verdicts_total", camera="top", outcome="ok", reason="none") == 2
    assert value(metrics, "mekiki_verdicts_total", camera="top", outcome="unknown", reason="model_error") == 1
    assert value(metrics, "mekiki_score_ratio_count", camera="top") == 2
    assert value(metrics, "mekiki_score_ratio_sum", camera="top") == pytest.approx(0.4)


def test_a_part_for_review_is_counted_as_any_other_unknown_one_and_its_score_too(metrics):
    metrics.verdict(verdict(0).model_copy(update={"outcome": "unknown", "reason": "review", "score": 0.4}))
    assert value(metrics, "mekiki_verdicts_total", camera="top", outcome="unknown", reason="review") == 1
    assert value(metrics, "mekiki_verdicts_total", camera="top", outcome="ok", reason="none") == 0
    assert value(metrics, "mekiki_score_ratio_sum", camera="top") == pytest.approx(0.8)


def test_stages_are_seconds_and_a_frame_without_inference_counts_none(metrics):
    stages = Stages(read_s=0.004, queue_s=0.1, infer_s=0.02, decode_s=0.001, total_s=0.125)
    metrics.verdict(verdict(0).model_copy(update={"stages": stages}))
    metrics.verdict(verdict(1))  # its infer_s is 0: nothing was inferred
    assert value(metrics, "mekiki_stage_seconds_sum", camera="top", stage="infer") == pytest.approx(0.02)
    assert value(metrics, "mekiki_stage_seconds_sum", camera="top", stage="read") == pytest.approx(0.004)
    assert value(metrics, "mekiki_stage_seconds_count", camera="top", stage="infer") == 1
    assert value(metrics, "mekiki_stage_seconds_count", camera="top", stage="total") == 2
    assert value(metrics, "mekiki_stage_seconds_bucket", camera="top", stage="infer", le="0.02") == 1
    assert value(metrics, "mekiki_stage_seconds_count", camera="top", stage="find") is None


def test_finding_a_part_is_a_stage_of_its_own_where_the_model_looks_for_one(metrics):
    stages = Stages(read_s=0.004, queue_s=0.1, infer_s=0.02, decode_s=0.001, total_s=0.14, find_s=0.015)
    metrics.verdict(verdict(0).model_copy(update={"stages": stages}))
    assert value(metrics, "mekiki_stage_seconds_sum", camera="top", stage="find") == pytest.approx(0.015)
    assert value(metrics, "mekiki_stage_seconds_count", camera="top", stage="find") == 1


def test_the_model_and_the_epoch_are_named(metrics, bundle):
    opened = open_bundle(bundle)
    metrics.model("top", opened, "CPU", "f32")
    metrics.epoch("20261123T080155.123456Z")
    labels = {
        "camera": "top",
        "bundle": opened.digest,
        "family": "anomaly",
        "model": "patchcore",
        "device": "CPU",
        "precision": "f32",
    }
    assert value(metrics, "mekiki_model_info", **labels) == 1
    assert value(metrics, "mekiki_epoch_info", epoch="20261123T080155.123456Z") == 1


def test_a_switched_model_replaces_the_name_of_the_old_one(metrics, bundle, newer):
    for path in (bundle, newer):
        metrics.model("top", open_bundle(path), "CPU", "f32")
    named = [sample.labels["bundle"] for family in metrics.registry.collect() if family.name == "mekiki_model"
             for sample in family.samples]  # fmt: skip
    assert named == [open_bundle(newer).digest]


def test_the_journal_says_whether_verdicts_reach_the_disk_and_counts_what_did_not(metrics):
    metrics.journal(ok=True, pending=0)
    metrics.journal(ok=False, pending=7)
    assert value(metrics, "mekiki_journal_ok") == 0
    assert value(metrics, "mekiki_journal_pending") == 7
    assert value(metrics, "mekiki_journal_errors_total") == 1
    metrics.journal(ok=True, pending=0)
    assert value(metrics, "mekiki_journal_ok") == 1
    assert value(metrics, "mekiki_journal_errors_total") == 1


def test_two_daemons_in_one_process_do_not_share_numbers(metrics):
    other = Metrics(CollectorRegistry(), ["top"])
    metrics.fault("top")
    assert value(other, "mekiki_camera_faults_total", camera="top") == 0


def test_the_endpoint_serves_until_it_is_closed_and_frees_its_port(metrics):
    config = MetricsConfig(port=free_port())
    endpoint = Endpoint(config, metrics.registry)
    with urllib.request.urlopen(f"http://127.0.0.1:{config.port}/metrics") as answer:
        assert b"mekiki_heartbeats_total 0.0" in answer.read()
    assert endpoint.thread.name == "metrics"
    endpoint.close()
    assert not endpoint.thread.is_alive()
    with socket.create_server(("127.0.0.1", config.port)):
        pass


def test_a_busy_port_is_named_with_what_to_do(metrics):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(MekikiError, match=f"metrics port {port} on 127.0.0.1: already in use; stop what holds it"):
            Endpoint(MetricsConfig(port=port), metrics.registry)


def test_an_address_that_is_not_there_may_come_and_is_no_wrong_setting(metrics):
    with pytest.raises(MekikiError, match=r"no address of this box, or not yet") as refused:
        Endpoint(MetricsConfig(host="203.0.113.9", port=free_port()), metrics.registry)
    assert not isinstance(refused.value, ConfigError)


@pytest.mark.parametrize("host", ["no such host", "a..b"])
def test_a_host_that_is_none_is_a_wrong_setting(metrics, host):
    with pytest.raises(ConfigError, match=r"correct \[metrics\] host and port"):
        Endpoint(MetricsConfig(host=host, port=free_port()), metrics.registry)
