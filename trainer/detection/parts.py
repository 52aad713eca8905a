"""What mmdet's Runner gets from us: one augmentation, one figure. Registered as `Mekiki...`, like `hooks.py`.

The classes are made in functions because their bases belong to mmengine, which is imported when it is needed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.images import read_image
from models.prediction import Image
from trainer.detection.augment import Strength, augmented
from trainer.detection.paste import Patch, Sample, cut_out

_DECOYS = 1  # pieces of good parts for each defect that is cut out
_BUSY_TRIES = 6
_MANY = 100  # annotated defects: where there are more, they vary enough by themselves, and fewer are pasted
_LEAST = 1e-3  # a score of 0 says no more than that


def register() -> None:
    """Makes them known to mmdet. Any number of times."""
    from mmdet.registry import METRICS, TRANSFORMS

    TRANSFORMS.register_module(name="MekikiPartAugment", module=PartAugment, force=True)
    METRICS.register_module(name="MekikiSeparation", module=_separation(), force=True)


class PartAugment:
    """mmdet's side of `augment.py`. Random numbers come from numpy's global state, which mmengine seeds per worker."""

    def __init__(self, folder: str, rotation_deg: float) -> None:
        self._folder = Path(folder)
        self._boxes, self._good = _boxes_by_file(json.loads((self._folder / "train.json").read_text()))
        share = min(1.0, _MANY / max(1, sum(map(len, self._boxes.values()))))
        plain = Strength(rotation_deg=rotation_deg)
        self._strength = replace(plain, paste=share * plain.paste)

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Varies `img`, `gt_bboxes` and `gt_bboxes_labels` of one picture."""
        import torch

        rng = np.random.default_rng(np.random.randint(2**31))
        found = results["gt_bboxes"]
        sample = Sample(results["img"], found.tensor.numpy(), np.asarray(results["gt_bboxes_labels"], np.int64))
        new = augmented(sample, self.patches, rng, self._strength)
        results["img"], results["gt_bboxes_labels"] = new.image, new.labels
        results["gt_bboxes"] = type(found)(torch.from_numpy(new.boxes.astype(np.float32)))
        results["gt_ignore_flags"] = np.zeros(len(new.labels), bool)
        return results

    @cached_property
    def patches(self) -> list[Patch]:
        """Every annotated defect of the training pictures, and as many pieces of good parts."""
        found = self._boxes.items()
        defects = [cut_out(self._image(name), box, label) for name, boxes in found for box, label in boxes]
        rng, good = np.random.default_rng(0), self._good
        decoys = [
            _busy_piece(self._image(good[int(rng.integers(len(good)))]), patch, rng)
            for patch in defects * _DECOYS
            if good
        ]
        return defects + decoys

    def _image(self, name: str) -> Image:
        return read_image(self._folder / "images" / name)


def _boxes_by_file(coco: Mapping[str, Any]) -> tuple[dict[str, list[tuple[Any, int]]], list[str]]:
    """File name -> (box, class index) of each defect; a picture that is listed twice counts once. The good files."""
    names: dict[int, str] = {}
    first: dict[str, int] = {}
    for entry in coco["images"]:
        names[entry["id"]] = entry["file_name"]
        first.setdefault(entry["file_name"], entry["id"])
    found: dict[str, list[tuple[Any, int]]] = {}
    for item in coco["annotations"]:
        name = names[item["image_id"]]
        if first[name] == item["image_id"]:
            left, top, width, height = item["bbox"]
            box = np.array([left, top, left + width, top + height], np.float32)
            found.setdefault(name, []).append((box, item["category_id"] - 1))
    return found, sorted(first.keys() - found.keys())


def _busy_piece(image: Image, like: Patch, rng: np.random.Generator) -> Patch:
    """A piece of a good part as large as a defect's; of some places the one where most is to be seen."""
    rows, columns = (min(a, b) for a, b in zip(like.pixels.shape[:2], image.shape[:2], strict=True))
    corners = rng.integers((0, 0), (image.shape[0] - rows + 1, image.shape[1] - columns + 1), (_BUSY_TRIES, 2))
    pieces = [image[top : top + rows, left : left + columns] for top, left in corners]
    return Patch(max(pieces, key=lambda piece: float(piece.std())).copy(), like.box, -1)


def fitness(good: Sequence[float], bad: Sequence[float]) -> dict[str, float]:
    """How well image scores tell good from bad: the distance of their means in standard deviations, on logits.

    Signal detection's d' with 1 added to the variance, so that scores which hardly differ, as an untrained network
    gives them, are no success. The area under the ROC curve comes in steps of a few per cent where few pictures are
    held out, and is 1 by chance; this moves with every score.
    """
    from sklearn.metrics import roc_auc_score

    if not good or not bad:
        return {"fitness": -math.inf}
    auc = float(roc_auc_score([0] * len(good) + [1] * len(bad), [*good, *bad]))
    low, high = (_logits(scores) for scores in (good, bad))
    distance = (high.mean() - low.mean()) / math.sqrt((high.var() + low.var()) / 2 + 1)
    return {"auc": auc, "fitness": float(distance)}


def _logits(scores: Sequence[float]) -> NDArray[np.float64]:
    clipped = np.clip(scores, _LEAST, 1 - _LEAST)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _separation() -> type:
    from mmengine.evaluator import BaseMetric

    class Separation(BaseMetric):  # type: ignore[misc]
        default_prefix = "val"

        def process(self, _: object, data_samples: Sequence[Mapping[str, Any]]) -> None:
            for sample in data_samples:
                scores = sample["pred_instances"]["scores"]
                score = float(scores.max()) if len(scores) else 0.0
                self.results.append((len(sample["gt_instances"]["bboxes"]) > 0, score))

        def compute_metrics(self, results: list[tuple[bool, float]]) -> dict[str, float]:
            good, bad = ([score for is_bad, score in results if is_bad is flag] for flag in (False, True))
            return fitness(good, bad)

    return Separation
