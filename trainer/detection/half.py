"""Training in bf16 where the processor computes it: a CPU with AVX512-BF16 or AMX (`tests.bench.bf16_steps`).

Weights, their average, the optimiser and validation stay f32; the threshold and the parity gate see nothing of it.
Registered as `Mekiki...`, like `hooks.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NAME = "MekikiBf16"


def register() -> None:
    """Makes it known to mmdet. Any number of times."""
    from mmdet.registry import OPTIM_WRAPPERS

    OPTIM_WRAPPERS.register_module(name=NAME, module=_wrapper(), force=True)


def _wrapper() -> type:
    """mmengine's own AmpOptimWrapper refuses to run without a GPU. bf16 has f32's range: no loss is to be scaled."""
    import torch
    from mmengine.optim import OptimWrapper

    class Bf16(OptimWrapper):  # type: ignore[misc]
        @contextmanager
        def optim_context(self, model: Any) -> Iterator[None]:
            with super().optim_context(model), torch.autocast("cpu", torch.bfloat16):
                yield

    return Bf16
