"""Turns frames into verdicts. Runs on the `inspect` thread only."""

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from edge.cameras.frame import Fault, Frame, Grab
from models.bundle import Bundle
from models.errors import ModelError
from models.prediction import Image, Prediction
from models.regions import regions_of
from models.runner import Runner
from models.scoring import judge
from models.verdict import Outcome, Reason, Region, Stages, Verdict

_NOT_FINITE = "the score is not a number; look at the picture, and check the model on this device again"


def new_epoch() -> str:
    """The name of this start of the daemon, UTC to the microsecond; later starts sort after it."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")


@dataclass(frozen=True, slots=True)
class _Judgement:
    outcome: Outcome
    reason: Reason | None
    detail: str | None = None
    score: float | None = None
    regions: tuple[Region, ...] = ()
    prediction: Prediction | None = None


class Inspector:
    """One bundle on one device."""

    def __init__(self, bundle: Bundle, runner: Runner, epoch: str) -> None:
        self._bundle, self._runner, self._epoch = bundle, runner, epoch
        self._threshold = bundle.manifest.threshold.ng_at_or_above

    def inspect(self, frame: Frame) -> Verdict:
        """Exactly one verdict, whatever the frame is. What cannot be judged is `unknown`."""
        started_ns = time.monotonic_ns()
        grab, judgement = frame.grab, self._judgement(frame.grab)
        return Verdict(
            epoch=self._epoch,
            camera=frame.camera,
            seq=frame.seq,
            part_id=frame.part_id,
            source=grab.source,
            outcome=judgement.outcome,
            reason=judgement.reason,
            detail=judgement.detail,
            score=judgement.score,
            threshold=self._threshold,
            regions=judgement.regions,
            bundle=self._bundle.digest,
            device=self._runner.device,
            precision=self._runner.precision,
            captured_at_ns=grab.captured_at_ns,
            captured_ns=grab.captured_ns,
            stages=_stages(grab.captured_ns, started_ns, judgement.prediction),
        )

    def _judgement(self, grab: Grab) -> _Judgement:
        picture = grab.fault or _picture(grab.image)
        if isinstance(picture, Fault):
            return _Judgement("unknown", picture.reason, _one_line(picture.detail))
        try:
            prediction = self._runner.predict(picture)
        except ModelError as error:
            return _Judgement("unknown", "model_error", _one_line(str(error)))
        outcome, reason = judge(prediction.score, self._threshold)
        if not math.isfinite(prediction.score):  # JSON has no NaN
            return _Judgement(outcome, reason, _NOT_FINITE, prediction=prediction)
        regions = regions_of(prediction, self._threshold) if outcome == "ng" else ()
        return _Judgement(outcome, reason, None, prediction.score, regions, prediction)


def _picture(image: Image | None) -> Image | Fault:
    """The image, or what is odd about it."""
    if image is None:
        return Fault("bad_frame", "the camera gave a frame without a picture")
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size > 0:
        return image
    return Fault("bad_frame", f"{image.dtype} {image.shape}, wanted uint8 (H, W, 3) BGR; set the camera's pixel format")


def _one_line(text: str) -> str:
    """Fit for a verdict: a file name in it may not be UTF-8."""
    return " ".join(text.split()).encode("utf-8", "replace").decode()


def _stages(captured_ns: int, started_ns: int, prediction: Prediction | None) -> Stages:
    return Stages(
        queue_s=(started_ns - captured_ns) / 1e9,
        infer_s=prediction.infer_s if prediction else 0.0,
        decode_s=prediction.decode_s if prediction else 0.0,
        total_s=(time.monotonic_ns() - captured_ns) / 1e9,
    )
