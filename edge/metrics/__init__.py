"""Every metric of the daemon. Any thread may call; the endpoint is served by the `metrics` thread.

Each file here declares some and counts them.
"""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Info, ProcessCollector

from edge.metrics.bus import BusMetrics
from edge.metrics.cameras import CameraMetrics
from edge.metrics.disk import DiskMetrics
from edge.metrics.models import ModelMetrics


class Metrics(CameraMetrics, BusMetrics, DiskMetrics, ModelMetrics):
    """The metrics of one daemon, in a registry of its own."""

    def __init__(self, registry: CollectorRegistry, cameras: Sequence[str]) -> None:
        self.registry = registry
        ProcessCollector(registry=registry)
        CameraMetrics.__init__(self, registry, cameras)
        BusMetrics.__init__(self, registry)
        DiskMetrics.__init__(self, registry)
        ModelMetrics.__init__(self, registry, cameras)
        self._epoch = Info("mekiki_epoch", "This start of the daemon", registry=registry)

    def epoch(self, epoch: str) -> None:
        """Names this start of the daemon."""
        self._epoch.info({"epoch": epoch})
