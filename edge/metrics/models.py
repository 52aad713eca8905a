"""What is counted of the models: which is in force, how it came to that, and what a candidate in shadow says."""

from collections.abc import Iterable
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Info

from models.bundle import Bundle
from models.verdict import Verdict

Swap = Literal["switched", "refused"]
ProbationEnd = Literal["committed", "rolled_back"]


class ModelMetrics:
    """A part of `Metrics`."""

    def __init__(self, registry: CollectorRegistry, cameras: Iterable[str]) -> None:
        self._model = Info("mekiki_model", "The model in force for a camera", ("camera",), registry=registry)
        self._swaps = Counter("mekiki_model_swaps_total", "New active versions", ("result",), registry=registry)
        self._probations = Counter(
            "mekiki_model_probations_total", "Probations that have ended", ("result",), registry=registry
        )
        self._on_probation = Gauge(
            "mekiki_model_on_probation", "1 while the model in force is on probation", ("camera",), registry=registry
        )
        for result in get_args(Swap):
            self._swaps.labels(result)
        for end in get_args(ProbationEnd):
            self._probations.labels(end)
        for name in cameras:
            self._on_probation.labels(name)
        self._make_shadow_metrics(registry)

    def _make_shadow_metrics(self, registry: CollectorRegistry) -> None:
        self._shadow_up = Gauge(
            "mekiki_shadow_up", "1 while a candidate judges beside the active model", ("bundle",), registry=registry
        )
        self._shadow_verdicts = Counter(
            "mekiki_shadow_verdicts_total", "Parts that a candidate judged too, by what both said",
            ("camera", "active", "candidate"), registry=registry,
        )  # fmt: skip
        self._shadow_dropped = Counter(
            "mekiki_shadow_dropped_total", "Parts that a candidate did not see", ("camera", "why"), registry=registry
        )

    def model(self, camera: str, bundle: Bundle, device: str, precision: str) -> None:
        """Names the model in force for a camera."""
        manifest = bundle.manifest
        what = {"bundle": bundle.digest, "family": manifest.family, "model": manifest.model}
        self._model.labels(camera).info({**what, "device": device, "precision": precision})

    def swap(self, result: Swap) -> None:
        """A new active version came."""
        self._swaps.labels(result).inc()

    def on_probation(self, cameras: Iterable[str], *, is_on: bool) -> None:
        """Whether the model in force for these cameras is on probation."""
        for camera in cameras:
            self._on_probation.labels(camera).set(is_on)

    def probation(self, end: ProbationEnd) -> None:
        """A version was committed, or went back."""
        self._probations.labels(end).inc()

    def shadow_up(self, digest: str, *, judges: bool) -> None:
        """Whether a candidate judges."""
        self._shadow_up.labels(digest).set(judges)

    def shadow_verdict(self, active: Verdict, candidate: Verdict) -> None:
        """Both judged a part."""
        self._shadow_verdicts.labels(active.camera, active.outcome, candidate.outcome).inc()

    def shadow_dropped(self, camera: str, why: str) -> None:
        """A candidate did not see a part: there was no time for it."""
        self._shadow_dropped.labels(camera, why).inc()
