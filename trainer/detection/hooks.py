"""What happens beside the steps of mmdet's Runner: plain checkpoints, a bar, a curve, and the end in time.

Registered as `Mekiki...`. The classes are made in functions because their bases belong to mmengine, which is imported
when it is needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.progress import progress

CURVE = "training.csv"
TOLD_APART = 1.0  # fitness; before that a network has not begun to see, and its best was chance
_KEPT = ("meta", "state_dict", "optimizer", "param_schedulers", "ema_state_dict", "message_hub")
_KEPT_META = ("epoch", "iter", "seed")
_KEPT_INFO = ("best_score", "best_ckpt", "keep_ckpt_ids")  # else a worse validation would be the best after a pause


def register() -> None:
    """Makes them known to mmdet. Any number of times."""
    from mmdet.registry import HOOKS

    HOOKS.register_module(name="MekikiPlainCheckpoints", module=_plain_checkpoints(), force=True)
    HOOKS.register_module(name="MekikiProgress", module=_progress(), force=True)
    HOOKS.register_module(name="MekikiCurve", module=_curve(), force=True)
    HOOKS.register_module(name="MekikiPatience", module=_patience(), force=True)


def _plain_checkpoints() -> type:
    from mmengine.hooks import Hook

    class PlainCheckpoints(Hook):  # type: ignore[misc]
        """Checkpoints of tensors and plain values only: they are read back without unpickling anything."""

        def before_save_checkpoint(self, _: object, checkpoint: dict[str, Any]) -> None:
            for name in set(checkpoint) - set(_KEPT):
                del checkpoint[name]
            hub, meta = checkpoint["message_hub"], checkpoint["meta"]
            info, keys = (
                {k: v for k, v in hub[n].items() if k in _KEPT_INFO} for n in ("runtime_info", "resumed_keys")
            )
            checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": info, "resumed_keys": keys}
            checkpoint["meta"] = {name: meta[name] for name in _KEPT_META}

    return PlainCheckpoints


def _progress() -> type:
    from mmengine.hooks import Hook

    class Progress(Hook):  # type: ignore[misc]
        """One bar over the steps with the loss and the time left."""

        def before_train(self, runner: Any) -> None:
            self.bar = progress(None, "train", unit="step", total=runner.max_iters)
            self.bar.update(runner.iter)

        def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
            self.bar.update(1)
            if outputs and "loss" in outputs:
                self.bar.set_postfix(loss=f"{outputs['loss'].item():.3f}", refresh=False)

        def after_train(self, _: Any) -> None:
            self.bar.close()

    return Progress


def _curve() -> type:
    from mmengine.hooks import Hook

    class Curve(Hook):  # type: ignore[misc]
        """A line for each validation in CURVE: the step, the mean loss since the last one, and what was measured."""

        def __init__(self) -> None:
            self._losses: list[float] = []

        def before_train(self, runner: Any) -> None:
            self._file = Path(runner.work_dir) / CURVE
            if runner.iter == 0 or not self._file.is_file():
                self._file.write_text("step,loss,fitness,auc\n", encoding="utf-8")

        def after_train_iter(self, _: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
            if outputs and "loss" in outputs:
                self._losses.append(outputs["loss"].item())

        def after_val_epoch(self, runner: Any, metrics: Mapping[str, float] | None = None) -> None:
            loss = sum(self._losses) / len(self._losses) if self._losses else math.nan
            found = [(metrics or {}).get(f"val/{name}", math.nan) for name in ("fitness", "auc")]
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{runner.iter},{loss:.4f},{found[0]:.4f},{found[1]:.4f}\n")
            self._losses.clear()

    return Curve


def _patience() -> type:
    from mmengine.hooks import EarlyStoppingHook

    class Patience(EarlyStoppingHook):  # type: ignore[misc]
        """Counts validations without progress, but not before good and bad were told apart once.

        From random weights a detector may see nothing for hundreds of steps; to stop then is to ship that.
        """

        def after_val_epoch(self, runner: Any, metrics: Mapping[str, float]) -> None:
            if self.best_score > -math.inf or metrics[self.monitor] >= TOLD_APART:
                super().after_val_epoch(runner, metrics)

    return Patience
