"""mmdet's own RTMDet configuration, with our pictures, our augmentation and as many steps as a small set wants."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from models.manifest import Preprocess
from trainer.backbone import MEAN_RGB, STD_RGB
from trainer.detection import half
from trainer.detection.prepare import Prepared

if TYPE_CHECKING:
    from mmengine.config import Config

MODELS: Final = ("rtmdet-tiny", "rtmdet-s", "rtmdet-m")
STRIDE_PX: Final = 32  # of RTMDet's coarsest features: sides are multiples of it
SCORE_FLOOR: Final = 0.001
MAX_BOXES: Final = 100
_PAD = 114
_WARM_UP_STEPS = 50
_EMA = {"momentum": 0.002, "gamma": 200}  # mmdet's gamma of 2000 averages nothing in so few steps
_MOSAIC = 0.15  # share of pictures
_PROGRESS = 0.01  # of the fitness, at least; mmengine's 0.1 overlooks the slow gain at the end


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how strongly it is trained."""

    steps: int
    batch: int
    learning_rate: float
    seed: int
    rotation_deg: float  # largest turn of a part
    patience: int  # validations without progress before it stops
    validate_every: int  # steps
    workers: int = 0
    bf16: bool = False  # see half.py


def model_config(model: str, classes: int) -> Config:
    """The network of one of MODELS for so many classes, with nothing to download and no process group needed."""
    import mmdet
    from mmengine.config import Config

    name = model.replace("-", "_") + "_8xb32-300e_coco.py"
    config = Config.fromfile(Path(mmdet.__file__).parent / ".mim/configs/rtmdet" / name)
    network = config.model
    network.backbone.init_cfg = None
    network.bbox_head.num_classes = classes
    for part in (network.backbone, network.neck, network.bbox_head):
        part.norm_cfg = {"type": "BN"}  # SyncBN wants several processes
    network.test_cfg.update(score_thr=SCORE_FLOOR, max_per_img=MAX_BOXES)
    return config


def letterbox_spec(side_px: int) -> Preprocess:
    """How RTMDet sees a frame: whole, in a square of `side_px`, blue first."""
    return Preprocess(
        height_px=side_px, width_px=side_px, mean_rgb=MEAN_RGB, std_rgb=STD_RGB, fit="letterbox", channels="bgr"
    )


def train_config(model: str, data: Prepared, plan: Plan, work: Path) -> Config:
    """All that mmdet's Runner needs."""
    config = model_config(model, len(data.classes))
    for name in ("tta_model", "tta_pipeline", "train_pipeline_stage2", "test_dataloader", "test_evaluator", "test_cfg"):
        config.pop(name, None)
    config.default_scope = "mmdet"
    config.train_pipeline, config.test_pipeline = _train_pipeline(data, plan), test_pipeline(data.side_px)
    config.train_dataloader = {
        "batch_size": plan.batch,
        "num_workers": plan.workers,
        "persistent_workers": plan.workers > 0,
        "sampler": {"type": "InfiniteSampler", "shuffle": True},
        "dataset": _dataset(data, data.train_json, config.train_pipeline, test_mode=False),
    }
    config.val_dataloader = {
        "batch_size": 1,
        "num_workers": 0,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "dataset": _dataset(data, data.val_json, config.test_pipeline, test_mode=True),
    }
    config.val_evaluator = {"type": "MekikiSeparation"}
    config.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": plan.steps, "val_interval": plan.validate_every}
    config.optim_wrapper.optimizer.lr = plan.learning_rate
    config.optim_wrapper.clip_grad = {"max_norm": 10}
    config.optim_wrapper.type = half.NAME if plan.bf16 else "OptimWrapper"
    config.param_scheduler = _schedule(plan)
    config.default_hooks.pop("visualization")
    config.default_hooks.update(_hooks(plan))
    config.custom_hooks = [
        {"type": "EMAHook", "ema_type": "ExpMomentumEMA", "update_buffers": True, "priority": 49, **_EMA},
        _early_stop(plan),
        {"type": "MekikiPlainCheckpoints", "priority": "VERY_LOW"},
        {"type": "MekikiProgress"},
        {"type": "MekikiCurve"},
    ]
    config.visualizer = {"type": "DetLocalVisualizer", "vis_backends": [], "name": "visualizer"}
    config.randomness = {"seed": plan.seed}
    config.update(launcher="none", load_from=None, resume=False, work_dir=str(work), log_level="ERROR")
    return config


def test_pipeline(side_px: int) -> list[dict[str, Any]]:
    """Pictures come as large as the network sees them; only the padding is left."""
    keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
    return [
        {"type": "LoadImageFromFile"},
        {"type": "Resize", "scale": (side_px, side_px), "keep_ratio": True},
        {"type": "Pad", "size": (side_px, side_px), "pad_val": {"img": (_PAD, _PAD, _PAD)}},
        {"type": "LoadAnnotations", "with_bbox": True},
        {"type": "PackDetInputs", "meta_keys": keys},
    ]


def _train_pipeline(data: Prepared, plan: Plan) -> list[dict[str, Any]]:
    side = (data.side_px, data.side_px)
    return [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations", "with_bbox": True},
        {"type": "MekikiPartAugment", "folder": str(data.folder), "rotation_deg": plan.rotation_deg},
        {"type": "Pad", "size": side, "pad_val": {"img": (_PAD, _PAD, _PAD)}},
        # A line shows parts at one size: four whole pictures side by side, and a piece of that as large as one.
        {"type": "CachedMosaic", "img_scale": side, "pad_val": _PAD, "max_cached_images": 10, "prob": _MOSAIC},
        {"type": "RandomCrop", "crop_size": side, "allow_negative_crop": True},
        {"type": "PackDetInputs"},
    ]


def _dataset(data: Prepared, file: Path, pipeline: list[dict[str, Any]], *, test_mode: bool) -> dict[str, Any]:
    return {
        "type": "CocoDataset",
        "data_root": str(data.folder),
        "ann_file": file.name,
        "data_prefix": {"img": "images/"},
        "metainfo": {"classes": data.classes},
        "filter_cfg": {"filter_empty_gt": False},  # pictures of good parts are what keeps false rejects down
        "test_mode": test_mode,
        "pipeline": pipeline,
    }


def _schedule(plan: Plan) -> list[dict[str, Any]]:
    """A short warm-up, then a cosine down to a twentieth; mmdet begins with that at half of its 300 epochs."""
    warm = max(1, min(_WARM_UP_STEPS, plan.steps // 2))
    return [
        {"type": "LinearLR", "start_factor": 1e-2, "by_epoch": False, "begin": 0, "end": warm},
        {
            "type": "CosineAnnealingLR",
            "eta_min": plan.learning_rate * 0.05,
            "begin": warm,
            "end": max(plan.steps, warm + 1),
            "T_max": max(1, plan.steps - warm),
            "by_epoch": False,
        },
    ]


def _early_stop(plan: Plan) -> dict[str, Any]:
    return {
        "type": "MekikiPatience",
        "monitor": "val/fitness",
        "rule": "greater",
        "patience": plan.patience,
        "min_delta": _PROGRESS,
    }


def _hooks(plan: Plan) -> dict[str, Any]:
    return {
        "checkpoint": {
            "type": "CheckpointHook",
            "interval": plan.validate_every,
            "by_epoch": False,
            "max_keep_ckpts": 1,
            "save_best": "val/fitness",
            "rule": "greater",
        },
        "logger": {"type": "LoggerHook", "interval": 10**9},
    }
