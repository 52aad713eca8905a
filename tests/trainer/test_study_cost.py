"""What a bundle costs here: measured on the shipped IR, in a process of its own where memory is meant."""

import pytest

from models.errors import ModelError
from tests import tiny
from trainer.study import cost
from trainer.study.cost import machine_words, measure_cost


@pytest.fixture
def pictures(tmp_path):
    return [tiny.write_image(tmp_path / f"{i}.png", tiny.frame(grey)) for i, grey in enumerate((tiny.OK, tiny.NG))]


def test_a_slow_model_costs_the_time_that_it_takes(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(cost, "_ENOUGH_S", 0.2)
    monkeypatch.setattr(cost, "_BUSY_S", 0.1)
    found = measure_cost(tiny.make_bundle(tmp_path / "slow.bundle", slow_s=0.005), pictures)
    assert 0.001 < found.latency_s["p50"] <= found.latency_s["p95"] <= found.latency_s["p99"]
    assert 0 < found.throughput_per_s < 3000
    assert 0 < found.memory_bytes < 500e6


def test_a_bundle_that_is_broken_when_its_memory_is_measured_says_so(bundle, monkeypatch, pictures):
    monkeypatch.setattr(cost, "_LEAST", 1)
    monkeypatch.setattr(cost, "_MOST", 1)
    monkeypatch.setattr(cost, "_BUSY_S", 0.01)
    monkeypatch.setattr(cost.sys, "executable", "false")
    with pytest.raises(ModelError, match="its memory could not be measured"):
        measure_cost(bundle, pictures)


def test_the_machine_is_named_with_its_cores_and_memory():
    assert machine_words().split(", ")[-2].endswith(" cores")
    assert machine_words().endswith(" GiB")
