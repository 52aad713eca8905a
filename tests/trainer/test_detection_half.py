"""bf16 is for processors that compute it, and for the steps only."""

import pytest

from trainer.detection.config import train_config
from trainer.detection.plan import Plan, plan_training
from trainer.detection.prepare import Prepared
from trainer.options import DetectionOptions
from trainer.pose import Pose


@pytest.mark.parametrize(("machine", "want"), [((True, False), True), ((True, True), False), ((False, False), False)])
def test_it_is_planned_on_such_a_cpu_and_not_on_a_gpu(tmp_path, monkeypatch, torch, machine, want):
    able, has_gpu = machine
    monkeypatch.setattr("trainer.detection.plan.cpu_has_bf16", lambda: able)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    options = DetectionOptions(data=tmp_path, out=tmp_path / "out")
    assert plan_training(options, Pose(rotation_deg=0, brightness=0)).bf16 == want


@pytest.mark.parametrize("bf16", [True, False])
def test_a_step_multiplies_in_bf16_and_keeps_its_weights_in_f32(mmdet, torch, tmp_path, bf16):
    from mmdet.registry import OPTIM_WRAPPERS

    plan = Plan(
        steps=4, batch=2, learning_rate=0.1, seed=0, rotation_deg=8, patience=3, validate_every=2, workers=0, bf16=bf16
    )
    config = train_config("rtmdet-tiny", Prepared(tmp_path, ("dent",), 96), plan, tmp_path)
    layer = torch.nn.Linear(8, 8)
    wrapper = OPTIM_WRAPPERS.get(config.optim_wrapper.type)(torch.optim.SGD(layer.parameters(), lr=0.1))
    with wrapper.optim_context(layer):
        given = layer(torch.ones(1, 8))
    assert given.dtype == (torch.bfloat16 if bf16 else torch.float32)
    assert layer(torch.ones(1, 8)).dtype == torch.float32, "validation is outside of it"
    before = layer.weight.detach().clone()
    wrapper.update_params(given.float().sum())
    assert layer.weight.dtype == torch.float32
    assert not torch.equal(layer.weight, before)
