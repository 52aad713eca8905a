"""What is counted of each camera: its pictures, its parts, their verdicts."""

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from models.verdict import Reason, Verdict

# A part passes every 0.1 to 2 s; the buckets are close together where a reject gate decides.
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
_RATIOS = (0.1, 0.25, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0, 5.0)
_NG, _UNKNOWN = "defect", tuple(reason for reason in get_args(Reason) if reason != "defect")
How = Literal["undecoded", "replaced"]


class CameraMetrics:
    """A part of `Metrics`."""

    def __init__(self, registry: CollectorRegistry, cameras: Iterable[str]) -> None:
        camera = ("camera",)
        self._stages = Histogram(
            "mekiki_stage_seconds", "From capture to verdict", (*camera, "stage"), buckets=_SECONDS, registry=registry
        )
        self._verdicts = Counter(
            "mekiki_verdicts_total", "Verdicts made", (*camera, "outcome", "reason"), registry=registry
        )
        self._dropped = Counter(
            "mekiki_frames_dropped_total", "Pictures of live cameras that were no part", (*camera, "how"),
            registry=registry,
        )  # fmt: skip
        self._faults = Counter(
            "mekiki_camera_faults_total", "A camera died, hung, froze or did not open", camera, registry=registry
        )
        self._up = Gauge("mekiki_camera_up", "1 while a camera delivers", camera, registry=registry)
        self._deadline = Gauge(
            "mekiki_deadline_seconds", "From capture to verdict, as the settings want it", camera, registry=registry
        )
        self._waiting = Gauge("mekiki_parts_waiting", "Parts in the queue of a camera", camera, registry=registry)
        self._last_frame = Gauge(
            "mekiki_last_frame_timestamp_seconds", "Wall clock of the last picture", camera, registry=registry
        )
        self._ratio = Histogram(
            "mekiki_score_ratio", "Score divided by threshold, ng from 1", camera, buckets=_RATIOS, registry=registry
        )
        self._drift = Gauge(
            "mekiki_drift_ratio",
            "The last parts against the good images of the model, divided by what chance exceeds in one window of "
            "10,000: drift from 1",
            (*camera, "of"),
            registry=registry,
        )
        for name in cameras:
            self._start_at_zero(name)

    def _start_at_zero(self, camera: str) -> None:
        """A rate needs the series to be there before its first event."""
        for how in get_args(How):
            self._dropped.labels(camera, how)
        self._faults.labels(camera)
        self._up.labels(camera)
        self._waiting.labels(camera)
        for outcome, reason in (("ok", "none"), ("ng", _NG), *(("unknown", reason) for reason in _UNKNOWN)):
            self._verdicts.labels(camera, outcome, reason)

    def verdict(self, verdict: Verdict) -> None:
        """Counts a verdict and the time of its stages."""
        self._verdicts.labels(verdict.camera, verdict.outcome, verdict.reason or "none").inc()
        found = ("find",) if verdict.stages.find_s else ()
        inferred = ("infer", "decode") if verdict.stages.infer_s else ()
        for stage in ("read", "queue", *found, *inferred, "total"):
            self._stages.labels(verdict.camera, stage).observe(getattr(verdict.stages, f"{stage}_s"))
        if verdict.score is not None and verdict.threshold:
            self._ratio.labels(verdict.camera).observe(verdict.score / verdict.threshold)

    def seen(self, camera: str, captured_at_ns: int) -> None:
        """A picture came."""
        self._last_frame.labels(camera).set(captured_at_ns / 1e9)

    def dropped(self, camera: str, how: How, count: int = 1) -> None:
        """Pictures of a live camera that nobody asked for: never decoded, or replaced by a newer one."""
        if count:
            self._dropped.labels(camera, how).inc(count)

    def fault(self, camera: str) -> None:
        """A camera gave nothing, or did not open."""
        self._faults.labels(camera).inc()

    def up(self, camera: str, *, delivers: bool) -> None:
        """Whether a camera delivers."""
        self._up.labels(camera).set(delivers)

    def deadline(self, camera: str, deadline_s: float) -> None:
        """What its settings want."""
        self._deadline.labels(camera).set(deadline_s)

    def waiting(self, camera: str, count: int) -> None:
        """How many parts wait for the model."""
        self._waiting.labels(camera).set(count)

    def drift(self, camera: str, ratios: Mapping[str, float]) -> None:
        """How far the last parts of a camera are from what its model was made from."""
        for name, ratio in ratios.items():
            self._drift.labels(camera, name).set(ratio)

    def no_drift(self, camera: str, of: Iterable[str]) -> None:
        """Another model: nothing is known yet."""
        self._drift.remove_by_labels({"camera": camera})
        for name in of:
            self._drift.labels(camera, name)
