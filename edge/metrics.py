"""Every metric of the daemon. Any thread may call; the endpoint is served by the `metrics` thread."""

import errno
from collections.abc import Iterable
from typing import get_args
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, start_http_server

from edge.config import MetricsConfig
from models.bundle import Bundle
from models.errors import ConfigError, MekikiError
from models.verdict import Reason, Verdict

# A part passes every 0.1 to 2 s; the buckets are close together where a reject gate decides.
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
_RATIOS = (0.1, 0.25, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0, 5.0)
_NG, _UNKNOWN = "defect", tuple(reason for reason in get_args(Reason) if reason != "defect")


class Metrics:
    """The metrics of one daemon, in a registry of its own."""

    def __init__(self, registry: CollectorRegistry, cameras: Iterable[str]) -> None:
        self.registry = registry
        ProcessCollector(registry=registry)
        camera = ("camera",)
        self._stages = Histogram(
            "mekiki_stage_seconds", "From capture to verdict", (*camera, "stage"), buckets=_SECONDS, registry=registry
        )
        self._verdicts = Counter(
            "mekiki_verdicts_total", "Verdicts made", (*camera, "outcome", "reason"), registry=registry
        )
        self._dropped = Counter(
            "mekiki_frames_dropped_total", "Frames of live cameras replaced by a newer one", camera, registry=registry
        )
        self._faults = Counter(
            "mekiki_camera_faults_total", "Failed attempts to read or open a camera", camera, registry=registry
        )
        self._bus_dropped = Counter(
            "mekiki_bus_dropped_total", "Verdicts that did not fit into the bus, subscriber too slow", registry=registry
        )
        self._last_frame = Gauge(
            "mekiki_last_frame_timestamp_seconds", "Wall clock of the last picture", camera, registry=registry
        )
        self._ratio = Histogram(
            "mekiki_score_ratio", "Score divided by threshold, ng from 1", camera, buckets=_RATIOS, registry=registry
        )
        self._model = Info("mekiki_model", "The model in force", registry=registry)
        self._epoch = Info("mekiki_epoch", "This start of the daemon", registry=registry)
        for name in cameras:
            self._start_at_zero(name)

    def _start_at_zero(self, camera: str) -> None:
        """A rate needs the series to be there before its first event."""
        self._dropped.labels(camera)
        self._faults.labels(camera)
        for outcome, reason in (("ok", "none"), ("ng", _NG), *(("unknown", reason) for reason in _UNKNOWN)):
            self._verdicts.labels(camera, outcome, reason)

    def verdict(self, verdict: Verdict) -> None:
        """Counts a verdict and the time of its stages."""
        self._verdicts.labels(verdict.camera, verdict.outcome, verdict.reason or "none").inc()
        inferred = ("infer", "decode") if verdict.stages.infer_s else ()
        for stage in ("queue", *inferred, "total"):
            self._stages.labels(verdict.camera, stage).observe(getattr(verdict.stages, f"{stage}_s"))
        if verdict.score is not None and verdict.threshold:
            self._ratio.labels(verdict.camera).observe(verdict.score / verdict.threshold)

    def seen(self, camera: str, captured_at_ns: int) -> None:
        """A picture came."""
        self._last_frame.labels(camera).set(captured_at_ns / 1e9)

    def dropped(self, camera: str, count: int) -> None:
        """Frames replaced before they were judged."""
        if count:
            self._dropped.labels(camera).inc(count)

    def fault(self, camera: str) -> None:
        """A camera gave nothing, or did not open."""
        self._faults.labels(camera).inc()

    def bus_dropped(self) -> None:
        """A verdict that no subscriber will get."""
        self._bus_dropped.inc()

    def model(self, bundle: Bundle, device: str, precision: str) -> None:
        """Names the model in force."""
        manifest = bundle.manifest
        what = {"bundle": bundle.digest, "family": manifest.family, "model": manifest.model}
        self._model.info({**what, "device": device, "precision": precision})

    def epoch(self, epoch: str) -> None:
        """Names this start of the daemon."""
        self._epoch.info({"epoch": epoch})


class Endpoint:
    """`/metrics` over HTTP, from construction to `close`."""

    def __init__(self, config: MetricsConfig, registry: CollectorRegistry) -> None:
        """Raises MekikiError when the port is taken, ConfigError when it cannot be bound for another reason."""
        where = f"metrics port {config.port} on {config.host}"
        self._server: WSGIServer
        try:
            self._server, self.thread = start_http_server(config.port, config.host, registry)
        except (OSError, UnicodeError) as error:
            if getattr(error, "errno", None) == errno.EADDRINUSE:
                raise MekikiError(
                    f"{where}: already in use; stop what holds it (another mekiki-edge?) or set [metrics] port"
                ) from error
            raise ConfigError(f"{where}: {error}; correct [metrics] host and port") from error
        self.thread.name = "metrics"

    def close(self) -> None:
        """Stops serving and frees the port."""
        self._server.shutdown()
        self._server.server_close()
        self.thread.join(timeout=2)
