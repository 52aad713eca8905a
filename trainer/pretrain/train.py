"""The training: pictures of a task in, the average of the trunk's weights out."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from models.errors import ConfigError
from models.files import sha256_of
from trainer.backbone import load_weights
from trainer.pretrain.comparing import Comparing
from trainer.pretrain.half import write_half
from trainer.pretrain.kinds import Kinds, render_pool
from trainer.pretrain.lines import render_lines
from trainer.progress import progress

if TYPE_CHECKING:
    import torch

_WARM_UP_STEPS = 50
_WEIGHT_DECAY = 1e-3
_AVERAGE = 0.99  # of the weights, per step
_SAVE_EVERY = 100  # steps


@dataclass(frozen=True, slots=True)
class Settings:
    """From two cores to a GPU."""

    task: Literal["kinds", "comparing"] = "comparing"
    pictures: int = 800  # pictures to crop from, or lines of parts to compare
    steps: int = 600
    batch: int = 6  # crops, or episodes
    seed: int = 0
    start: str = ""  # file of weights to begin with
    workers: int = 0  # processes that draw; 0 draws between the steps
    device: str = "cpu"


Task = Kinds | Comparing


def pretrain(settings: Settings, out: Path) -> None:
    """Trains from random weights, or from `start`, and writes the trunk's FP16 state dict to `out`.

    What it needs meanwhile is in the folder `out` + ".work": an interrupted run goes on from there. The same settings
    give the same weights on the same machine. Raises ConfigError when there is no such device or file.
    """
    import torch

    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch sees no such device here; take --device cpu")
    if settings.start and not Path(settings.start).is_file():
        raise ConfigError(f"{settings.start}: no such file; give --start weights that `pretrain` wrote")
    work = out.with_name(out.name + ".work")
    torch.manual_seed(settings.seed)
    _claim(work, settings)
    task = _task(settings, work)
    learner = _Learner(task, settings, work / "resume.pth")
    bar = progress(_batches(task, settings, learner.step), "pretrain", unit="step", total=settings.steps)
    bar.update(learner.step)
    for batch in bar:
        loss, found = learner.learn(*batch)
        bar.set_postfix(loss=f"{loss:.2f}", found=f"{found:.0%}")
    write_half(learner.average.module["trunk"].state_dict(), out)
    shutil.rmtree(work)


def _task(settings: Settings, work: Path) -> Task:
    if settings.task == "kinds":
        return Kinds(render_pool(work, settings.pictures, settings.seed), settings.batch)
    return Comparing(render_lines(work, settings.pictures, settings.seed, settings.workers), settings.batch)


def _claim(work: Path, settings: Settings) -> None:
    """Makes the folder of this run, or finds it again."""
    start = sha256_of(Path(settings.start)) if settings.start else None
    wanted, file = json.dumps(asdict(settings) | {"start": start}), work / "settings.json"
    if file.is_file() and file.read_text() != wanted:
        raise ConfigError(
            f"{work}: a run with other options stopped here; give its options again, or remove the folder"
        )
    work.mkdir(parents=True, exist_ok=True)
    file.write_text(wanted)


class _Learner:
    """The network, its average, and where it stands."""

    def __init__(self, task: Task, settings: Settings, resume: Path) -> None:
        import torch
        from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

        self.task, self.settings, self._resume, self.step, self._found = task, settings, resume, 0, 0.0
        self.network: Any = task.network()
        if settings.start:
            load_weights(self.network["trunk"], Path(settings.start))
        self.network = self.network.to(settings.device)
        average = get_ema_multi_avg_fn(_AVERAGE)  # type: ignore[no-untyped-call]
        self.average: Any = AveragedModel(self.network, multi_avg_fn=average, use_buffers=True)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), weight_decay=_WEIGHT_DECAY)
        if resume.is_file():
            self._load()
        self.network.train()

    def learn(self, *batch: torch.Tensor) -> tuple[float, float]:
        """One step. The loss, and the running share of defects that were found."""
        import torch

        for group in self.optimiser.param_groups:
            group["lr"] = self.task.rate * rate(self.step, self.settings.steps)
        loss, found = self.task.loss(self.network, *(part.to(self.settings.device) for part in batch))
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.average.update_parameters(self.network)
        self.step += 1
        self._found += (found - self._found) / min(self.step, 50)
        if self.step % _SAVE_EVERY == 0:
            self._save()
        return loss.item(), self._found

    def _save(self) -> None:
        import torch

        state = {"step": self.step, "found": self._found, "optimiser": self.optimiser.state_dict()}
        state |= {"network": self.network.state_dict(), "average": self.average.state_dict()}
        part = self._resume.with_suffix(".part")
        torch.save(state, part)
        part.rename(self._resume)

    def _load(self) -> None:
        import torch

        state = torch.load(self._resume, weights_only=True)
        self.step, self._found = int(state["step"]), float(state["found"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])


def rate(step: int, steps: int) -> float:
    """Share of the learning rate: a short warm-up, then a cosine down to nothing."""
    return min(1.0, (step + 1) / _WARM_UP_STEPS) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


def _batches(task: Task, settings: Settings, first: int) -> Iterator[tuple[torch.Tensor, ...]]:
    """From step `first` on. What a step shows depends on the seed and its number alone, not on who draws it."""
    import torch

    class Steps(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return settings.steps - first

        def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
            return task.draw(np.random.default_rng((settings.seed, first + index)))

    yield from torch.utils.data.DataLoader(Steps(), batch_size=None, num_workers=settings.workers)
