"""What a bundle is worth on labelled images: run as the edge runs it, counted once, here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle import Bundle
from models.errors import DatasetError, ModelError
from models.files import sha256_of
from models.images import read_image
from models.manifest import Threshold
from models.prediction import Prediction
from models.runner import Runner
from models.scoring import judge
from trainer.dataset import Dataset, choose_defects
from trainer.progress import progress
from trainer.threshold import lower_bound, upper_bound

NO_PART = 1e6  # the score of a picture in which no part was found


@dataclass(frozen=True, slots=True)
class Scored:
    """One image and what the shipped IR says of it."""

    path: Path
    sha256: str
    label: str  # "good" or the defect's name
    prediction: Prediction

    @property
    def score(self) -> float:
        """Higher is worse. A picture without a part is `unknown` on the line, and worse than any part here."""
        return self.prediction.score if self.prediction.lost is None else NO_PART


def found_in(scored: Sequence[Scored]) -> list[Scored]:
    """Those with a part: no threshold changes what becomes of the others."""
    return [item for item in scored if item.prediction.lost is None]


def score_images(runner: Runner, labelled: Sequence[tuple[str, Path]], what: str) -> list[Scored]:
    """Runs images through the runner. Raises ModelError where a score is not finite."""
    scored = []
    for label, path in progress(labelled, what):
        prediction = runner.predict(read_image(path))
        if prediction.lost is None and not np.isfinite(prediction.score):
            raise ModelError(f"{path}: score {prediction.score}; the model is broken: make the bundle again")
        scored.append(Scored(path, sha256_of(path), label, prediction))
    return scored


def evaluate(bundle: Bundle, dataset: Dataset, defects: Sequence[str] = (), device: str = "CPU") -> dict[str, Any]:
    """Scores the test images of `dataset` and returns the figures as one JSON-ready object. Raises as `unlearned`."""
    labelled, n_left_out = unlearned(bundle, dataset, defects)
    scored = score_images(Runner.of(bundle, device), labelled, "evaluate")
    return {**report(bundle, scored, device), "n_left_out": n_left_out}


def unlearned(bundle: Bundle, dataset: Dataset, defects: Sequence[str] = ()) -> tuple[list[tuple[str, Path]], int]:
    """The test images of `dataset` with their labels, and how many were left out as the bundle learned from them.

    Raises DatasetError when no good or no defect image is left to measure on, ConfigError for a defect
    that is not there.
    """
    learned = set(bundle.manifest.training.images)
    given = {"good": dataset.test_good or dataset.train_good, **choose_defects(dataset, defects)}
    labelled = [(name, path) for name, paths in given.items() for path in paths if sha256_of(path) not in learned]
    n_left_out = sum(map(len, given.values())) - len(labelled)
    n_good = sum(name == "good" for name, _ in labelled)
    if n_good in (0, len(labelled)):
        raise DatasetError(
            f"{dataset.root}: without the {n_left_out} images that the bundle learned from there are {n_good} good "
            f"images and {len({name for name, _ in labelled} - {'good'})} kinds of defect; both are needed to measure: "
            "add images to test/good/ and test/<defect>/"
        )
    return labelled, n_left_out


def report(bundle: Bundle, scored: Sequence[Scored], device: str) -> dict[str, Any]:
    """All figures of one evaluation, but for how many images were left out of it."""
    threshold = bundle.manifest.threshold
    good = [item.score for item in scored if item.label == "good"]
    defect = [item.score for item in scored if item.label != "good"]
    seen = set(threshold.seen)
    times = [item.prediction.find_s + item.prediction.infer_s + item.prediction.decode_s for item in scored]
    return {
        **figures(good, defect, threshold.ng_at_or_above),
        "threshold_policy": threshold.policy,
        **outcomes(good, defect, threshold),
        "n_not_found": sum(item.prediction.lost is not None for item in scored),
        "n_seen_by_threshold": sum(item.sha256 in seen for item in scored),
        "by_defect": {
            name: figures(good, [s.score for s in scored if s.label == name], threshold.ng_at_or_above)
            for name in sorted({item.label for item in scored} - {"good"})
        },
        **named(scored),
        "latency_s": {f"p{q}": round(float(np.percentile(times, q)), 6) for q in (50, 95, 99)},
        "device": device,
        "precision_hint": bundle.manifest.precision,
        "bundle": bundle.digest,
    }


def named(scored: Sequence[Scored]) -> dict[str, Any]:
    """How many of the defects a classifier calls by their name; nothing for models without labels."""
    told = [(item.prediction.label, item.label) for item in scored if item.label != "good"]
    return {} if all(got is None for got, _ in told) else {"n_named_right": sum(got == want for got, want in told)}


def outcomes(good: Sequence[float], defect: Sequence[float], threshold: Threshold) -> dict[str, Any]:
    """Who would be left to a person, and how many defects would pass."""
    judged = {
        name: [judge(score, threshold.ng_at_or_above, threshold.review_at_or_above) for score in scores]
        for name, scores in (("good", good), ("defect", defect))
    }
    return {
        "review_at_or_above": threshold.review_at_or_above,
        **{f"n_{name}_review": sum(reason == "review" for _, reason in found) for name, found in judged.items()},
        "n_defect_ok": sum(outcome == "ok" for outcome, _ in judged["defect"]),
    }


def figures(good: Sequence[float], defect: Sequence[float], threshold: float) -> dict[str, Any]:
    """The numbers of DESIGN.md for two lists of scores and a threshold."""
    from sklearn.metrics import roc_auc_score

    labels = [0] * len(good) + [1] * len(defect)
    caught = sum(judge(score, threshold)[0] == "ng" for score in defect)
    rejected = sum(judge(score, threshold)[0] == "ng" for score in good)
    lowest = min(defect)
    passed_good = sum(score >= lowest for score in good)
    return {
        "roc_auc": float(roc_auc_score(labels, [*good, *defect])),
        "precision_at_recall_1": len(defect) / (len(defect) + passed_good),
        "threshold_at_recall_1": lowest,
        "threshold": threshold,
        "f1": 2 * caught / (caught + rejected + len(defect)),
        "precision": caught / (caught + rejected) if caught + rejected else None,
        "recall": caught / len(defect),
        "recall_lower_95": lower_bound(caught, len(defect)),
        "false_rejects": rejected,
        "false_reject_upper_95": upper_bound(rejected, len(good)),
        "n_good": len(good),
        "n_defect": len(defect),
    }


def in_words(found: Mapping[str, Any]) -> str:
    """The same for a person."""
    where = f"{found['device']} at {found['precision_hint']}"
    p50, p99 = (found["latency_s"][name] * 1e3 for name in ("p50", "p99"))
    lines = [
        f"ROC AUC               {found['roc_auc']:.3f}   ({found['n_good']} good, {found['n_defect']} defects)",
        f"precision at recall 1 {found['precision_at_recall_1']:.3f}   (at {found['threshold_at_recall_1']:.4g})",
        f"shipped threshold     {found['threshold']:.4g}   ({found['threshold_policy']})",
        f"  F1 {found['f1']:.3f}, recall {found['recall']:.3f} (at least {found['recall_lower_95']:.3f} with 95 % "
        f"confidence), {found['false_rejects']} false rejects",
        *review_words(found),
        *named_words(found),
        f"latency               p50 {p50:.1f} ms, p99 {p99:.1f} ms on {where}",
    ]
    lines += [
        f"  {name:<20}AUC {one['roc_auc']:.3f}, recall {one['recall']:.3f}" for name, one in found["by_defect"].items()
    ]
    return "\n".join([*lines, *notes(found)])


def review_words(found: Mapping[str, Any]) -> list[str]:
    """What `outcomes` found, in one line; none where nothing is left to a person."""
    if found["review_at_or_above"] is None:
        return []
    return [
        f"  review from {found['review_at_or_above']:.4g}: {found['n_good_review']} good and "
        f"{found['n_defect_review']} defects go to a person, {found['n_defect_ok']} defects pass"
    ]


def named_words(found: Mapping[str, Any]) -> list[str]:
    """What `named` found, in one line; none for models without labels."""
    if "n_named_right" not in found:
        return []
    return [f"kinds named right     {found['n_named_right']} of {found['n_defect']}"]


def notes(found: Mapping[str, Any]) -> list[str]:
    """What a person must know of the images to read the figures right."""
    lines = []
    if found["n_not_found"]:
        lines.append(f"note: in {found['n_not_found']} image(s) no part was found; they count as rejected")
    if found["n_left_out"]:
        lines.append(f"note: {found['n_left_out']} image(s) left out, as the bundle learned from them")
    if found["n_seen_by_threshold"]:
        n = found["n_seen_by_threshold"]
        lines.append(f"note: the threshold was chosen on {n} of these images; recall and F1 flatter, AUC does not")
    return lines
