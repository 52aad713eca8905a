"""Trains RTMDet by mmdet's Runner, and goes on where an interrupted training stopped."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import multiprocessing
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import cv2

from models.errors import ConfigError, MekikiError
from models.files import sha256_of
from trainer.detection import half, hooks, ops, parts
from trainer.detection.config import Plan, train_config
from trainer.detection.prepare import Prepared

BEST = "weights.pth"
_PLAN = "plan.json"
_LAST = "last_checkpoint"


def ready() -> None:
    """Makes mmdet usable here: the stand-in for its compiled part, its registries, no chatter of its own."""
    ops.install()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mmdet.utils import register_all_modules

        register_all_modules()
        parts.register()
        hooks.register()
        half.register()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Neither pycocotools' prints, nor mmdeploy's log, nor what torch's tracer says of code that is not ours."""
    from mmengine.logging import MMLogger

    for name in ("mmengine", "mmdeploy"):
        MMLogger.get_instance(name).setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _settings_kept() -> Iterator[None]:
    """mmengine takes OpenCV's threads away and sets how processes start, for good."""
    threads, method = cv2.getNumThreads(), multiprocessing.get_start_method(allow_none=True)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        multiprocessing.set_start_method(method, force=True)


def train(model: str, data: Prepared, plan: Plan, work: Path, start: Path | None) -> Path:
    """Trains in `work` until the steps are done or nothing gets better; the file of the best weights.

    They are the average over the last steps (EMA) at the validation that told good from bad best. `start` are
    weights to begin with, as `weights.py` gives them. Called again after an interruption it
    goes on from the last validation.
    Raises ConfigError when `work` holds a training of something else, MekikiError when it is interrupted or gives
    weights that are no numbers.
    """
    from mmengine.runner import Runner

    ready()
    last = _claim(work, model, plan, data, start)
    if (work / BEST).is_file():
        return work / BEST
    config = train_config(model, data, plan, work)
    config.resume, config.load_from = last is not None, str(last or start) if last or start else None
    try:
        with quiet(), _settings_kept():
            Runner.from_cfg(config).train()
    except KeyboardInterrupt as error:
        raise MekikiError(f"interrupted; the same command goes on, unless you remove {work.parent}") from error
    return _keep_best(work)


def stopped_at(work: Path) -> bool:
    """Whether a training was interrupted in this folder."""
    return (work / _PLAN).is_file()


def _claim(work: Path, model: str, plan: Plan, data: Prepared, start: Path | None) -> Path | None:
    """The checkpoint to go on from, if there is one."""
    work.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(data.train_json.read_bytes() + data.val_json.read_bytes()).hexdigest()
    begun = sha256_of(start) if start else None
    wanted = {"model": model, "data": digest, "side_px": data.side_px, "start": begun, **asdict(plan)}
    file = work / _PLAN
    if file.is_file() and json.loads(file.read_text(encoding="utf-8")) != wanted:
        raise ConfigError(
            f"{work.parent}: a training of other data or with other options stopped here; "
            "give its options again, or remove the folder"
        )
    file.write_text(json.dumps(wanted), encoding="utf-8")
    pointer = work / _LAST
    last = Path(pointer.read_text(encoding="utf-8").strip()) if pointer.is_file() else None
    return work / last.name if last is not None and (work / last.name).is_file() else None


def _keep_best(work: Path) -> Path:
    """Only the weights of the best validation, else of the last one, as plain tensors."""
    import torch

    found = sorted(work.glob("best_*.pth"), key=_changed) or sorted(work.glob("iter_*.pth"), key=_changed)
    if not found:
        raise MekikiError(f"{work}: no validation was reached; remove {work.parent} and try again")
    state = torch.load(found[-1], map_location="cpu", weights_only=True)["state_dict"]
    if not all(torch.isfinite(value).all() for value in state.values() if value.is_floating_point()):
        raise MekikiError("training diverged: weights that are no numbers; try again with another --seed")
    half = work / f"{BEST}.part"
    torch.save(state, half)
    half.rename(work / BEST)
    return work / BEST


def _changed(path: Path) -> float:
    return path.stat().st_mtime
