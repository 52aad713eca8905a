"""Every metric of the daemon. Any thread may call; the endpoint is served by the `metrics` thread."""

import errno
import math
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, start_http_server

from edge.config import MetricsConfig
from models.bundle import Bundle
from models.errors import ConfigError, MekikiError
from models.verdict import Reason, Verdict

# A part passes every 0.1 to 2 s; the buckets are close together where a reject gate decides.
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
_QUICK_SECONDS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1.0)
_RATIOS = (0.1, 0.25, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0, 5.0)
_NG, _UNKNOWN = "defect", tuple(reason for reason in get_args(Reason) if reason != "defect")
How = Literal["undecoded", "replaced"]
SocketName = Literal["bus", "replay", "trigger", "pictures"]
Swap = Literal["switched", "refused"]
ProbationEnd = Literal["committed", "rolled_back"]


class Metrics:
    """The metrics of one daemon, in a registry of its own."""

    def __init__(self, registry: CollectorRegistry, cameras: Iterable[str]) -> None:
        self.registry = registry
        ProcessCollector(registry=registry)
        self._make_camera_metrics(registry)
        self._make_bus_metrics(registry)
        self._make_disk_metrics(registry)
        self._make_shadow_metrics(registry)
        self._model = Info("mekiki_model", "The model in force for a camera", ("camera",), registry=registry)
        self._swaps = Counter("mekiki_model_swaps_total", "New active versions", ("result",), registry=registry)
        self._probations = Counter(
            "mekiki_model_probations_total", "Probations that have ended", ("result",), registry=registry
        )
        self._on_probation = Gauge(
            "mekiki_model_on_probation", "1 while the model in force is on probation", ("camera",), registry=registry
        )
        self._epoch = Info("mekiki_epoch", "This start of the daemon", registry=registry)
        for name in cameras:
            self._start_at_zero(name)
        for result in get_args(Swap):
            self._swaps.labels(result)
        for end in get_args(ProbationEnd):
            self._probations.labels(end)

    def _make_camera_metrics(self, registry: CollectorRegistry) -> None:
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

    def _make_bus_metrics(self, registry: CollectorRegistry) -> None:
        self._published = Histogram(
            "mekiki_publish_seconds", "What a verdict waits for after it is made", ("step",), buckets=_QUICK_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._heartbeats = Counter("mekiki_heartbeats_total", "Heartbeats sent", registry=registry)
        self._replayed = Counter("mekiki_replayed_verdicts_total", "Verdicts sent again on request", registry=registry)
        self._bad_messages = Counter(
            "mekiki_bad_messages_total", "Messages that were refused", ("socket",), registry=registry
        )
        for name in get_args(SocketName):
            self._bad_messages.labels(name)

    def _make_disk_metrics(self, registry: CollectorRegistry) -> None:
        self._journal_ok = Gauge("mekiki_journal_ok", "1 while verdicts reach the disk", registry=registry)
        self._journal_pending = Gauge(
            "mekiki_journal_pending", "Verdicts in memory that wait for the disk", registry=registry
        )
        self._journal_errors = Counter("mekiki_journal_errors_total", "Failed writes of the journal", registry=registry)
        self._journal_damaged = Counter(
            "mekiki_journal_damaged_total", "Damaged journals set aside at a start", registry=registry
        )
        self._kept = Counter("mekiki_evidence_kept_total", "Frames kept for review", ("kind",), registry=registry)
        self._evidence_lost = Counter(
            "mekiki_evidence_lost_total", "Frames that should have been kept and were not", registry=registry
        )
        self._evidence_bytes = Gauge("mekiki_evidence_bytes", "Size of what is kept", registry=registry)
        self._disk_free = Gauge("mekiki_disk_free_bytes", "Room left where the state lies", registry=registry)
        self._disk_size = Gauge("mekiki_disk_size_bytes", "Of the disk where the state lies", registry=registry)

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

    def _start_at_zero(self, camera: str) -> None:
        """A rate needs the series to be there before its first event."""
        for how in get_args(How):
            self._dropped.labels(camera, how)
        self._faults.labels(camera)
        self._up.labels(camera)
        self._waiting.labels(camera)
        self._on_probation.labels(camera)
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

    def published(self, journal_s: float, send_s: float) -> None:
        """How long one verdict took to the disk and to the socket."""
        self._published.labels("journal").observe(journal_s)
        self._published.labels("send").observe(send_s)

    def heartbeat(self) -> None:
        """One was sent."""
        self._heartbeats.inc()

    def replayed(self, count: int) -> None:
        """Verdicts sent again."""
        self._replayed.inc(count)

    def bad_message(self, socket: SocketName) -> None:
        """A message that is none of ours."""
        self._bad_messages.labels(socket).inc()

    def journal(self, *, ok: bool, pending: int) -> None:
        """After a write of the journal."""
        self._journal_ok.set(ok)
        self._journal_pending.set(pending)
        if not ok:
            self._journal_errors.inc()

    def journal_damaged(self) -> None:
        """A journal that could not be read was set aside."""
        self._journal_damaged.inc()

    def evidence_kept(self, kind: str) -> None:
        """A frame was kept."""
        self._kept.labels(kind).inc()

    def evidence_size(self, total_bytes: int) -> None:
        """All that is kept."""
        self._evidence_bytes.set(total_bytes)

    def evidence_lost(self) -> None:
        """A frame that should have been kept was not: disk full, or more than the writer can take."""
        self._evidence_lost.inc()

    def shadow_up(self, digest: str, *, judges: bool) -> None:
        """Whether a candidate judges."""
        self._shadow_up.labels(digest).set(judges)

    def shadow_verdict(self, active: Verdict, candidate: Verdict) -> None:
        """Both judged a part."""
        self._shadow_verdicts.labels(active.camera, active.outcome, candidate.outcome).inc()

    def shadow_dropped(self, camera: str, why: str) -> None:
        """A candidate did not see a part: there was no time for it."""
        self._shadow_dropped.labels(camera, why).inc()

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

    def drift(self, camera: str, ratios: Mapping[str, float]) -> None:
        """How far the last parts of a camera are from what its model was made from."""
        for name, ratio in ratios.items():
            self._drift.labels(camera, name).set(ratio)

    def no_drift(self, camera: str, of: Iterable[str]) -> None:
        """Another model: nothing is known yet."""
        self._drift.remove_by_labels({"camera": camera})
        for name in of:
            self._drift.labels(camera, name)

    def disk(self, folder: Path) -> None:
        """Says from now on how much room there is; asked anew at each scrape."""
        self._disk_free.set_function(lambda: _usage(folder)[0])
        self._disk_size.set_function(lambda: _usage(folder)[1])

    def epoch(self, epoch: str) -> None:
        """Names this start of the daemon."""
        self._epoch.info({"epoch": epoch})


def _usage(folder: Path) -> tuple[float, float]:
    """Bytes free and in all; NaN where the disk does not answer, for a scrape must not fail by it."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return math.nan, math.nan
    return usage.free, usage.total


class Endpoint:
    """`/metrics` over HTTP, from construction to `close`."""

    def __init__(self, config: MetricsConfig, registry: CollectorRegistry) -> None:
        """Raises MekikiError when the port is taken or the address not there, else ConfigError."""
        where = f"metrics port {config.port} on {config.host}"
        self._server: WSGIServer
        try:
            self._server, self.thread = start_http_server(config.port, config.host, registry)
        except (OSError, UnicodeError) as error:
            if getattr(error, "errno", None) == errno.EADDRINUSE:
                raise MekikiError(
                    f"{where}: already in use; stop what holds it (another mekiki-edge?) or set [metrics] port"
                ) from error
            if getattr(error, "errno", None) == errno.EADDRNOTAVAIL:  # at boot the network may still be on its way
                raise MekikiError(
                    f"{where}: no address of this box, or not yet; see its network or [metrics] host"
                ) from error
            raise ConfigError(f"{where}: {error}; correct [metrics] host and port") from error
        self.thread.name = "metrics"

    def close(self) -> None:
        """Stops serving and frees the port."""
        self._server.shutdown()
        self._server.server_close()
        self.thread.join(timeout=2)
