"""A step of RTMDet's training in bf16 against f32: `python -m tests.bench.bf16_steps`.

Four pictures of 320 px with a defect each, as mmdet's Runner takes a step; in turns, so that what else the machine does
hits both alike.
"""

import statistics
import time
from typing import Any

import torch

from models.precision import cpu_has_bf16
from tests.bench.line import line
from trainer.detection.config import model_config
from trainer.detection.half import NAME
from trainer.detection.train import quiet, ready

MODEL, SIDE_PX, PICTURES, STEPS, LEAST = "rtmdet-tiny", 320, 4, 15, 1.3


def main() -> int:
    if not cpu_has_bf16():
        print("this CPU does not compute bf16, and training does not use it here: nothing measured")
        return 0
    ready()
    torch.manual_seed(0)
    kinds = {"f32": _kind("OptimWrapper"), "bf16": _kind(NAME)}
    times: dict[str, list[float]] = {name: [] for name in kinds}
    with quiet():
        for _ in range(STEPS):
            for name, (network, wrapper) in kinds.items():
                batch, started = _batch(), time.perf_counter()
                network.train_step(batch, wrapper)
                times[name].append(time.perf_counter() - started)
    f32, bf16 = (statistics.median(times[name]) for name in kinds)
    print(f"a step of {PICTURES} pictures of {SIDE_PX} px: f32 {f32 * 1e3:.0f} ms, bf16 {bf16 * 1e3:.0f} ms")
    return line("f32 / bf16", f32 / bf16, "at least", LEAST, "")


def _kind(wrapper: str) -> tuple[Any, Any]:
    from mmdet.registry import MODELS, OPTIM_WRAPPERS

    network = MODELS.build(model_config(MODEL, 1).model).train()
    return network, OPTIM_WRAPPERS.get(wrapper)(torch.optim.AdamW(network.parameters(), lr=1e-4))


def _batch() -> dict[str, list[Any]]:
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    size = (SIDE_PX, SIDE_PX)
    sample = DetDataSample(metainfo={"img_shape": size, "ori_shape": size, "scale_factor": (1.0, 1.0)})
    label = torch.zeros(1, dtype=torch.long)
    sample.gt_instances = InstanceData(bboxes=torch.tensor([[40.0, 40.0, 90.0, 80.0]]), labels=label)
    inputs = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for _ in range(PICTURES)]
    return {"inputs": inputs, "data_samples": [sample.clone() for _ in range(PICTURES)]}


if __name__ == "__main__":
    raise SystemExit(main())
