"""What is known of a part, put into a verdict. Pure; runs wherever the engine does."""

import math
import time
from dataclasses import dataclass

import numpy as np

from edge.cameras.frame import Fault, Grab
from edge.model import Model
from edge.parts import Judged, Part
from models.errors import ModelError
from models.health import unfit
from models.manifest import Threshold
from models.prediction import Image, Prediction
from models.regions import regions_of
from models.scoring import judge
from models.verdict import Outcome, Reason, Region, Stages, Verdict

_NOT_FINITE = "the score is not a number; look at the picture, and check the model on this device again"


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a part is `unknown`."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class _Finding:
    outcome: Outcome
    reason: Reason | None
    detail: str | None = None
    prediction: Prediction | None = None
    score: float | None = None
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True, slots=True)
class Inspector:
    """Makes the verdicts of one start of the daemon."""

    epoch: str

    def doubt_of(self, part: Part, model: Model) -> Doubt | None:
        """What speaks against asking the model about this picture, as far as it is known by now."""
        grab = part.grab or Grab.missing(part.asked_ns)
        fault = grab.fault or _oddity(grab.image)
        if fault is not None:
            return Doubt(fault.reason, fault.detail)
        return None if self.waits_for_checkup(part, model) else _unfit(part, model)

    def waits_for_checkup(self, part: Part, model: Model) -> bool:
        """Whether a verdict must wait until the picture has been measured."""
        checkup = part.grab.checkup if part.grab is not None else None
        return model.bundle.manifest.health is not None and checkup is not None and not checkup.is_done

    def unknown(self, part: Part, model: Model, doubt: Doubt) -> Judged:
        """The verdict of a part that was not judged."""
        return self._judged(part, model, _Finding("unknown", doubt.reason, _one_line(doubt.detail)))

    def judged(self, part: Part, model: Model, result: Prediction | ModelError) -> Judged:
        """The verdict of a part that a lane returned."""
        if isinstance(result, ModelError):
            return self.unknown(part, model, Doubt("model_error", str(result)))
        if (doubt := _unfit(part, model)) is not None:
            return self.unknown(part, model, doubt)
        if result.lost is not None:
            return self._judged(part, model, _Finding("unknown", "not_found", result.lost, result))
        threshold = model.bundle.manifest.threshold
        outcome, reason = judge(result.score, threshold.ng_at_or_above, threshold.review_at_or_above)
        if not math.isfinite(result.score):  # JSON has no NaN
            return self._judged(part, model, _Finding(outcome, reason, _NOT_FINITE, result))
        regions = regions_of(result, threshold.ng_at_or_above) if outcome == "ng" else ()
        detail = _review_words(result.score, threshold) if reason == "review" else None
        return self._judged(part, model, _Finding(outcome, reason, detail, result, result.score, regions))

    def _judged(self, part: Part, model: Model, found: _Finding) -> Judged:
        grab, runner = part.grab or Grab.missing(part.asked_ns), model.runners[0]
        threshold = model.bundle.manifest.threshold
        verdict = Verdict(
            epoch=self.epoch,
            camera=part.camera,
            seq=part.seq,
            part_id=part.part_id,
            source=grab.source,
            outcome=found.outcome,
            reason=found.reason,
            detail=found.detail,
            score=found.score,
            threshold=threshold.ng_at_or_above,
            review_at_or_above=threshold.review_at_or_above,
            regions=found.regions,
            bundle=model.bundle.digest,
            device=runner.device,
            precision=runner.precision,
            captured_at_ns=grab.captured_at_ns,
            captured_ns=grab.captured_ns,
            stages=_stages(part, grab, found.prediction),
            deadline_s=part.deadline_s,
        )
        return Judged(verdict, grab, found.prediction)


def _review_words(score: float, threshold: Threshold) -> str:
    ng, review = threshold.ng_at_or_above, threshold.review_at_or_above
    return f"score {score:.4g} lies between {review:.4g}, from where a person looks, and {ng:.4g}, from where it is ng"


def _unfit(part: Part, model: Model) -> Doubt | None:
    """Whether the picture is none that the model was trained for."""
    checkup, limits = part.grab.checkup if part.grab is not None else None, model.bundle.manifest.health
    if checkup is None or limits is None:
        return None
    if checkup.health is None:
        return Doubt("camera_fault", f"camera {part.camera}: its process died before it had measured the picture")
    complaint = unfit(checkup.health, limits)
    return None if complaint is None else Doubt(*complaint)


def _oddity(image: Image | None) -> Fault | None:
    if image is None:
        return Fault("bad_frame", "the camera gave a frame without a picture")
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size > 0:
        return None
    return Fault("bad_frame", f"{image.dtype} {image.shape}, wanted uint8 (H, W, 3) BGR; set the camera's pixel format")


def _one_line(text: str) -> str:
    """Fit for a verdict: a file name in it may not be UTF-8."""
    return " ".join(text.split()).encode("utf-8", "replace").decode()


def _stages(part: Part, grab: Grab, prediction: Prediction | None) -> Stages:
    now_ns = time.monotonic_ns()
    return Stages(
        read_s=(grab.ready_ns - grab.captured_ns) / 1e9,
        queue_s=((part.started_ns or now_ns) - grab.ready_ns) / 1e9,
        infer_s=prediction.infer_s if prediction else 0.0,
        decode_s=prediction.decode_s if prediction else 0.0,
        find_s=prediction.find_s if prediction else 0.0,
        total_s=(now_ns - grab.captured_ns) / 1e9,
    )
